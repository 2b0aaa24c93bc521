// Live calls: who talks to whom, how long, how it sounds, who relays it. Filtered here, in the browser; at most the newest
// 500 come. Made for hundreds of calls that change every second: a row is drawn again only when its call has changed.

import { hangUp } from "./actions.js";
import { live, useLive } from "./live.js";
import { engineOf, Lasting, mediaTrouble, Peer, State, worst } from "./parts.js";
import { Component, html, useRef, useState } from "./vendor/htm-preact.js";
import { many, visible } from "./words.js";

const ORDERS = {
  newest: ["newest first", (a, b) => compare(b.started_at, a.started_at)],
  longest: ["longest first", (a, b) => compare(a.answered_at ?? "~", b.answered_at ?? "~") || compare(a.started_at, b.started_at)],
  worst: ["worst sound first", (a, b) => badness(b) - badness(a) || compare(b.started_at, a.started_at)],
};
const STATES = ["trying", "ringing", "answered", "ending"];

export function Calls({ place }) {
  useLive((s) => s.version);
  const [text, setText] = useState(place.params.get("text") ?? "");
  const [state, setState] = useState("");
  const [isBadOnly, setBadOnly] = useState(place.params.has("bad"));
  const [order, setOrder] = useState("newest");
  const [isHeld, setHeld] = useState(false);
  const held = useRef([]);
  const wanted = (call) => (!state || call.state === state) && (!isBadOnly || mediaTrouble(call)) && has(call, text);
  const calls = isHeld ? held.current.map((call) => live.calls.get(call.ref) ?? { ...call, state: "ended" }) : [...live.calls.values()].filter(wanted).sort(ORDERS[order][1]);
  held.current = calls;
  return html`
    <h1 tabindex="-1">Calls <span class="dim">${live.total}</span></h1>
    <form class="filters" role="search" aria-label="Calls" onSubmit=${(event) => event.preventDefault()}>
      <label class="wide">Search <input type="search" value=${text} onInput=${(event) => setText(event.target.value)} placeholder="number, peer, route or ref" disabled=${isHeld} /></label>
      <label>State <select value=${state} onChange=${(event) => setState(event.target.value)} disabled=${isHeld}>
        <option value="">any</option>${STATES.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
      <label>Order <select value=${order} onChange=${(event) => setOrder(event.target.value)} disabled=${isHeld}>
        ${Object.entries(ORDERS).map(([one, [name]]) => html`<option value=${one}>${name}</option>`)}</select></label>
      <label class="check"><input type="checkbox" checked=${isBadOnly} onChange=${(event) => setBadOnly(event.target.checked)} disabled=${isHeld} /> bad sound only</label>
      <label class="check"><input type="checkbox" checked=${isHeld} onChange=${(event) => setHeld(event.target.checked)} /> hold the list still</label>
    </form>
    <p class="count">${counted(calls.length)}</p>
    ${calls.length > 0 && html`
      <table class="calls" role="table">
        <caption class="unseen">Calls that are up or being set up</caption>
        <thead role="rowgroup"><tr role="row">${["State", "Caller", "Called", "Media", "Hang up"].map((name, n) => html`<th scope="col" role="columnheader"><span class=${n === 4 ? "unseen" : ""}>${name}</span></th>`)}</tr></thead>
        <tbody role="rowgroup">${calls.map((call) => html`<${Row} key=${call.ref} call=${call} />`)}</tbody>
      </table>`}
    ${!calls.length && html`<p class="empty">${live.total ? "No call is like that." : "No call is up."}</p>`}`;
}

function counted(found) {
  const rest = live.total > live.calls.size ? ` Only the newest ${live.calls.size} of ${live.total} are here; search the records or use sbc calls for others.` : "";
  return found === live.total ? rest.trim() : `${many(found, "call")} of ${live.total} shown.${rest}`;
}

class Row extends Component {
  shouldComponentUpdate({ call }) {
    return call !== this.props.call;
  }

  render({ call }) {
    const isUp = call.state === "answered";
    const name = `${visible(call.caller, 60)} to ${visible(call.called, 60)}`;
    return html`
      <tr role="row" data-ref=${call.ref} class=${call.emergency ? "emergency" : ""}>
        <td role="cell" class="is"><${State} is=${call.state} /> <span class="long"><${Lasting} since=${isUp ? call.answered_at : call.started_at} /></span></td>
        <th role="rowheader" scope="row" class="who"><a href=${`#/calls/${encodeURIComponent(call.ref)}`}><${Peer} longest=${60}>${call.caller || "anonymous"}<//></a><small><${Peer}>${call.ingress}<//></small></th>
        <td role="cell" class="who"><span><${Peer} longest=${60}>${call.called}<//></span><small>${call.egress ? html`<${Peer}>${call.egress}<//>` : html`<span class="dim">nobody yet</span>`}${call.route && html` <span class="dim">by ${visible(call.route)}</span>`}</small></td>
        <td role="cell" class="sound"><${Sound} call=${call} /></td>
        <td role="cell" class="do">${(call.state !== "ending" && call.state !== "ended") && html`<button type="button" aria-label=${`Hang up ${name}`} onClick=${() => hangUp(this.props.call)}>Hang up …</button>`}</td>
      </tr>`;
  }
}

/** What is wrong, in words; else the score, and who relays. */
function Sound({ call }) {
  const trouble = mediaTrouble(call);
  const { mos, loss } = worst(call.quality);
  const codecs = [...new Set([...(call.quality?.ingress ?? []), ...(call.quality?.egress ?? [])].map((stream) => stream.codec))].join(", ");
  const figures = [codecs && visible(codecs, 40), mos !== null && `MOS ${mos.toFixed(1)}`, loss !== null && `${loss.toFixed(1)} % lost`, engineOf(call.quality)].filter(Boolean).join(" · ");
  return html`${trouble && html`<strong class="wrong"><span aria-hidden="true">▲ </span>${trouble}</strong>`}<small class="dim">${figures || (call.state === "answered" ? "not heard of yet" : "")}</small>`;
}

function has(call, text) {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const all = [call.ref, call.caller, call.called, call.ingress, call.egress, call.route, call.state, ...(call.joined ?? [])].join(" ").toLowerCase();
  return words.every((word) => all.includes(word));
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function badness(call) {
  const { mos, loss } = worst(call.quality);
  return (mediaTrouble(call) ? 1000 : 0) + (call.quality?.one_way ? 1000 : 0) + (loss ?? 0) + (mos === null ? 0 : 5 - mos);
}
