// Trunks and PBXs: each server with since when and why; registration; ping, busy-out and restore, drill.

import { busyOut, drill, ping } from "./actions.js";
import { useLive } from "./live.js";
import { PathsBar, Peer, Since, State, Table, Time } from "./parts.js";
import { html, useEffect } from "./vendor/htm-preact.js";
import { BesideCalls } from "./view_peer.js";
import { visible } from "./words.js";

export const Peers = ({ place }) => (place.parts[2] === "messages" ? html`<${BesideCalls} name=${place.parts[1]} />` : html`<${All} place=${place} />`);

function All({ place }) {
  const trunks = useLive((s) => s.trunks);
  const pbxs = useLive((s) => s.pbxs);
  const wanted = place.parts[1];
  useEffect(() => {
    const heading = wanted && document.getElementById(`peer-${wanted}`);
    if (heading) heading.scrollIntoView({ block: "start" });
  }, [wanted, trunks.length + pbxs.length > 0]);
  return html`
    <h1 tabindex="-1">Trunks and PBXs</h1>
    <section aria-labelledby="trunks"><h2 id="trunks">Trunks</h2>
      ${trunks.map((trunk) => html`<${Trunk} key=${trunk.name} trunk=${trunk} />`)}
      ${!trunks.length && html`<p class="empty">None.</p>`}
    </section>
    <section aria-labelledby="pbxs"><h2 id="pbxs">PBXs</h2>
      ${pbxs.map((pbx) => html`<${Pbx} key=${pbx.name} pbx=${pbx} />`)}
      ${!pbxs.length && html`<p class="empty">None.</p>`}
    </section>`;
}

function Trunk({ trunk }) {
  const isOut = trunk.state === "busyout";
  return html`
    <article class=${`peer ${trunk.state}`} aria-labelledby=${`peer-${trunk.name}`}>
      <${Head} peer=${trunk}>
        <button type="button" onClick=${() => busyOut(trunk, !isOut)}>${isOut ? "Restore …" : "Busy out …"}</button>
        ${trunk.state === "excluded" && html`<button type="button" onClick=${() => busyOut(trunk, false)}>Register again …</button>`}
      <//>
      <${PathsBar} name=${trunk.name} paths=${trunk.call_paths} />
      ${trunk.call_paths.pool && html`<p class="note dim">Its paths are those of the pool ${visible(trunk.call_paths.pool)}.</p>`}
      ${trunk.registration && html`<${Registration} of=${trunk.registration} />`}
      <${Servers} peer=${trunk} />
    </article>`;
}

function Pbx({ pbx }) {
  const isDrilled = pbx.state === "drill";
  const columns = [
    { name: "Number", isHead: true, show: (row) => html`<${Peer}>${row.aor}<//>` },
    { name: "Contact", show: (row) => html`<code><${Peer}>${row.contact}<//></code>` },
    { name: "From", show: (row) => html`<code>${visible(row.address)}</code>` },
    { name: "Until", show: (row) => html`<${Time} at=${row.expires_at} />` },
  ];
  return html`
    <article class=${`peer ${pbx.state}`} aria-labelledby=${`peer-${pbx.name}`}>
      <${Head} peer=${pbx}><button type="button" onClick=${() => drill(pbx, !isDrilled)}>${isDrilled ? "End the drill …" : "Drill …"}</button><//>
      <${Servers} peer=${pbx} />
      ${pbx.bindings?.length > 0 && html`<${Table} caption="Registered with us" columns=${columns} rows=${pbx.bindings} keyOf=${(row) => row.aor + row.contact} isCaptionShown />`}
    </article>`;
}

const Head = ({ peer, children }) => html`
  <div class="title">
    <h3 id=${`peer-${peer.name}`}>${visible(peer.name)} <${State} is=${peer.state} /> <span class="since"><${Since} at=${peer.since} /></span></h3>
    <p class="buttons"><a href=${`#/peers/${encodeURIComponent(peer.name)}/messages`}>Messages beside calls<span class="unseen"> of ${visible(peer.name)}</span></a> <button type="button" onClick=${() => ping(peer)}>Ping</button>${children}</p>
  </div>
  ${peer.why && html`<p class="why"><${Peer} longest=${1000}>${peer.why}<//></p>`}`;

function Servers({ peer }) {
  const columns = [
    { name: "Address", isHead: true, show: (row) => html`<code>${visible(row.address)}</code>` },
    { name: "State", show: (row) => html`<${State} is=${row.state} />` },
    { name: "Since", show: (row) => html`<${Since} at=${row.since} />` },
    { name: "Why", show: (row) => (row.why ? html`<${Peer}>${row.why}<//>` : html`<span class="dim">–</span>`) },
    { name: "In the policy", show: (row) => html`<code class="dim">${visible(row.server)}</code>` },
  ];
  return html`<${Table} caption=${`Servers of ${visible(peer.name)}`} columns=${columns} rows=${peer.servers} keyOf=${(row) => row.server + row.address} empty="No address of it is known." />`;
}

const Registration = ({ of }) => html`
  <p class="registration">
    Registration of <code>${visible(of.aor)}</code>: <${State} is=${of.state} /> <${Since} at=${of.since} />
    ${of.why && html` <${Peer}>${of.why}<//>`}
    <span class="dim">${of.registrar && html` · with <code>${visible(of.registrar)}</code>`}${of.expires_at && html` · until <${Time} at=${of.expires_at} />`}${of.next_at && html` · next REGISTER <${Time} at=${of.next_at} />`}</span>
  </p>`;
