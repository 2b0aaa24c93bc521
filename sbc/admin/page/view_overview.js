// What the person who is woken at night looks at first: is it taking calls, what is wrong, are there paths left.

import { drain, reload, undrain } from "./actions.js";
import { live, useLive } from "./live.js";
import { AlarmList } from "./view_alarms.js";
import { Lasting, mediaTrouble, PathsBar, Peer, Since, State, Table } from "./parts.js";
import { html } from "./vendor/htm-preact.js";
import { figure, many, visible } from "./words.js";

export function Overview() {
  const status = useLive((s) => s.status);
  if (!status) return html`<h1 tabindex="-1">Overview</h1><p class="empty">Waiting for the SBC …</p>`;
  return html`
    <div class="title"><h1 tabindex="-1">Overview</h1><${Orders} status=${status} /></div>
    <${Figures} status=${status} />
    <${Wrong} />
    <${Trunks} />
    <${Pbxs} />
    <${Limits} />
    <${Media} status=${status} />`;
}

const Orders = ({ status }) => html`
  <p class="buttons">
    <button type="button" onClick=${reload}>Reload policy …</button>
    ${status.draining ? html`<button type="button" class="main" onClick=${undrain}>Take the drain back …</button>` : html`<button type="button" onClick=${drain}>Drain …</button>`}
  </p>`;

function Figures({ status }) {
  const rates = status.rates ?? {};
  const alarms = useLive((s) => s.alarms).filter((alarm) => alarm.active).length;
  useLive((s) => s.version);
  const bad = [...live.calls.values()].filter((call) => mediaTrouble(call)).length;
  return html`
    <dl class="figures">
      <div><dt>Calls now</dt><dd><a href="#/calls">${figure(status.calls)}</a></dd></div>
      <div><dt>New calls</dt><dd>${figure(rates.calls_per_second, 1)} <small>/s</small></dd></div>
      <div><dt>Answered</dt><dd>${figure(rates.answered_per_second, 1)} <small>/s</small></dd></div>
      <div class=${bad ? "bad" : ""}><dt>Bad sound</dt><dd><a href=${bad ? "#/calls?bad" : "#/calls"}>${bad || "none"}</a></dd></div>
      <div class=${alarms ? "bad" : ""}><dt>Alarms</dt><dd><a href="#/alarms">${alarms || "none"}</a></dd></div>
      <div class=${status.draining ? "warn" : status.ready ? "" : "bad"}><dt>New calls are</dt><dd class="word">${status.draining ? "refused: draining" : status.ready ? "taken" : "refused: not ready"}</dd></div>
      <div><dt>Up for</dt><dd class="word">${status.started_at ? html`<${Lasting} since=${status.started_at} long />` : "–"}</dd></div>
    </dl>`;
}

function Wrong() {
  const alarms = useLive((s) => s.alarms).filter((alarm) => alarm.active);
  if (!alarms.length) return null;
  return html`<section aria-labelledby="wrong"><h2 id="wrong">What is wrong</h2><${AlarmList} alarms=${alarms.slice(0, 8)} />
    ${alarms.length > 8 && html`<p><a href="#/alarms">All ${alarms.length} alarms</a></p>`}</section>`;
}

function Trunks() {
  const trunks = useLive((s) => s.trunks);
  const pools = useLive((s) => s.paths).filter((path) => path.kind === "pool");
  return html`
    <section aria-labelledby="trunks"><h2 id="trunks">Trunks</h2>
      <ul class="tiles">
        ${trunks.map((trunk) => html`
          <li key=${trunk.name} class=${`tile ${trunk.state}`}>
            <h3><a href=${`#/peers/${encodeURIComponent(trunk.name)}`}>${visible(trunk.name)}</a> <${State} is=${trunk.state} /></h3>
            ${trunk.state !== "up" && html`<p class="why"><${Peer}>${trunk.why}<//> <span class="since"><${Since} at=${trunk.since} /></span></p>`}
            <${PathsBar} name=${trunk.name} paths=${trunk.call_paths} />
            ${trunk.registration && html`<p class="note"><${State} is=${trunk.registration.state} />${trunk.registration.state !== "registered" && trunk.registration.why && html` <${Peer}>${trunk.registration.why}<//>`}</p>`}
            ${trunk.call_paths.pool && html`<p class="note dim">shares pool ${visible(trunk.call_paths.pool)}</p>`}
          </li>`)}
        ${pools.map((pool) => html`
          <li key=${`pool ${pool.trunk}`} class="tile"><h3>${visible(pool.trunk)} <span class="dim">pool</span></h3><${PathsBar} name=${`pool ${pool.trunk}`} paths=${pool} /></li>`)}
      </ul>
      ${!trunks.length && html`<p class="empty">The policy has no trunk.</p>`}
    </section>`;
}

function Pbxs() {
  const pbxs = useLive((s) => s.pbxs);
  return html`
    <section aria-labelledby="pbxs"><h2 id="pbxs">PBXs</h2>
      <ul class="tiles">
        ${pbxs.map((pbx) => html`
          <li key=${pbx.name} class=${`tile ${pbx.state}`}>
            <h3><a href=${`#/peers/${encodeURIComponent(pbx.name)}`}>${visible(pbx.name)}</a> <${State} is=${pbx.state} /></h3>
            ${pbx.state !== "up" && html`<p class="why"><${Peer}>${pbx.why}<//> <span class="since"><${Since} at=${pbx.since} /></span></p>`}
            ${pbx.bindings?.length > 0 && html`<p class="note dim">${many(pbx.bindings.length, "registered contact")}</p>`}
          </li>`)}
      </ul>
      ${!pbxs.length && html`<p class="empty">The policy has no PBX.</p>`}
    </section>`;
}

function Limits() {
  const limits = useLive((s) => s.limits);
  if (!limits.length) return null;
  const of = (used, most, digits = 0) => (most === null || most === undefined ? html`<span class="dim">no limit</span>` : html`<b class=${used >= most ? "over" : ""}>${figure(used, digits)}</b> of ${figure(most)}`);
  const columns = [
    { name: "Limits of", isHead: true, show: (row) => visible(row.name) },
    { name: "Call paths", isNumber: true, show: (row) => of(row.call_paths_used, row.call_paths) },
    { name: "Minutes today", isNumber: true, show: (row) => of(row.minutes_today, row.minutes_per_day, 1) },
    { name: "Calls per second", isNumber: true, show: (row) => (row.cps === null ? html`<span class="dim">no limit</span>` : html`at most ${row.cps}`) },
  ];
  return html`<section aria-labelledby="limits"><h2 id="limits">Limits</h2><${Table} caption="What counts against limits of PBXs and routes" columns=${columns} rows=${limits} keyOf=${(row) => row.name} /></section>`;
}

function Media({ status }) {
  const workers = status.media ?? [];
  if (!workers.length) return null;
  const columns = [
    { name: "Worker", isHead: true, show: (row) => row.worker },
    { name: "Process", show: (row) => (row.pid === null ? html`<${State} is="down">not running<//>` : row.pid) },
    { name: "Relays in the", show: (row) => html`${row.engine || "–"}${row.reason && html` <small class="dim">${visible(row.reason)}</small>`}` },
    { name: "Calls", isNumber: true, show: (row) => row.sessions },
  ];
  return html`<section aria-labelledby="media"><h2 id="media">Media workers</h2><${Table} caption="Media workers" columns=${columns} rows=${workers} keyOf=${(row) => row.worker} /></section>`;
}
