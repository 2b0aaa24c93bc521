// Call records: search by number, trunk, cause and time; newest first, or in order and page by page.

import { ask, query } from "./api.js";
import { useLive } from "./live.js";
import { Peer, State, Streams, Table, Time, Trouble, mediaTrouble } from "./parts.js";
import { html, useEffect, useState } from "./vendor/htm-preact.js";
import { clock, isUtc, many, visible } from "./words.js";

const PAGE = 50;
const CAUSES = ["normal", "busy", "no_answer", "rejected", "not_found", "cancelled", "no_route", "no_reply", "unreachable", "failed", "paths_full", "rate_limited", "overload", "media_timeout", "session_expired", "no_ack", "operator", "shutdown", "internal"];

export function Records({ place }) {
  const filters = Object.fromEntries(["number", "trunk", "cause", "since", "until", "order", "ref"].map((name) => [name, place.params.get(name) ?? ""]));
  const key = place.params.toString();
  const [pages, setPages] = useState([{}]); // what to ask for each page so far; the last one is shown
  const [found, setFound] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const [tries, setTries] = useState(0);
  useEffect(() => setPages([{}]), [key]);
  useEffect(() => {
    const stop = new AbortController();
    ask(`cdrs${question(filters, pages.at(-1))}`, { signal: stop.signal }).then(
      (page) => {
        setFound({ ...shown(page, filters, pages.at(-1)), number: pages.length });
        setTrouble(null);
      },
      (problem) => problem.name === "AbortError" || setTrouble(problem),
    );
    return () => stop.abort();
  }, [key, pages, tries]);
  return html`
    <h1 tabindex="-1">Call records</h1>
    <${Search} key=${key} filters=${filters} again=${() => setTries(tries + 1)} />
    <${Trouble} problem=${trouble} retry=${() => setTries(tries + 1)} />
    ${!found && !trouble && html`<p class="empty" role="status">Reading …</p>`}
    ${found && html`
      <p class="count" role="status">${found.records.length ? `${many(found.records.length, "record")}, page ${found.number}, ${filters.order === "oldest" ? "oldest" : "newest"} first` : ""}</p>
      <${List} records=${found.records} />
      <p class="buttons">
        ${pages.length > 1 && html`<button type="button" onClick=${() => setPages(pages.slice(0, -1))}>Previous page</button>`}
        ${found.next && html`<button type="button" onClick=${() => setPages([...pages, found.next])}>Next page</button>`}
      </p>`}`;
}

/** Newest first goes back by time, and leaves out what the page before has shown; in order, the API's cursor is enough. */
function question({ order, ...filters }, page) {
  if (order === "oldest") return query({ ...filters, limit: PAGE, next: page.next });
  return query({ ...filters, until: page.until ?? filters.until, last: PAGE + (page.known?.length ?? 0) });
}

function shown({ cdrs, next }, { order }, page) {
  if (order === "oldest") return { records: cdrs, next: next ? { next } : null };
  const known = new Set(page.known);
  const records = cdrs.toReversed().filter((cdr) => !known.has(cdr.ref)).slice(0, PAGE);
  if (cdrs.length < PAGE + known.size) return { records, next: null };
  const end = records.at(-1).ended_at;
  return { records, next: { until: new Date(Date.parse(end) + 1).toISOString(), known: records.filter((cdr) => cdr.ended_at === end).map((cdr) => cdr.ref) } };
}

/** Fields have default values only: Preact would write a value back over what is being typed, whenever the state changes. */
function Search({ filters, again }) {
  const peers = useLive((s) => s.trunks).map((peer) => peer.name).concat(useLive((s) => s.pbxs).map((peer) => peer.name));
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    const hash = `#/records${query({ number: form.get("number").trim(), trunk: form.get("trunk"), cause: form.get("cause"), since: instant(form.get("since")), until: instant(form.get("until")), order: form.get("order") })}`;
    if (hash === location.hash) again();
    else location.hash = hash;
  };
  if (filters.trunk && !peers.includes(filters.trunk)) peers.push(filters.trunk);
  return html`
    <form class="filters" role="search" aria-label="Records" onSubmit=${submit}>
      <label class="wide">Number <input type="search" name="number" defaultValue=${filters.number} placeholder="a part of caller or called" autocomplete="off" /></label>
      <label>Peer <select name="trunk"><option value="">any</option>${peers.map((name) => html`<option value=${name} selected=${name === filters.trunk}>${visible(name)}</option>`)}</select></label>
      <label>Cause <select name="cause"><option value="">any</option>${CAUSES.map((cause) => html`<option value=${cause} selected=${cause === filters.cause}>${cause.replaceAll("_", " ")}</option>`)}</select></label>
      <label>Ended from <input type="datetime-local" name="since" defaultValue=${local(filters.since)} /></label>
      <label>until <input type="datetime-local" name="until" defaultValue=${local(filters.until)} /></label>
      <label>Order <select name="order"><option value="">newest first</option><option value="oldest" selected=${filters.order === "oldest"}>oldest first</option></select></label>
      <p class="buttons"><button type="submit" class="main">Search</button></p>
    </form>`;
}

const pad = (n) => String(n).padStart(2, "0");

/** What a datetime-local field says, in the zone that the page shows, as UTC text; and back. */
export const instant = (text) => (text ? new Date(isUtc() ? `${text}Z` : text).toISOString() : "");
export function local(iso) {
  const at = new Date(iso);
  if (!iso || Number.isNaN(at.getTime())) return "";
  if (isUtc()) return at.toISOString().slice(0, 16);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}`;
}

function List({ records }) {
  const [opened, setOpened] = useState(null);
  const columns = [
    { name: "Ended", show: (row) => html`<${Time} at=${row.ended_at} />` },
    { name: "Caller", isHead: true, show: (row) => html`<a href=${`#/records/${encodeURIComponent(row.ref)}`}><${Peer} longest=${40}>${row.caller || "anonymous"}<//></a>` },
    { name: "Called", show: (row) => html`<${Peer} longest=${40}>${row.called}<//>` },
    { name: "From, to", show: (row) => html`<${Peer}>${row.ingress}<//>${row.egress && html`, <${Peer}>${row.egress}<//>`}` },
    { name: "Talk", isNumber: true, show: (row) => (row.answered_at ? clock(row.billable_ms / 1000) : html`<span class="dim">–</span>`) },
    { name: "Cause", show: (row) => html`<${Cause} of=${row} />${mediaTrouble(row, row.media) && html` <small class="wrong">${mediaTrouble(row, row.media)}</small>`}` },
    { name: "", show: (row) => html`<button type="button" class="slim" aria-expanded=${opened === row.ref ? "true" : "false"} aria-label=${`Details of ${visible(row.caller, 40)} to ${visible(row.called, 40)}`} onClick=${() => setOpened(opened === row.ref ? null : row.ref)}><span aria-hidden="true">${opened === row.ref ? "▾" : "▸"}</span> Details</button>` },
  ];
  const extra = (row) => opened === row.ref && html`<${Facts} record=${row} /><${Attempts} record=${row} /><${Streams} call=${row} media=${row.media} /><p><a href=${`#/records/${encodeURIComponent(row.ref)}`}>The whole call, with its ladder</a></p>`;
  return html`<${Table} caption="Call records" columns=${columns} rows=${records} keyOf=${(row) => row.ref} extra=${extra} empty="No record is like that." />`;
}

const LOOK_OF_CAUSE = { normal: "up", cancelled: "ended", busy: "ended", no_answer: "ended" };
const Cause = ({ of }) => html`<${State} is=${LOOK_OF_CAUSE[of.cause] ?? "down"}>${visible(of.cause).replaceAll("_", " ")}<//>${of.sip_status && of.cause !== "normal" ? html` <span class="dim">${of.sip_status}</span>` : ""}`;

export function Facts({ record }) {
  const marks = [record.emergency && "an emergency call", record.disaster && "by a disaster plan", record.estimated && "ended unseen, its end is estimated"].filter(Boolean).join(", ");
  const facts = [
    ["Cause", html`<${Cause} of=${record} />`],
    ["Ended by", visible(record.ended_by)],
    ["From", html`<${Peer}>${record.ingress}<//>`],
    ["To", record.egress ? html`<${Peer}>${record.egress}<//>` : "nobody"],
    ["Route", record.route ? visible(record.route) : "none"],
    ["Called as sent", record.called_as_sent && html`<${Peer}>${record.called_as_sent}<//>`],
    ["Began", html`<${Time} at=${record.started_at} />`],
    ["Rang", record.ringing_at && html`<${Time} at=${record.ringing_at} />`],
    ["Answered", record.answered_at && html`<${Time} at=${record.answered_at} />`],
    ["Ended", html`<${Time} at=${record.ended_at} />`],
    ["Talk", record.answered_at && clock(record.billable_ms / 1000)],
    ["SIP, Q.850", `${record.sip_status ?? "–"}, ${record.q850 ?? "–"}`],
    ["It was", marks],
    ["Went on in", record.joined_to && html`<a href=${`#/records/${encodeURIComponent(record.joined_to)}`}><code>${visible(record.joined_to)}</code></a>`],
    ["Ref", html`<code>${visible(record.ref)}</code>`],
    ["Call-ID in", record.ingress_call_id && html`<code>${visible(record.ingress_call_id, 120)}</code>`],
    ["Call-ID out", record.egress_call_id && html`<code>${visible(record.egress_call_id, 120)}</code>`],
  ];
  return html`<dl class="facts">${facts.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** `isAlone`: below a heading that says what it is. */
export function Attempts({ record, isAlone = false }) {
  const columns = [
    { name: "#", isHead: true, show: (row) => row.n },
    { name: "Peer", show: (row) => html`<${Peer}>${row.peer}<//>` },
    { name: "Server", show: (row) => html`<code>${visible(row.server)}</code>` },
    { name: "Called as sent", show: (row) => html`<${Peer}>${row.called_as_sent}<//>` },
    { name: "Began", show: (row) => html`<${Time} at=${row.started_at} />` },
    { name: "Answer", isNumber: true, show: (row) => row.sip_status ?? "none" },
    { name: "Cause", show: (row) => visible(row.cause).replaceAll("_", " ") },
  ];
  const attempts = (record.attempts ?? []).map((attempt, n) => ({ n: n + 1, ...attempt }));
  return html`<${Table} caption="Attempts" columns=${columns} rows=${attempts} keyOf=${(row) => row.n} isCaptionShown=${!isAlone} empty="Nobody was called." />`;
}
