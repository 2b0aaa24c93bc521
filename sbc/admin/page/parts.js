// Small components that several views share. What comes from a peer goes through `Peer`; nothing here writes markup.

import { now, useBeat } from "./live.js";
import { h, html, useRef } from "./vendor/htm-preact.js";
import { clock, many, moment, secondsSince, span, visible } from "./words.js";

/** Text that somebody outside chose: a number, a name, a reason. `bdi` keeps its direction to itself. */
export const Peer = ({ children, longest }) => html`<bdi>${visible(children, longest)}</bdi>`;

// Colour, shape and word: nobody need see the colour.
const LOOKS = {
  up: ["good", "●"],
  registered: ["good", "●"],
  answered: ["good", "●"],
  ready: ["good", "●"],
  normal: ["good", "●"],
  unknown: ["idle", "○"],
  unregistered: ["idle", "○"],
  trying: ["busy", "◔"],
  ringing: ["busy", "◑"],
  registering: ["busy", "◔"],
  ending: ["idle", "○"],
  ended: ["idle", "○"],
  down: ["bad", "▲"],
  rejected: ["bad", "▲"],
  excluded: ["bad", "▲"],
  failing: ["warn", "◆"],
  suspended: ["warn", "◆"],
  busyout: ["warn", "■"],
  drill: ["warn", "■"],
  draining: ["warn", "■"],
};
const WORDS = { busyout: "busied out" };

export function State({ is, children }) {
  const [look, shape] = LOOKS[is] ?? ["idle", "○"];
  return html`<span class=${`state ${look}`}><span class="shape" aria-hidden="true">${shape}</span>${children ?? WORDS[is] ?? is}</span>`;
}

export const Time = ({ at }) =>
  at ? html`<time datetime=${at} title=${at}>${moment(at, now())}</time>` : html`<span class="dim">–</span>`;

/** A duration that counts up by itself. `long`: in words. */
export function Lasting({ since, long = false }) {
  const place = useRef(null);
  useBeat(() => {
    const seconds = secondsSince(since, now());
    const text = long ? span(seconds) : clock(seconds);
    if (place.current && place.current.textContent !== text) place.current.textContent = text;
  }, [since, long]);
  return html`<span ref=${place} class="ticks"></span>`;
}

export const Since = ({ at }) => (at ? html`for <${Lasting} since=${at} long /> <span class="dim">(since <${Time} at=${at} />)</span>` : null);

/** Call paths: used against bought, with today's peak marked. Says it in words to who does not see it. */
export function PathsBar({ name, paths }) {
  const { used, limit, inbound, outbound, peak_today: peak } = paths;
  if (limit === null || limit === undefined) {
    return html`<div class="paths"><div class="paths-words"><b>${used}</b> used, no limit<${Peak} peak=${peak} /></div></div>`;
  }
  const of = (count) => `${Math.min(100, (100 * count) / Math.max(limit, used, 1))}%`;
  const level = used >= limit ? "full" : used >= 0.8 * limit ? "near" : "";
  const ways = inbound === undefined ? "" : `, ${inbound} in and ${outbound} out`;
  const words = `${used} of ${limit} call paths used${ways}${peak === undefined ? "" : `; today's peak ${peak}`}`;
  return html`
    <div class=${`paths ${level}`}>
      <div class="bar" role="meter" aria-label=${`Call paths of ${name}`} aria-valuemin="0" aria-valuemax=${Math.max(limit, used)}
        aria-valuenow=${used} aria-valuetext=${words}>
        <div class="in" style=${{ width: of(inbound ?? used) }}></div>
        <div class="out" style=${{ width: of(inbound === undefined ? 0 : used - inbound) }}></div>
        ${peak > 0 && html`<div class="peak" style=${{ left: of(peak) }}></div>`}
      </div>
      <div class="paths-words" aria-hidden="true">
        <span><b>${used}</b> of ${limit}</span>
        ${ways && used > 0 && html`<span class="ways"><i class="in"></i>${inbound} in <i class="out"></i>${outbound} out</span>`}
        <${Peak} peak=${peak} />
      </div>
    </div>`;
}

const Peak = ({ peak }) => (peak === undefined ? null : html`<span class="peak-words">peak today <b>${peak}</b></span>`);

/**
 * A table with a caption, which becomes a list of cards on a narrow screen; then each cell says its column's name.
 * `columns`: {key, name, show(row), isNumber?, isHead?}. Roles are written out, because CSS takes them away from cards.
 */
export function Table({ caption, columns, rows, keyOf, isCaptionShown = false, empty = "Nothing to show.", extra }) {
  if (!rows.length) return html`<p class="empty">${empty}</p>`;
  return html`
    <table class="cards" role="table">
      <caption class=${isCaptionShown ? "" : "unseen"}>${caption}</caption>
      <thead role="rowgroup">
        <tr role="row">${columns.map((c) => (c.name ? html`<th scope="col" role="columnheader" class=${c.isNumber ? "number" : ""}>${c.name}</th>` : html`<td role="cell"></td>`))}</tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map((row) => {
          const more = extra?.(row);
          return [
            html`<tr role="row" key=${keyOf(row)}>
              ${columns.map((c) =>
                h(c.isHead ? "th" : "td", { role: c.isHead ? "rowheader" : "cell", scope: c.isHead ? "row" : undefined, "data-name": c.name || undefined, class: c.isNumber ? "number" : "" }, h("div", null, c.show(row))),
              )}
            </tr>`,
            more && html`<tr role="row" class="extra" key=${`${keyOf(row)} more`}><td role="cell" colspan=${columns.length}>${more}</td></tr>`,
          ];
        })}
      </tbody>
    </table>`;
}

/** A problem document: what was asked for did not happen, and why, line by line. */
export function Trouble({ problem, retry }) {
  if (!problem) return null;
  return html`
    <div class="trouble" role="alert">
      <strong>${visible(problem.title)}</strong>
      ${problem.detail && html`<p><${Peer} longest=${2000}>${problem.detail}<//></p>`}
      ${problem.problems?.length > 0 && html`<ul class="problems">${problem.problems.map((line) => html`<li><${Peer} longest=${2000}>${line}<//></li>`)}</ul>`}
      ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
    </div>`;
}

// --- media -------------------------------------------------------------------------------------------------------------

const SILENT_SECONDS = 5;
const POOR_MOS = 3.6; // below it "some users dissatisfied" (ITU-T G.107, annex B)
const POOR_LOSS_PERCENT = 3;

/** What is wrong with a call's media, in a sentence; "" where nothing is. `call`: of the API, or a record. */
export function mediaTrouble(call, media = call.quality) {
  if (!media) return "";
  const name = (side) => visible(call[side] ?? side, 60);
  if (media.one_way) {
    const sides = media.one_way.split(" and ");
    return sides.length > 1 ? "No audio from either side" : `One-way audio: nothing heard from ${name(sides[0])}`;
  }
  if (media.fell_silent) return `${media.fell_silent.split(" and ").map(name).join(" and ")} fell silent`;
  const silent = silentSides(call, media);
  if (silent.length > 1) return `No audio from either side${silent[0].seconds ? ` for ${span(Math.min(...silent.map((one) => one.seconds)))}` : ""}`;
  if (silent[0]?.seconds) return `${name(silent[0].side)} silent for ${span(silent[0].seconds)}`;
  const { mos, loss } = worst(media);
  if (loss !== null && loss >= POOR_LOSS_PERCENT) return `${loss.toFixed(1)} % of packets lost`;
  return mos !== null && mos < POOR_MOS ? `Poor quality: MOS ${mos.toFixed(1)}` : "";
}

/** `[{side, seconds}]`. A running call says for how long; of a record one knows only that nothing at all came. */
function silentSides(call, media) {
  const isOver = call.ended_at !== undefined;
  if (isOver && !call.answered_at) return [];
  return ["ingress", "egress"].flatMap((side) => {
    const streams = media[side] ?? [];
    const seconds = Math.max(0, ...streams.map((stream) => stream.silent_seconds ?? 0));
    if (isOver) return streams.length && streams.every((stream) => !stream.packets) && !media.one_way ? [{ side, seconds: 0 }] : [];
    return seconds >= SILENT_SECONDS ? [{ side, seconds }] : [];
  });
}

/** The worst score and loss (percent) of all streams; null where there is none. */
export function worst(media) {
  const streams = [...(media?.ingress ?? []), ...(media?.egress ?? [])];
  const scores = streams.map((stream) => stream.mos).filter((mos) => typeof mos === "number");
  const losses = streams.map(lossPercent).filter((loss) => loss !== null);
  return { mos: scores.length ? Math.min(...scores) : null, loss: losses.length ? Math.max(...losses) : null };
}

export function lossPercent({ lost, packets }) {
  if (lost === null || lost === undefined) return null;
  const gone = Math.max(lost, 0);
  return gone + packets ? (100 * gone) / (gone + packets) : null;
}

export const engineOf = (media) =>
  [...new Set([...(media?.ingress ?? []), ...(media?.egress ?? [])].map((stream) => stream.engine).filter(Boolean))].sort().join(" + ");

/** Streams of a call or a record, each what came from one side. */
export function Streams({ call, media }) {
  const rows = ["ingress", "egress"].flatMap((side) => (media?.[side] ?? []).map((stream, n) => ({ side, n, ...stream })));
  const isLive = rows.some((row) => row.engine !== undefined);
  const columns = [
    { name: "From", isHead: true, show: (row) => html`<${Peer}>${call[row.side] ?? row.side}<//>` },
    { name: "Codec", show: (row) => html`<${Peer} longest=${40}>${row.codec}<//>` },
    { name: "Packets", isNumber: true, show: (row) => row.packets },
    { name: "Lost", isNumber: true, show: (row) => (lossPercent(row) === null ? "–" : `${lossPercent(row).toFixed(1)} %`) },
    { name: "Jitter", isNumber: true, show: (row) => ms(row.jitter_ms) },
    { name: "Worst jitter", isNumber: true, show: (row) => ms(row.jitter_max_ms) },
    { name: "Round trip", isNumber: true, show: (row) => ms(row.round_trip_ms) },
    { name: "MOS", isNumber: true, show: (row) => (typeof row.mos === "number" ? row.mos.toFixed(1) : "–") },
    isLive && { name: "Comes from", show: (row) => (row.source ? html`<code>${visible(row.source)}</code>` : "nowhere yet") },
    isLive && { name: "Relayed by", show: (row) => html`${row.engine || "–"}${row.why && html` <small class="dim">${visible(row.why)}</small>`}` },
  ].filter(Boolean);
  return html`<${Table} caption="Media, by side that it comes from" columns=${columns} rows=${rows} keyOf=${(row) => row.side + row.n} empty="No media was counted." />`;
}

const ms = (value) => (typeof value === "number" ? `${value.toFixed(1)} ms` : "–");

export const countOf = (rows, word) => html`<p class="count" role="status">${many(rows, word)}</p>`;
