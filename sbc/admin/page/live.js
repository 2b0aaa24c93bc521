// What the SBC says of itself, as it comes: reads GET events (server-sent events by fetch, because of the token),
// keeps the latest state and calls, and tells components that use it. Reconnects by itself, with growing pauses.

import { open } from "./api.js";
import { useEffect, useState } from "./vendor/htm-preact.js";

const SILENCE_MS = 25_000; // a keep-alive comes every 15 s
const PAUSES_MS = [1000, 2000, 4000, 8000, 15_000];
const HIDDEN_MS = 500; // how often a page that nobody looks at is drawn: for its title

/** The one store. It is changed here only; `calls` is by ref, and a call that changes is a new object. */
export const live = {
  status: null,
  trunks: [],
  pbxs: [],
  paths: [],
  limits: [],
  alarms: [],
  bans: { bans: [], total: 0 }, // the newest
  calls: new Map(),
  version: 0, // of `calls`
  total: 0,
  shown: 0,
  link: { is: "connecting", seenAt: null, retryAt: null, why: "" },
};

let skew = 0; // of the SBC's clock to this one, in milliseconds
/** The SBC's time, as its times are to be compared with. */
export const now = () => Date.now() + skew;

const readers = new Set();
let isTelling = false;

/** A component is drawn again when what `select` returns is another value (by identity). */
export function useLive(select) {
  const [, redraw] = useState(0);
  const value = select(live);
  useEffect(() => {
    const reader = { select, value, redraw: () => redraw((n) => n + 1) };
    readers.add(reader);
    if (!Object.is(reader.select(live), value)) reader.redraw();
    return () => readers.delete(reader);
  }, [value]);
  return value;
}

/** Once in a frame, however much came. */
function tell() {
  if (isTelling) return;
  isTelling = true;
  const soon = document.hidden ? (work) => setTimeout(work, HIDDEN_MS) : requestAnimationFrame;
  soon(() => {
    isTelling = false;
    for (const reader of readers) if (!Object.is(reader.select(live), reader.value)) reader.redraw();
  });
}

function setLink(change) {
  live.link = { ...live.link, ...change };
  tell();
}

let wake = () => {};
/** Try now: a token was given, or the operator asks. */
export const reconnect = () => wake();

export async function listen() {
  for (let failures = 0; ; failures += 1) {
    const why = await listenOnce(() => (failures = 0));
    const is = why.status === 401 ? "denied" : "lost";
    const pause = PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] * (0.8 + 0.4 * Math.random());
    setLink({ is, why: why.message, retryAt: is === "denied" ? null : Date.now() + pause });
    await new Promise((resolve) => {
      wake = resolve;
      if (is !== "denied") setTimeout(resolve, pause);
    });
    setLink({ is: live.link.seenAt ? "lost" : "connecting", retryAt: null });
  }
}

/** Reads until the stream ends. Returns why it did, as an Error. */
async function listenOnce(works) {
  const stop = new AbortController();
  let watch;
  const seen = () => {
    clearTimeout(watch);
    watch = setTimeout(() => stop.abort(), SILENCE_MS);
  };
  try {
    seen();
    const response = await open("events", { accept: "text/event-stream", signal: stop.signal });
    const date = Date.parse(response.headers.get("Date") ?? "");
    if (!Number.isNaN(date) && Math.abs(date - Date.now()) > 2000) skew = date - Date.now();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const take = parser(receive);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return new Error("the SBC has closed the connection");
      seen();
      works();
      take(value);
      setLink({ is: "up", seenAt: Date.now(), retryAt: null, why: "" });
    }
  } catch (error) {
    return stop.signal.aborted ? new Error("nothing has come for too long") : error;
  } finally {
    clearTimeout(watch);
    stop.abort();
  }
}

/** Server-sent events (HTML, section 9.2.6), as far as our server uses them. Calls `give(event, data)`. */
export function parser(give) {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      let event = "message";
      const data = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      if (data.length) give(event, JSON.parse(data.join("\n")));
    }
  };
}

const STATE = ["status", "trunks", "pbxs", "paths", "limits", "alarms", "bans"];

function receive(event, data) {
  if (event === "state") {
    for (const name of STATE) if (data[name] !== undefined) live[name] = data[name];
    const { started_at: start, uptime_seconds: uptime } = live.status ?? {};
    if (start && uptime !== undefined && data.status) {
      const of = Date.parse(start) + uptime * 1000 - Date.now();
      skew = Math.abs(of - skew) > 1500 ? of : skew; // a figure that is a second old is no clock
    }
  } else if (event === "calls") {
    if (data.reset) live.calls.clear();
    for (const ref of data.gone ?? []) live.calls.delete(ref);
    for (const call of data.calls ?? []) live.calls.set(call.ref, call);
    live.total = data.total ?? live.calls.size;
    live.shown = data.shown ?? live.calls.size;
    live.version += 1;
  }
}

// --- the second's beat, for what counts up -----------------------------------------------------------------------------

const beats = new Set();
setInterval(() => {
  if (document.hidden) return;
  for (const beat of beats) beat();
}, 1000);

/** `beat` is called every second while the component is there; it writes to the page by itself, without a drawing. */
export function useBeat(beat, depends) {
  useEffect(() => {
    beat();
    beats.add(beat);
    return () => beats.delete(beat);
  }, depends);
}
