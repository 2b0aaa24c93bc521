// One call, running or over: what is known of it, its media, its attempts, and its ladder as a picture.

import { hangUp } from "./actions.js";
import { ask, path, query } from "./api.js";
import { copyText, save } from "./handing_out.js";
import { Ladder } from "./ladder.js";
import { useLive } from "./live.js";
import { Lasting, mediaTrouble, Peer, State, Streams, Time, Trouble } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { visible } from "./words.js";
import { Attempts, Facts } from "./view_records.js";

const AGAIN_MS = 2000; // while the call runs

export function Call({ place }) {
  const ref = place.parts[1];
  const running = useLive((s) => s.calls.get(ref));
  const [record, setRecord] = useState(null);
  const [trace, setTrace] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const isRunning = Boolean(running);
  useEffect(() => {
    const stop = new AbortController();
    const read = async () => {
      try {
        setTrace(await ask(path("calls", ref, "trace"), { signal: stop.signal }));
        setTrouble(null);
      } catch (problem) {
        if (problem.name !== "AbortError") setTrouble(problem);
      }
    };
    read();
    if (!isRunning) recordOf(ref, stop.signal).then(setRecord, () => {});
    const again = isRunning ? setInterval(read, AGAIN_MS) : 0;
    return () => {
      clearInterval(again);
      stop.abort();
    };
  }, [ref, isRunning]);
  const call = running ?? record;
  const wrong = call && mediaTrouble(call, running ? running.quality : record.media);
  return html`
    <p class="back"><a href=${running ? "#/calls" : "#/records"}>${running ? "All calls" : "All records"}</a></p>
    <div class="title">
      <h1 tabindex="-1">${call ? html`<${Peer} longest=${60}>${call.caller || "anonymous"}<//> <span class="to">to</span> <${Peer} longest=${60}>${call.called}<//>` : `Call ${visible(ref, 60)}`}</h1>
      ${running && running.state !== "ending" && html`<p class="buttons"><button type="button" class="grave" onClick=${() => hangUp(running)}>Hang up …</button></p>`}
    </div>
    ${wrong && html`<p class="wrong big"><span aria-hidden="true">▲ </span>${wrong}</p>`}
    ${running && html`<${Running} call=${running} />`}
    ${!running && record && html`<${Facts} record=${record} />`}
    <section aria-labelledby="ladder-head">
      <div class="title"><h2 id="ladder-head">Ladder</h2>${trace && html`<${Tools} of=${ref} />`}</div>
      ${trouble && !trace && html`<${NoLadder} problem=${trouble} />`}
      ${trace && html`<${Ladder} trace=${trace} />`}
    </section>
    ${running && html`<section aria-labelledby="media-head"><h2 id="media-head">Media</h2><${Streams} call=${running} media=${running.quality} /></section>`}
    ${!running && record && html`
      <section aria-labelledby="media-head"><h2 id="media-head">Media</h2><${Streams} call=${record} media=${record.media} /></section>
      <section aria-labelledby="attempts-head"><h2 id="attempts-head">Attempts</h2><${Attempts} record=${record} isAlone /></section>`}`;
}

const NoLadder = ({ problem }) => (problem.status === 404 ? html`<p class="empty">The SBC no longer has the messages of this call. It keeps those of running, recent, and longer those of failed calls, in memory.</p>` : html`<${Trouble} problem=${problem} />`);

async function recordOf(ref, signal) {
  const { cdrs } = await ask(`cdrs${query({ ref, last: 1 })}`, { signal });
  return cdrs.find((cdr) => cdr.ref === ref) ?? null;
}

function Running({ call }) {
  return html`
    <dl class="facts">
      <div><dt>State</dt><dd><${State} is=${call.state} /> <${Lasting} since=${call.answered_at ?? call.started_at} /></dd></div>
      <div><dt>From</dt><dd><${Peer}>${call.ingress}<//></dd></div>
      <div><dt>To</dt><dd>${call.egress ? html`<${Peer}>${call.egress}<//>` : "nobody yet"}</dd></div>
      <div><dt>Route</dt><dd>${call.route ? visible(call.route) : "none"}</dd></div>
      <div><dt>Began</dt><dd><${Time} at=${call.started_at} /></dd></div>
      <div><dt>Answered</dt><dd><${Time} at=${call.answered_at} /></dd></div>
      <div><dt>Ref</dt><dd><code>${visible(call.ref)}</code></dd></div>
      ${call.joined?.length > 0 && html`<div><dt>Has taken in</dt><dd>${call.joined.map((one) => html`<code>${visible(one)}</code> `)}</dd></div>`}
    </dl>`;
}

/** Copies the text ladder, and takes the messages as a file for Wireshark. A link cannot bring the token; so both ask. */
export function Tools({ of, kind = "calls" }) {
  const [said, setSaid] = useState("");
  const timer = useRef(0);
  const say = (text) => {
    setSaid(text);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setSaid(""), 4000);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  const attempt = (work) => async (event) => {
    event.preventDefault();
    try {
      say(await work());
    } catch (problem) {
      say(`Failed: ${problem.message}`);
    }
  };
  const copy = attempt(async () => {
    await copyText(await ask(path(kind, of, "ladder"), { as: "text" }));
    return "Copied as text.";
  });
  const take = attempt(async () => {
    save(await ask(path(kind, of, "pcap"), { as: "blob" }), `${of}.pcap`);
    return "Saved.";
  });
  return html`
    <p class="buttons"><span role="status" class="said">${said}</span>
      <button type="button" onClick=${copy}>Copy as text</button>
      <a class="button" href=${`api/v1/${path(kind, of, "pcap")}`} download=${`${of}.pcap`} onClick=${take}>Download pcap</a>
    </p>`;
}
