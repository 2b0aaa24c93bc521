// One peer's messages beside calls, as a ladder: why it does not register, why it is down, why it is refused.

import { ask, path } from "./api.js";
import { Ladder } from "./ladder.js";
import { Trouble } from "./parts.js";
import { html, useEffect, useState } from "./vendor/htm-preact.js";
import { Tools } from "./view_call.js";
import { visible } from "./words.js";

export function BesideCalls({ name }) {
  const [trace, setTrace] = useState(null);
  const [trouble, setTrouble] = useState(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    ask(path("peers", name, "trace"), { signal: stop.signal }).then(
      (found) => {
        setTrace(found);
        setTrouble(null);
      },
      (problem) => problem.name !== "AbortError" && setTrouble(problem),
    );
    return () => stop.abort();
  }, [name, round]);
  return html`
    <p class="back"><a href="#/peers">Trunks and PBXs</a></p>
    <div class="title">
      <h1 tabindex="-1">${visible(name, 60)}: messages beside calls</h1>
      <p class="buttons"><button type="button" onClick=${() => setRound(round + 1)}>Look again</button></p>
    </div>
    <p class="dim">Of each method the last that went well, and more of those that failed. Those of calls stand with the calls.</p>
    ${trouble && html`<${Trouble} problem=${trouble} />`}
    ${trace && !trace.entries.length && html`<p class="empty">Nothing has been said with it beside calls since the start.</p>`}
    ${trace?.entries.length > 0 && html`
      <section aria-labelledby="ladder-head">
        <div class="title"><h2 id="ladder-head">Ladder</h2><${Tools} of=${name} kind="peers" /></div>
        <${Ladder} trace=${trace} />
      </section>`}`;
}
