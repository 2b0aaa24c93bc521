// The report that explains the bill: calls, minutes, answer-seizure ratio, mean duration and peaks per day and trunk.

import { ask, query } from "./api.js";
import { useLive } from "./live.js";
import { Table, Trouble } from "./parts.js";
import { html, useEffect, useState } from "./vendor/htm-preact.js";
import { clockOf, figure, isUtc, moment, visible } from "./words.js";

const SPANS = {
  today: "today",
  yesterday: "yesterday",
  week: "last 7 days",
  month: "this month",
  "last-month": "last month",
};

export function Report({ place }) {
  const span = SPANS[place.params.get("span")] ? place.params.get("span") : "week";
  const trunk = place.params.get("trunk") ?? "";
  const trunks = useLive((s) => s.trunks).map((one) => one.name);
  const [report, setReport] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const [tries, setTries] = useState(0);
  const timezone = isUtc() ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
  useEffect(() => {
    const stop = new AbortController();
    const [since, until] = bounds(span, new Date());
    ask(`report${query({ since, until, trunk, timezone })}`, { signal: stop.signal }).then(
      (answer) => {
        setReport(answer);
        setTrouble(null);
      },
      (problem) => problem.name === "AbortError" || setTrouble(problem),
    );
    return () => stop.abort();
  }, [span, trunk, timezone, tries]);
  const choose = (change) => {
    location.hash = `#/report${query({ span, trunk, ...change })}`;
  };
  return html`
    <h1 tabindex="-1">Report</h1>
    <form class="filters" aria-label="Report" onSubmit=${(event) => event.preventDefault()}>
      <label>Calls of <select value=${span} onChange=${(event) => choose({ span: event.target.value })}>${Object.entries(SPANS).map(([one, name]) => html`<option value=${one} selected=${one === span}>${name}</option>`)}</select></label>
      <label>Trunk <select value=${trunk} onChange=${(event) => choose({ trunk: event.target.value })}><option value="">all</option>${trunks.map((one) => html`<option value=${one} selected=${one === trunk}>${visible(one)}</option>`)}</select></label>
    </form>
    <${Trouble} problem=${trouble} retry=${() => setTries(tries + 1)} />
    ${!report && !trouble && html`<p class="empty" role="status">Adding up …</p>`}
    ${report && !trouble && html`<${Totals} totals=${report.totals} />
      <section aria-labelledby="by-day"><h2 id="by-day">By day <span class="dim">days are of ${visible(report.timezone)}</span></h2><${Rows} rows=${report.rows} caption="By day, trunk and direction" isDaily /></section>
      <p class="dim">${EXPLAINED}</p>`}`;
}

/** Since (inclusive) and until (exclusive), as UTC text; days begin at midnight of the zone that is shown. */
function bounds(span, now) {
  const day = (back, date) => (isUtc() ? new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + (date ? back : 0), date ?? now.getUTCDate() + back)) : new Date(now.getFullYear(), now.getMonth() + (date ? back : 0), date ?? now.getDate() + back)).toISOString();
  return {
    today: () => [day(0), ""],
    yesterday: () => [day(-1), day(0)],
    week: () => [day(-6), ""],
    month: () => [day(0, 1), ""],
    "last-month": () => [day(-1, 1), day(0, 1)],
  }[span]();
}

const percent = (value) => (value === null || value === undefined ? "–" : `${figure(value, 1)} %`);
const duration = (value) => (value === null || value === undefined ? "–" : `${figure(value, 0)} s`);

/** Of all trunks together, and of each. A call from one trunk to another counts for both, as both bill it. */
function Totals({ totals }) {
  const both = totals.filter((row) => row.direction === "both");
  const sum = (name) => both.reduce((all, row) => all + row[name], 0);
  const [calls, answered] = [sum("calls"), sum("answered")];
  const facts = [
    ["Calls", figure(calls)],
    ["Answered", figure(answered)],
    ["Answer-seizure ratio", percent(calls ? (100 * answered) / calls : null)],
    ["Minutes", figure(sum("minutes"), 1)],
    ["Started minutes", figure(sum("minutes_started"))],
  ];
  return html`
    <dl class="figures">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <section aria-labelledby="in-all"><h2 id="in-all">In all</h2><${Rows} rows=${totals} caption="By trunk and direction, of the whole time" /></section>`;
}

const EXPLAINED = "ASR: answer-seizure ratio. ACD: mean duration of answered calls. Started minutes: each call's minutes rounded up.";

function Rows({ rows, caption, isDaily = false }) {
  const columns = [
    isDaily && { name: "Day", isHead: true, show: (row) => row.day },
    { name: "Trunk", isHead: !isDaily, show: (row) => visible(row.trunk) },
    { name: "Direction", show: (row) => row.direction },
    { name: "Calls", isNumber: true, show: (row) => figure(row.calls) },
    { name: "Answered", isNumber: true, show: (row) => figure(row.answered) },
    { name: "ASR", isNumber: true, show: (row) => percent(row.asr_percent) },
    { name: "Minutes", isNumber: true, show: (row) => figure(row.minutes, 1) },
    { name: "Started", isNumber: true, show: (row) => figure(row.minutes_started) },
    { name: "ACD", isNumber: true, show: (row) => duration(row.acd_seconds) },
    { name: "Peak paths", isNumber: true, show: (row) => html`${figure(row.peak_paths)}${row.peak_at && html` <small class="dim">${moments(row.peak_at, isDaily)}</small>`}` },
    { name: "Busy hour", isNumber: true, show: (row) => (row.busy_hour === null ? "–" : html`${figure(row.busy_hour_paths)} <small class="dim">${moments(row.busy_hour, isDaily)}</small>`) },
  ].filter(Boolean);
  return html`<${Table} caption=${`${caption}. ${EXPLAINED}`} columns=${columns} rows=${rows} keyOf=${(row) => `${row.day} ${row.trunk} ${row.direction}`} empty="No trunk carried a call in this time. Calls that were refused before they reached one are among the records." />`;
}

/** In a row of a day its day is known. */
const moments = (at, isDaily) => (isDaily ? clockOf(at) : moment(at).replace(/:\d\d$/, ""));
