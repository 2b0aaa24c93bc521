// The one dialog: asks before an action, shows that it is under way, and what came of it. Focus goes back by itself
// to what opened it (HTML's <dialog>), or to the view's heading where that is gone.

import { Trouble } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";

let show = () => {};

/**
 * `action`: {title, will: [lines], not: [lines], verb, isGrave?, isAtOnce?, field?: {label, value, hint},
 * perform(value): Promise of text}. `isAtOnce`: nothing is asked, because nothing changes.
 */
export const confirm = (action) => show(action);

export function Dialog() {
  const [action, setAction] = useState(null);
  const [stage, setStage] = useState({ is: "asking" });
  const box = useRef(null);
  const field = useRef(null);
  const opener = useRef(null);
  const isOpening = useRef(false); // the close event of the one before may still be on its way

  const perform = async (chosen) => {
    setStage({ is: "working" });
    try {
      setStage({ is: "done", result: await chosen.perform(field.current?.value.trim()) });
    } catch (problem) {
      setStage({ is: "failed", problem });
    }
  };
  show = (chosen) => {
    opener.current = document.activeElement;
    isOpening.current = true;
    setAction(chosen);
    setStage({ is: "asking" });
    if (chosen.isAtOnce) perform(chosen);
  };
  useEffect(() => {
    if (action && !box.current.open) box.current.showModal();
    isOpening.current = false;
  }, [action]);
  useEffect(() => {
    if (stage.is === "done" || stage.is === "failed") box.current?.querySelector("button.close")?.focus();
  }, [stage.is]);
  const closed = () => {
    if (isOpening.current) return;
    setAction(null);
    const back = opener.current?.isConnected && !opener.current.disabled ? opener.current : document.querySelector("main h1");
    back?.focus();
  };
  const close = () => box.current.close();
  const submit = (event) => {
    event.preventDefault();
    perform(action);
  };

  return html`
    <dialog ref=${box} aria-labelledby="dialog-title" onClose=${closed}>
      ${action && html`
        <h2 id="dialog-title">${action.title}</h2>
        ${stage.is === "asking" && html`<${Question} action=${action} field=${field} submit=${submit} close=${close} />`}
        <div role="status">
          ${stage.is === "working" && html`<p>Asking the SBC …</p>`}
          ${stage.is === "done" && html`<div class="result">${stage.result}</div>`}
        </div>
        ${stage.is === "failed" && html`<${Trouble} problem=${stage.problem} />`}
        ${stage.is !== "asking" && html`<p class="buttons"><button type="button" class="close" onClick=${close}>Close</button></p>`}
      `}
    </dialog>`;
}

function Question({ action, field, submit, close }) {
  return html`
    <form onSubmit=${submit}>
      <h3>What happens</h3>
      <ul>${action.will.map((line) => html`<li>${line}</li>`)}</ul>
      <h3>What does not</h3>
      <ul>${action.not.map((line) => html`<li>${line}</li>`)}</ul>
      ${action.field && html`
        <p><label>${action.field.label} <input ref=${field} defaultValue=${action.field.value} size="8" autocomplete="off" aria-describedby="dialog-hint" /></label>
        <small id="dialog-hint" class="dim">${action.field.hint}</small></p>`}
      <p class="buttons">
        <button type="button" onClick=${close}>Cancel</button>
        <button type="submit" class=${action.isGrave ? "grave" : "main"}>${action.verb}</button>
      </p>
    </form>`;
}
