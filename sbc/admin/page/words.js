// Values as words: times, durations, figures, and text of peers with what hides in it made visible.
// Pure but for the operator's choice of UTC or local time, which is kept in this browser.

// Control, format (bidi overrides, zero width), separator, private and unpaired code points; long piles of accents.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\p{Cn}\u115f\u1160\u3164\uffa0]|(?<=\p{M}{3})\p{M}+/gu;
const LONGEST = 400;

/** A peer's text, safe to read: what cannot be seen stands as ⟨U+202E⟩. Markup stays text, because Preact escapes. */
export function visible(text, longest = LONGEST) {
  const shown = String(text ?? "").replace(HIDDEN, (part) => [...part].map(escaped).join(""));
  return shown.length > longest ? `${shown.slice(0, longest)}…` : shown;
}

/** As `visible`, for text of several lines. */
export function visibleLines(text) {
  return String(text ?? "").replaceAll("\r\n", "\n").split("\n").map((line) => visible(line.replaceAll("\t", "    "), 4000)).join("\n");
}

function escaped(char) {
  return `⟨U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

let utc = read("sbc.utc") === "yes";
export const isUtc = () => utc;
export function chooseUtc(yes) {
  utc = yes;
  write("sbc.utc", yes ? "yes" : "no");
}
export const zone = () => (utc ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC");

/** `14:03:22`, with the day before it where that is not today. */
export function moment(iso, now = Date.now()) {
  const at = parsed(iso);
  if (at === null) return "–";
  const clock = format(at, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return dayOf(at) === dayOf(new Date(now)) ? clock : `${dayOf(at)} ${clock}`;
}

/** `14:03`, where the day stands elsewhere. */
export function clockOf(iso) {
  const at = parsed(iso);
  return at === null ? "–" : format(at, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** `2025-01-31`, in the zone that is shown. */
export function dayOf(at) {
  const parts = Object.fromEntries(
    formatter({ year: "numeric", month: "2-digit", day: "2-digit" }).formatToParts(at).map((part) => [part.type, part.value]),
  );
  return `${parts.year}-${parts.month}-${parts.day}`;
}

/** Seconds of talk: `0:42`, `1:02:03`. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(rest).padStart(2, "0")}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** How long something has been so: `12 s`, `7 min`, `3 h 20 min`, `5 d 2 h`. */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min`;
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole / 3600) % 24} h`;
}

export const secondsSince = (iso, now) => (parsed(iso) === null ? 0 : (now - parsed(iso).getTime()) / 1000);

export function figure(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  return Number(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export const many = (count, one, more = `${one}s`) => `${figure(count)} ${count === 1 ? one : more}`;

function parsed(iso) {
  if (!iso) return null;
  const at = iso instanceof Date ? iso : new Date(iso);
  return Number.isNaN(at.getTime()) ? null : at;
}

const formatters = new Map();
function formatter(options) {
  const key = JSON.stringify(options) + utc;
  if (!formatters.has(key)) formatters.set(key, new Intl.DateTimeFormat("en-GB", utc ? { ...options, timeZone: "UTC" } : options));
  return formatters.get(key);
}
const format = (at, options) => formatter(options).format(at);

/** The browser may forbid storage; then a choice lasts as long as the page. */
export function read(key, storage = "localStorage") {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

export function write(key, value, storage = "localStorage") {
  try {
    if (value === null) window[storage].removeItem(key);
    else window[storage].setItem(key, value);
  } catch {
    /* It lasts as long as the page. */
  }
}
