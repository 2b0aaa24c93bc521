// Alarms: what is wrong now, what was until an hour ago; and the words that a screen reader hears when one comes.

import { lift } from "./actions.js";
import { live, useLive } from "./live.js";
import { Lasting, Peer, Time } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { many, visible } from "./words.js";

const QUIET_MS = 10_000; // between two announcements

export function Alarms() {
  const alarms = useLive((s) => s.alarms);
  const bans = useLive((s) => s.bans);
  const [active, over] = [alarms.filter((alarm) => alarm.active), alarms.filter((alarm) => !alarm.active)];
  return html`
    <h1 tabindex="-1">Alarms</h1>
    <section aria-labelledby="active"><h2 id="active">Now <span class="dim">${active.length}</span></h2>
      ${active.length ? html`<${AlarmList} alarms=${active} />` : html`<p class="empty good">● No alarm is active.</p>`}
    </section>
    <section aria-labelledby="over"><h2 id="over">Over, within the last hour <span class="dim">${over.length}</span></h2>
      ${over.length ? html`<${AlarmList} alarms=${over} />` : html`<p class="empty">None.</p>`}
    </section>
    <section aria-labelledby="bans"><h2 id="bans">Banned sources <span class="dim">${bans.total}</span></h2>
      ${bans.total ? html`<${BanList} bans=${bans} />` : html`<p class="empty">None.</p>`}
    </section>`;
}

const BanList = ({ bans }) => html`
  <ul class="alarms">
    ${bans.bans.map((ban) => html`
      <li key=${`${ban.address} ${ban.since}`} class="past">
        <p class="what"><strong><code>${visible(ban.address)}</code></strong> <${Peer}>${ban.why}<//> <button type="button" onClick=${() => lift(ban)}>Lift</button></p>
        <p class="dim">by ${ban.by === "sbc" ? "the SBC" : "an operator"} since <${Time} at=${ban.since} />, until <${Time} at=${ban.until} /></p>
      </li>`)}
  </ul>
  ${bans.total > bans.bans.length && html`<p class="dim">The newest ${bans.bans.length} are shown; <code>sbc bans list</code> has all.</p>`}`;

const keyOf = (alarm) => `${alarm.event} ${alarm.subject}`;

export const AlarmList = ({ alarms }) => html`
  <ul class="alarms">
    ${alarms.map((alarm) => html`
      <li key=${`${keyOf(alarm)} ${alarm.since}`} class=${alarm.active ? "active" : "past"}>
        <p class="what"><span aria-hidden="true" class="shape">${alarm.active ? "▲" : "○"}</span> <strong><${Peer}>${alarm.text || alarm.event}<//></strong></p>
        <p class="dim"><code>${visible(alarm.event)}</code>${alarm.subject && html` <${Peer}>${alarm.subject}<//>`} ·
          ${alarm.active ? html` for <${Lasting} since=${alarm.since} long />, since <${Time} at=${alarm.since} />` : html` <${Time} at=${alarm.since} /> to <${Time} at=${alarm.ended_at} />`}
          ${alarm.count > 1 && html` · ${alarm.count} times, last <${Time} at=${alarm.last} />`}
        </p>
        <${Fields} fields=${alarm.fields} said=${alarm.text ?? ""} />
      </li>`)}
  </ul>`;

/** What the sentence does not say already. */
function Fields({ fields, said }) {
  const isNew = (value) => value !== null && value !== "" && !(String(value).length > 2 && said.includes(String(value)));
  const pairs = Object.entries(fields ?? {}).filter(([, value]) => isNew(value));
  if (!pairs.length) return null;
  return html`<dl class="fields">${pairs.map(([name, value]) => html`<div><dt>${visible(name)}</dt><dd><${Peer}>${typeof value === "object" ? JSON.stringify(value) : value}<//></dd></div>`)}</dl>`;
}

/** The sentence for the live region: once for what has come since the last one, at most every ten seconds. */
export function useNews() {
  const [news, setNews] = useState("");
  const alarms = useLive((s) => s.alarms);
  const known = useRef(null);
  const timer = useRef(null);
  useEffect(() => {
    const active = () => live.alarms.filter((alarm) => alarm.active);
    if (known.current === null) {
      if (live.status) known.current = new Set(active().map(keyOf));
      return;
    }
    if (timer.current) return;
    const speak = () => {
      const fresh = active().filter((alarm) => !known.current.has(keyOf(alarm)));
      const ended = known.current.size > 0 && active().length === 0;
      known.current = new Set(active().map(keyOf));
      timer.current = fresh.length || ended ? setTimeout(() => { timer.current = null; speak(); }, QUIET_MS) : null;
      if (fresh.length) setNews(`${many(fresh.length, "new alarm")}: ${fresh.slice(0, 3).map((alarm) => visible(alarm.text || alarm.event, 120)).join("; ")}`);
      else if (ended) setNews("No alarm is active any more.");
    };
    speak();
  }, [alarms]);
  return news;
}
