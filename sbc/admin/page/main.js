// The page: header with the node, the link and the alarms, navigation, and the view that the address names (#/calls/…).

import { hasToken, useToken, whenDenied } from "./api.js";
import { Dialog } from "./dialog.js";
import { listen, live, now, reconnect, useBeat, useLive } from "./live.js";
import { State, Time } from "./parts.js";
import { html, render, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Alarms, useNews } from "./view_alarms.js";
import { Call } from "./view_call.js";
import { Calls } from "./view_calls.js";
import { Charts } from "./view_charts.js";
import { Overview } from "./view_overview.js";
import { Peers } from "./view_peers.js";
import { Records } from "./view_records.js";
import { Report } from "./view_report.js";
import { chooseUtc, isUtc, read, span, visible, write, zone } from "./words.js";

const VIEWS = [
  { at: "", name: "Overview", view: Overview },
  { at: "calls", name: "Calls", view: Calls, one: Call },
  { at: "peers", name: "Trunks and PBXs", short: "Peers", view: Peers },
  { at: "alarms", name: "Alarms", view: Alarms },
  { at: "records", name: "Records", view: Records, one: Call },
  { at: "report", name: "Report", view: Report },
  { at: "charts", name: "Charts", view: Charts },
];

function Page() {
  const [place, setPlace] = useState(placeOf(location.hash));
  const [isDenied, setDenied] = useState(false);
  const [, redraw] = useState(0);
  useEffect(() => {
    const moved = () => setPlace(placeOf(location.hash));
    addEventListener("hashchange", moved);
    whenDenied(() => setDenied(true));
    listen();
    return () => removeEventListener("hashchange", moved);
  }, []);
  const given = (token) => {
    useToken(token);
    setDenied(false);
    reconnect();
  };
  const found = VIEWS.find((view) => view.at === place.parts[0]) ?? VIEWS[0];
  const View = place.parts[1] && found.one ? found.one : found.view;
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${Header} found=${found} />
    <main id="main" tabindex="-1">
      <${Link} />
      ${isDenied ? html`<${Token} given=${given} />` : html`<${Titled} found=${found} place=${place}><${View} key=${place.path} place=${place} /><//>`}
    </main>
    <${Footer} redraw=${() => redraw((n) => n + 1)} />
    <${Dialog} />
    <${News} />`;
}

/** `#/calls/REF?text=x` as its parts and parameters. */
function placeOf(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path, parts: path.split("/").map(decoded), params: new URLSearchParams(search) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

/** Where the operator goes to another view, focus goes to its heading, and the window's title says where he is. */
function Titled({ found, place, children }) {
  const isFirst = useRef(true);
  const name = useLive((s) => s.status?.name);
  const count = useLive((s) => s.alarms.filter((alarm) => alarm.active).length);
  useEffect(() => {
    document.title = `${count ? `(${count}) ` : ""}${found.name} – ${name ? visible(name) : "sbc"}`;
  }, [found, name, count]);
  useEffect(() => {
    if (!isFirst.current) {
      document.querySelector("main h1")?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [place.path]);
  return children;
}

function Header({ found }) {
  const status = useLive((s) => s.status);
  const alarms = useLive((s) => s.alarms.filter((alarm) => alarm.active).length);
  const calls = useLive((s) => s.total);
  const counts = { calls, alarms };
  return html`
    <header>
      <a class="node" href="#/"><b>${status ? visible(status.name, 40) : "sbc"}</b>${status && html`<${Readiness} status=${status} />`}</a>
      <nav aria-label="Views">
        <ul>
          ${VIEWS.map((view) => html`
            <li key=${view.at}><a href=${`#/${view.at}`} aria-current=${view === found ? "page" : null}>
              ${view.short ?? view.name}${counts[view.at] > 0 && html` <span class=${view.at === "alarms" ? "many bad" : "many"}>${counts[view.at]}</span>`}
            </a></li>`)}
        </ul>
      </nav>
    </header>`;
}

export const Readiness = ({ status }) => html`<${State} is=${status.draining ? "draining" : status.ready ? "ready" : "down"}>${status.draining ? "draining" : status.ready ? "ready" : "not ready"}<//>`;

/** Nothing while all is well. What counts up is kept from screen readers, that hear of the loss once. */
function Link() {
  const link = useLive((s) => s.link);
  const place = useRef(null);
  useBeat(() => {
    if (!place.current) return;
    const seen = link.seenAt ? `last seen ${span((Date.now() - link.seenAt) / 1000)} ago` : "not seen yet";
    const next = link.retryAt ? `; next try in ${Math.max(0, Math.ceil((link.retryAt - Date.now()) / 1000))} s` : "; trying";
    place.current.textContent = seen + next;
  }, [link]);
  const isLost = link.is === "lost";
  return html`
    <div role="status" class=${isLost ? "lost" : "unseen"}>
      ${isLost && html`<strong>Connection lost.</strong> What is shown is old. <span class="dim-not">${visible(link.why)}</span>`}
      ${isLost && html` <span ref=${place} aria-hidden="true"></span> <button type="button" onClick=${reconnect}>Try now</button>`}
      ${link.is === "connecting" && "Connecting"}
    </div>`;
}

function Token({ given }) {
  const field = useRef(null);
  const wasGiven = useRef(hasToken());
  useEffect(() => field.current.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    given(field.current.value.trim());
  };
  return html`
    <form class="token" onSubmit=${submit}>
      <h1 tabindex="-1">This SBC wants a token</h1>
      ${wasGiven.current && html`<p class="trouble" role="alert">The token was not accepted.</p>`}
      <p>It is <code>sbc: admin_token</code> of the policy. This browser keeps it until the tab is closed.</p>
      <p><label>Token <input ref=${field} type="password" autocomplete="off" required /></label></p>
      <p class="buttons"><button type="submit" class="main">Go on</button></p>
    </form>`;
}

function Footer({ redraw }) {
  const status = useLive((s) => s.status);
  const theme = read("sbc.theme") ?? "auto";
  const choose = (event) => {
    write("sbc.theme", event.target.value);
    applyTheme();
    redraw();
  };
  const zoned = (event) => {
    chooseUtc(event.target.checked);
    redraw();
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return html`
    <footer>
      <span>sbc ${status?.version ? visible(status.version) : ""}${status?.started_at && html`, up since <${Time} at=${status.started_at} />`}</span>
      <span>Times: ${zone()} <label><input type="checkbox" checked=${isUtc()} onChange=${zoned} /> UTC</label></span>
      <label>Colours <select onChange=${choose} value=${theme}>
        ${["auto", "light", "dark"].map((one) => html`<option value=${one} selected=${one === theme}>${one}</option>`)}
      </select></label>
      <span><a href="api/openapi.json">API</a></span>
    </footer>`;
}

function News() {
  return html`<div class="unseen" role="status" aria-label="Alarms">${useNews()}</div>`;
}

function applyTheme() {
  const theme = read("sbc.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

applyTheme();
document.body.replaceChildren();
render(html`<${Page} />`, document.body);
