// Calls, call paths and quality over the last hours, from the SBC's memory; each chart with its table for who cannot see it.

import { ask } from "./api.js";
import { useLive } from "./live.js";
import { Table, Time, Trouble } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { clockOf, figure, isUtc, visible } from "./words.js";

const RANGES = { 60: "last hour", 360: "last 6 hours", 1440: "last 24 hours" };
const AGAIN_MS = 20_000;
const HEIGHT = 170;
const ROWS = 60; // of a table; more would be read by nobody

export function Charts() {
  const [minutes, setMinutes] = useState(60);
  const [history, setHistory] = useState(null);
  const [trouble, setTrouble] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    const read = () =>
      ask(`history?minutes=${minutes}`, { signal: stop.signal }).then(
        (answer) => {
          setHistory(answer);
          setTrouble(null);
        },
        (problem) => problem.name === "AbortError" || setTrouble(problem),
      );
    read();
    const again = setInterval(read, AGAIN_MS);
    return () => {
      clearInterval(again);
      stop.abort();
    };
  }, [minutes]);
  return html`
    <h1 tabindex="-1">Charts</h1>
    <form class="filters" aria-label="Charts" onSubmit=${(event) => event.preventDefault()}>
      <label>Time <select value=${minutes} onChange=${(event) => setMinutes(Number(event.target.value))}>${Object.entries(RANGES).map(([one, name]) => html`<option value=${one}>${name}</option>`)}</select></label>
    </form>
    <${Trouble} problem=${trouble} />
    ${!history && !trouble && html`<p class="empty" role="status">Reading …</p>`}
    ${history && (history.samples.length ? html`<${All} samples=${history.samples} span=${minutes} />` : html`<p class="empty">Nothing is remembered yet. The first minute after a start is not over.</p>`)}`;
}

function All({ samples, span }) {
  const trunks = [...new Set(samples.flatMap((sample) => Object.keys(sample.paths ?? {})))].sort();
  const limits = useLive((s) => s.trunks);
  const bought = (name) => limits.find((trunk) => trunk.name === name)?.call_paths.limit;
  const of = (name) => samples.map((sample) => sample[name] ?? null);
  return html`<div class="charts">
    <${Chart} isWide title="Calls" samples=${samples} span=${span} series=${[
      { name: "Calls at once", values: of("calls"), fill: true },
      { name: "New calls a minute", values: of("attempts") },
      { name: "Answered a minute", values: of("answered") },
    ]} />
    ${trunks.length > 0 && html`<${Chart} isWide title="Call paths used" samples=${samples} span=${span} series=${trunks.map((name) => ({ name: `${visible(name, 40)}${bought(name) ? ` (${bought(name)} bought)` : ""}`, values: samples.map((sample) => sample.paths?.[name] ?? 0) }))} />`}
    <${Chart} title="Quality: mean opinion score" samples=${samples} span=${span} range=${[1, 4.6]} digits=${2} series=${[{ name: "MOS", values: of("mos") }]} />
    <${Chart} title="Quality: packets lost" samples=${samples} span=${span} digits=${2} series=${[{ name: "Lost, percent", values: of("lost_percent") }]} />
    <${Chart} title="Quality: jitter" samples=${samples} span=${span} digits=${1} series=${[{ name: "Jitter, ms", values: of("jitter_ms") }]} />
  </div>`;
}

function Chart({ title, samples, span, series, range, digits = 0, isWide = false }) {
  const place = useRef(null);
  const plot = useRef(null);
  const scheme = useScheme();
  const names = series.map((one) => one.name).join("\n");
  const data = [samples.map((sample) => Date.parse(sample.at) / 1000), ...series.map((one) => one.values)];
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => {
    let isGone = false;
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height: HEIGHT }));
    import("./vendor/uplot.js").then(({ default: UPlot }) => {
      if (isGone) return;
      plot.current = new UPlot(options(UPlot, place.current, series, range, digits, span), latest.current, place.current);
      watch.observe(place.current);
    });
    return () => {
      isGone = true;
      watch.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [names, scheme, span, isUtc()]);
  useEffect(() => plot.current?.setData(data), [samples]);
  const rows = samples.map((sample, n) => ({ at: sample.at, values: series.map((one) => one.values[n]) })).slice(-ROWS).reverse();
  const columns = [
    { name: "Minute", isHead: true, show: (row) => html`<${Time} at=${row.at} />` },
    ...series.map((one, n) => ({ name: one.name, isNumber: true, show: (row) => figure(row.values[n], digits) })),
  ];
  const id = `chart-${title.replace(/\W+/g, "-")}`;
  return html`
    <section class=${isWide ? "chart wide" : "chart"} aria-labelledby=${id}><h2 id=${id}>${title}</h2>
      <div class="plot" ref=${place} aria-hidden="true"></div>
      <details><summary>${title} as a table</summary><${Table} caption=${`${title}, newest first, at most ${ROWS} minutes`} columns=${columns} rows=${rows} keyOf=${(row) => row.at} /></details>
    </section>`;
}

/** Another value when the colours are others, by the system or by the page's choice. */
function useScheme() {
  const [scheme, setScheme] = useState(0);
  useEffect(() => {
    const changed = () => setScheme((n) => n + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const theme = new MutationObserver(changed);
    media.addEventListener("change", changed);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      media.removeEventListener("change", changed);
      theme.disconnect();
    };
  }, []);
  return scheme;
}

function options(UPlot, place, series, range, digits, span) {
  const color = (name) => colorOf(place, name);
  const [ink, grid] = [color("--dim"), color("--line")];
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "11px system-ui, sans-serif" };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    tzDate: isUtc() ? (at) => UPlot.tzDate(new Date(at * 1000), "UTC") : undefined,
    cursor: { points: { size: 6 } },
    scales: { x: { range: (_, low, high) => [Math.min(low, high - 60 * span), high] }, y: { range: range ?? ((_, low, high) => [0, Math.max(1, high * 1.1)]) } },
    axes: [{ ...axis, values: CLOCK, incrs: STEPS }, { ...axis, size: 44 }],
    series: [
      { value: (_, at) => (at === null ? "–" : clockAt(at)) },
      ...series.map((one, n) => ({
        label: one.name,
        stroke: color(`--chart-${(n % 6) + 1}`),
        fill: one.fill ? color("--chart-fill") : undefined,
        width: 1.6,
        points: { size: 4, show: one.values.includes(null) || one.values.length < 3 },
        dash: n >= 6 ? [6, 4] : undefined,
        value: (_, value) => figure(value, digits),
      })),
    ],
  };
}

const clockAt = (at) => clockOf(new Date(at * 1000));
const STEPS = [60, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800]; // seconds
const CLOCK = (_, ticks) => ticks.map(clockAt);

/** A colour of the style sheet as a canvas understands it. */
function colorOf(place, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}
