// The ladder of a call as an SVG picture: a line of life for each peer and the SBC, an arrow for each message, and the
// SBC's notes where they were made; or of a peer's messages beside calls, with the time of day. Every arrow is a button that opens its message; all text can be selected.

import { copyText } from "./handing_out.js";
import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact.js";
import { moment, visible, visibleLines } from "./words.js";

const ROW = 36;
const LINE = 16;
const HEAD = 34;
const NARROW = 560;

export function Ladder({ trace }) {
  const box = useRef(null);
  const [width, setWidth] = useState(0);
  const char = useRef(8);
  const [chosen, setChosen] = useState(null);
  useEffect(() => {
    char.current = charWidth(box.current);
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const picture = useMemo(() => (width ? lay(trace, width, char.current) : null), [trace, width]);
  const message = chosen === null ? null : trace.entries[chosen];
  return html`
    <div class=${`ladder ${message ? "with-message" : ""}`}>
      <div class="ladder-box" ref=${box}>
        ${picture && html`<${Picture} picture=${picture} chosen=${chosen} choose=${setChosen} isRunning=${trace.running} />`}
      </div>
      ${message && html`<${Message} entry=${message} peer=${trace.peers[message.leg] ?? message.leg} close=${() => closed(chosen, setChosen)} />`}
      <details class="as-text"><summary>The ladder as text</summary><ol>${trace.entries.map((entry, n) => html`<li key=${n}>${inWords(entry, trace.peers)}</li>`)}</ol></details>
    </div>`;
}

function closed(chosen, setChosen) {
  setChosen(null);
  document.querySelector(`.ladder [data-n="${chosen}"]`)?.focus();
}

/** A sentence for who cannot see the picture. */
function inWords(entry, peers) {
  const at = `${timeOf(entry, peers)}: `;
  if (entry.message === null) return at + (entry.note ?? []).map((line) => visible(line)).join("; ");
  const peer = visible(peers[entry.leg] ?? entry.leg, 60);
  return `${at}${entry.sent ? `SBC to ${peer}` : `${peer} to SBC`}: ${visible(entry.label, 120)}`;
}

const seconds = (at) => at.toFixed(3);

/** Days may lie between two messages of a peer; those of a call are told by seconds. */
const isOfPeer = (peers) => "peer" in peers;
const timeOf = (entry, peers) => (isOfPeer(peers) ? moment(entry.time) : `${seconds(entry.at)} s`);

// --- where everything stands -------------------------------------------------------------------------------------------

/** `{width, height, gutter, columns: [{x, name}], rows}` in pixels, for a box of this width and letters of that. */
export function lay(trace, available, char) {
  const legs = legsOf(trace);
  const isNarrow = available < NARROW;
  const clocks = isOfPeer(trace.peers) ? trace.entries.map((entry) => moment(entry.time)) : null;
  const gutter = clocks ? Math.ceil(Math.max(0, ...clocks.map((clock) => clock.length)) * char) + 14 : isNarrow ? 46 : 64;
  const timed = (entry, n) => (clocks ? clocks[n] : isNarrow ? entry.at.toFixed(2) : seconds(entry.at));
  const side = isNarrow ? 34 : 70; // from the outermost lines to the edges: half a name
  const gap = Math.max(isNarrow ? 76 : 150, Math.min(330, (available - gutter - 2 * side) / legs.length));
  const xs = [...legs.keys(), legs.length].map((n) => gutter + side + n * gap);
  const columns = [{ x: xs[0], name: trace.peers[legs[0]] ?? legs[0] }, { x: xs[1], name: "sbc", isUs: true }, ...legs.slice(1).map((leg, n) => ({ x: xs[n + 2], name: trace.peers[leg] ?? leg }))];
  const columnOf = new Map(legs.map((leg, n) => [leg, n === 0 ? 0 : n + 1]));
  const width = Math.max(available, Math.ceil(columns.at(-1).x + side));
  const seen = new Set();
  const rows = [];
  let y = 12;
  for (const [n, entry] of trace.entries.entries()) {
    if (entry.message === null) {
      const left = columns[1].x + (isNarrow ? -gap + 6 : 14);
      const lines = wrapped(entry.note ?? [], Math.max(16, Math.floor((available - left - 12) / char)));
      rows.push({ n, entry, y, at: timed(entry, n), lines, left, height: lines.length * LINE + 10 });
    } else {
      const [peer, us] = [columns[columnOf.get(entry.leg) ?? 0].x, columns[1].x];
      const key = `${entry.leg} ${entry.sent} ${entry.message}`;
      const isAgain = seen.has(key);
      seen.add(key);
      rows.push({ n, entry, y, at: timed(entry, n), from: entry.sent ? us : peer, to: entry.sent ? peer : us, label: visible(entry.label, 80) + (isAgain ? " (again)" : ""), isAgain, look: lookOf(entry.label), height: ROW });
    }
    y += rows.at(-1).height;
  }
  return { width, height: y + 14, gutter, columns, rows, isWide: width > available, side, char };
}

/** Of the picture's letters, 12 px high and all as wide. */
function charWidth(place) {
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const text = picture.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "text"));
  text.textContent = "0".repeat(40);
  place.append(picture);
  const width = text.getComputedTextLength() / 40;
  picture.remove();
  return width || 8;
}

/** In the order in which they stand: the ingress, then each leg on which there was a message; beside calls the peer. */
function legsOf(trace) {
  if (isOfPeer(trace.peers)) return ["peer"];
  const legs = new Set(["ingress"]);
  for (const entry of trace.entries) if (entry.message !== null) legs.add(entry.leg);
  if (legs.size === 1) for (const leg of Object.keys(trace.peers).slice(0, 2)) legs.add(leg);
  return [...legs];
}

function lookOf(label) {
  const status = /^([1-6])\d\d/.exec(label);
  if (!status) return "request";
  return { 1: "provisional", 2: "success", 3: "redirect" }[status[1]] ?? "failure";
}

function wrapped(notes, most) {
  const lines = [];
  for (const note of notes.flatMap((one) => String(one).split("\n"))) {
    let line = "";
    for (const word of visible(note, 1000).split(" ")) {
      for (const part of pieces(word, most)) {
        if (line && line.length + 1 + part.length > most) {
          lines.push(line);
          line = `  ${part}`.slice(0, most + 2);
        } else line = line ? `${line} ${part}` : part;
      }
    }
    lines.push(line);
  }
  return lines.length ? lines : [""];
}

const pieces = (word, most) => (word.length <= most ? [word] : (word.match(new RegExp(`.{1,${most}}`, "gu")) ?? []));

// --- the picture -------------------------------------------------------------------------------------------------------

function Picture({ picture, chosen, choose, isRunning }) {
  const { width, height, columns, rows } = picture;
  return html`
    <div class=${picture.isWide ? "wide" : ""} role=${picture.isWide ? "region" : null} aria-label=${picture.isWide ? "Ladder, scrolls sideways" : null} tabindex=${picture.isWide ? 0 : null}>
      <svg class="heads" width=${width} height=${HEAD} aria-hidden="true">
        ${columns.map((column) => html`<${Head} column=${column} side=${picture.side} char=${picture.char} />`)}
      </svg>
      <svg class="body" width=${width} height=${height} role="group" aria-label="Messages and notes, oldest first; each message is a button" onKeyDown=${walk}>
        ${columns.map((column) => html`<line class=${column.isUs ? "life us" : "life"} x1=${column.x} x2=${column.x} y1="0" y2=${height} />`)}
        ${rows.map((row) => (row.lines ? html`<${Note} key=${row.n} row=${row} picture=${picture} />` : html`<${Arrow} key=${row.n} row=${row} picture=${picture} isChosen=${row.n === chosen} choose=${choose} />`))}
      </svg>
      ${isRunning && html`<p class="dim goes-on">… the call goes on</p>`}
    </div>`;
}

function Head({ column, side, char }) {
  const most = Math.floor((2 * side - 10) / char);
  const name = visible(column.name, 60);
  const shown = name.length > most ? `${name.slice(0, most - 1)}…` : name;
  const width = Math.max(44, shown.length * char + 18);
  return html`<g class=${column.isUs ? "us" : ""}>
    <rect x=${column.x - width / 2} y="4" width=${width} height="24" rx="5" /><text x=${column.x} y="20" text-anchor="middle">${shown}</text><title>${name}</title>
  </g>`;
}

function Arrow({ row, picture, isChosen, choose }) {
  const { from, to, y, entry } = row;
  const way = Math.sign(to - from);
  const line = y + ROW - 12;
  const [left, right] = [Math.min(from, to), Math.max(from, to)];
  const long = row.label.length * picture.char;
  const fits = long <= right - left - 16;
  const middle = Math.min((left + right) / 2, picture.width - long / 2 - 4);
  const start = Math.max(picture.gutter, Math.min(left + 8, picture.width - long - 4));
  const peer = picture.columns.find((column) => column.x === (entry.sent ? to : from))?.name ?? entry.leg;
  const said = `${row.label}, ${entry.sent ? `sbc to ${visible(peer, 60)}` : `${visible(peer, 60)} to sbc`} at ${row.at}${/[:]/.test(row.at) ? "" : " s"}`;
  const open = () => {
    if (String(getSelection()) === "") choose(isChosen ? null : row.n);
  };
  const press = (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      choose(isChosen ? null : row.n);
    }
  };
  return html`
    <g class=${`arrow ${row.look} ${isChosen ? "chosen" : ""} ${row.isAgain ? "again" : ""}`} role="button" tabindex="0" aria-pressed=${isChosen ? "true" : "false"} aria-label=${said} data-n=${row.n} onClick=${open} onKeyDown=${press}>
      <rect class="ground" x="0" y=${y} width=${picture.width} height=${ROW} />
      <line x1=${from} x2=${to - way * 5} y1=${line} y2=${line} />
      <path d=${`M${to - way * 1} ${line}l${-way * 8} -4.5v9z`} />
      <text class="label" x=${fits ? middle : start} y=${line - 7} text-anchor=${fits ? "middle" : "start"}>${row.label}</text>
    </g>
    <text class="at" x=${picture.gutter - 6} y=${line + 4} text-anchor="end">${row.at}</text>`;
}

function Note({ row, picture }) {
  const { lines, left, y } = row;
  const width = Math.min(picture.width - left - 2, Math.max(...lines.map((line) => line.length)) * picture.char + 14);
  const us = picture.columns[1].x;
  return html`
    <g class="remark">
      <text class="at" x=${picture.gutter - 6} y=${y + LINE + 1} text-anchor="end">${row.at}</text>
      <rect x=${left - 6} y=${y + 3} width=${width} height=${lines.length * LINE + 4} rx="4" />
      <path d=${`M${us} ${y + 8}l5 5l-5 5l-5 -5z`} />
      ${lines.map((line, n) => html`<text x=${left} y=${y + LINE * (n + 1)} xml:space="preserve">${line}</text>`)}
    </g>`;
}

/** Arrow keys go from message to message. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const arrows = [...event.currentTarget.querySelectorAll("[role=button]")];
  const next = arrows[arrows.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function Message({ entry, peer, close }) {
  const [said, setSaid] = useState("");
  const place = useRef(null);
  useEffect(() => {
    setSaid("");
    place.current.scrollIntoView({ block: "nearest" });
  }, [entry]);
  const copy = () => copyText(entry.message).then(() => setSaid("Copied."), (error) => setSaid(error.message));
  const name = visible(peer, 60);
  return html`
    <section class="message" aria-labelledby="message-head" ref=${place}>
      <div class="title"><h3 id="message-head">${entry.sent ? `sbc to ${name}` : `${name} to sbc`}</h3>
        <p class="buttons"><span role="status" class="said">${said}</span><button type="button" onClick=${copy}>Copy</button><button type="button" onClick=${close}>Close</button></p></div>
      <p class="dim"><time datetime=${entry.time}>${entry.time}</time>${entry.transport && html` · ${visible(entry.transport)}`}${entry.local && html` · <code>${visible(entry.local)}</code> ${entry.sent ? "→" : "←"} <code>${visible(entry.remote)}</code>`}</p>
      <pre tabindex="0" role="region" aria-label="The message">${visibleLines(entry.message)}</pre>
    </section>`;
}
