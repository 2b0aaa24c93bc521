// What an operator may do, and the words that ask first: what will happen, and what will not.
// `perform` of an action asks the API and returns what came of it, in a sentence or more.

import { ask, path } from "./api.js";
import { confirm } from "./dialog.js";
import { html } from "./vendor/htm-preact.js";
import { many, moment, visible } from "./words.js";

export function hangUp(call) {
  const of = `${visible(call.caller, 60)} to ${visible(call.called, 60)}`;
  confirm({
    title: `Hang up ${of}?`,
    will: [`Both sides of call ${call.ref} get a BYE (before the answer: a refusal), and hear that the call is over.`, "The call's record says that an operator ended it."],
    not: ["No other call is touched."],
    verb: "Hang up",
    isGrave: true,
    perform: async () => {
      await ask(path("calls", call.ref), { method: "DELETE" });
      return `Call ${call.ref} is being ended on both sides.`;
    },
  });
}

export function drill(pbx, on) {
  const name = visible(pbx.name);
  confirm(
    on
      ? {
          title: `Start a drill of ${name}?`,
          will: [`New calls to ${name} go where its disaster plan sends them, as if it were down.`, "The drill lasts until it is ended here or by command, also over a restart."],
          not: ["Calls that are up go on.", `${name} itself is not told, and may still place calls.`],
          verb: "Start the drill",
          isGrave: true,
          perform: async () => peerNow(await ask(path("drill", pbx.name), { method: "POST" })),
        }
      : {
          title: `End the drill of ${name}?`,
          will: [`New calls go to ${name} again, if it is up.`],
          not: ["Calls that are up go on where they are."],
          verb: "End the drill",
          perform: async () => peerNow(await ask(path("drill", pbx.name), { method: "DELETE" })),
        },
  );
}

export function busyOut(trunk, on) {
  const name = visible(trunk.name);
  confirm(
    on
      ? {
          title: `Take ${name} out of service?`,
          will: [`New calls no longer go out by ${name}; routes use their other trunks. Where there is none, calls fail.`, `New calls from ${name} are refused with 503, so that the carrier sends them elsewhere.`, "It stays so until it is restored, also over a restart."],
          not: ["Calls that are up go on.", "Emergency calls from it are still taken."],
          verb: "Busy out",
          isGrave: true,
          perform: async () => peerNow(await ask(path("trunks", trunk.name, "busyout"), { method: "POST" })),
        }
      : {
          title: `Put ${name} back into service?`,
          will: [`New calls may go out by ${name}, and come in from it, again.`, "A registration that was rejected is tried at once."],
          not: ["Calls that are up are not touched."],
          verb: "Restore",
          perform: async () => peerNow(await ask(path("trunks", trunk.name, "busyout"), { method: "DELETE" })),
        },
  );
}

export function drain() {
  confirm({
    title: "Drain this SBC?",
    will: ["New calls are refused with 503 and a Retry-After, so that peers go elsewhere. Readiness probes and OPTIONS are answered 503.", "Calls that are still up at the deadline are ended, both ways, with their records.", "With the last call, our registrations at carriers are taken back."],
    not: ["Calls that are up go on until then.", "Emergency calls are still placed, and are not ended at the deadline.", "The program does not stop. A drain can be taken back."],
    field: { label: "Deadline for calls that are up", value: "10m", hint: "as 30s, 10m or 2h" },
    verb: "Drain",
    isGrave: true,
    perform: async (deadline) => {
      const done = await ask("drain", { method: "POST", body: deadline ? { deadline } : {} });
      return `Draining: ${many(done.calls, "call")} up. What is left ends at ${moment(done.ends_at)}.`;
    },
  });
}

export function undrain() {
  confirm({
    title: "Take the drain back?",
    will: ["New calls are taken again, and the deadline is off.", "Registrations that were taken back are made again."],
    not: ["Calls that are up go on."],
    verb: "Take new calls",
    perform: async () => {
      await ask("drain", { method: "DELETE" });
      return "New calls are taken again.";
    },
  });
}

export function reload() {
  confirm({
    title: "Reload the policy?",
    will: ["The policy's files are read and checked as a whole. If all is well, it holds for every call that comes from then on.", "If anything is wrong, nothing changes, and every problem is shown here with its place."],
    not: ["Calls that are up, registrations and counters are not touched."],
    verb: "Reload",
    perform: async () => {
      const done = await ask("reload", { method: "POST" });
      const rest = Object.entries(done).filter(([name, value]) => name !== "reloaded" && Array.isArray(value) && value.length);
      return html`The new policy is in force.${rest.map(([name, lines]) => html`<p>${visible(name.replaceAll("_", " "))}:</p><ul class="problems">${lines.map((line) => html`<li>${visible(line, 2000)}</li>`)}</ul>`)}`;
    },
  });
}

export function lift(ban) {
  const address = visible(ban.address);
  confirm({
    title: `Lift the ban of ${address}?`,
    will: [`What comes from ${address} is heard again at once, as that of any stranger.`, "What it has done until now is forgotten; if it goes on so, it is banned again."],
    not: ["No other ban is touched."],
    verb: "Lift",
    perform: async () => {
      await ask(path("bans", ban.address.replace(/\/64$/, "")), { method: "DELETE" });
      return `${address} is not banned any more.`;
    },
  });
}

/** Touches nothing, so it does not ask; its answers stand in the dialog. */
export function ping(peer) {
  confirm({
    title: `OPTIONS to ${visible(peer.name)}`,
    isAtOnce: true,
    perform: async () => {
      const { results } = await ask(path("peers", peer.name, "ping"), { method: "POST" });
      return html`<ul class="problems">
        ${results.map((one) => html`<li><code>${visible(one.address)}</code> ${one.status ? `answered ${one.status}${one.milliseconds === null ? "" : ` after ${one.milliseconds.toFixed(1)} ms`}` : visible(one.why)}</li>`)}
      </ul>`;
    },
  });
}

const peerNow = (peer) => `${visible(peer.name)} is now ${peer.state}${peer.why ? `: ${visible(peer.why)}` : ""}.`;
