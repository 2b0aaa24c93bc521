"""One SBC between two PBXs and three carriers, each a SIPp with a script; what a story leaves is looked at."""

import contextlib
import re
from pathlib import Path
from typing import Any

from .children import until
from .node import IDLE, Node
from .script import Script
from .sipp import Sipp

# What is theirs, by name of the script; a number of its beginning goes there.
_HOSTS = {"pbx": 30, "branch": 31, "carrier_a": 40, "carrier_b": 50, "carrier_c": 60}
_INSIDE = ("pbx", "branch")
_METHODS = "methods: [INVITE, UPDATE, INFO, REFER, NOTIFY, OPTIONS, MESSAGE, SUBSCRIBE, PUBLISH]"
_MORE = """
pbxs:
  branch:
    interface: inside
    address: sip:{net}.31:5060
    dids: ["+14155550200-+14155550299"]
    transfer: pass
    {methods}
trunks:
  carrier-b:
    interface: outside
    servers: ["sip:{net}.50:5060"]
    reliable: "off"
    {methods}
  carrier-c:
    interface: outside
    servers: ["sip:{net}.60:5060"]
    session_timer: {{expires: 90s, min: 90s}}
    t38: refuse
    delayed_offer: convert
routes:
  - {{name: to-b, from: [office, branch, carrier-a], to: ["+1212X."], via: [carrier-b]}}
  - {{name: to-c, from: [office, branch], to: ["+1312X."], via: [carrier-c]}}
  - {{name: from-branch, from: branch, to: [national], via: [carrier-a]}}
  - {{name: from-b, from: [carrier-b, carrier-c], to: dids}}
"""
_PATIENCE = 12.0


class Border:
    """`tell` one story after another."""

    def __init__(self, folder: Path, net: str) -> None:
        self.net = net
        self._told = 0
        self.node = Node(
            folder, inside=f"{net}.10", outside=f"{net}.20", pbx=f"{net}.30", carrier=f"{net}.40",
            pbx_more=_METHODS, trunk_more=_METHODS, more=_MORE.format(net=net, methods=_METHODS),
        )  # fmt: skip

    def close(self) -> None:
        self.node.stop()

    def tell(
        self,
        folder: Path,
        *,
        seconds: float = _PATIENCE,
        calls: int = 1,
        number: str = "+14155559999",
        **scripts: Script,
    ) -> list[dict[str, Any]]:
        """Each script in a SIPp; whoever is called listens first. All must end well, and learn nothing of each other.

        `number`: whom the caller calls. Returns the records of the story's calls; there are `calls`.
        """
        before, sipps = len(self.node.cdrs()), {}
        try:
            self._play(sipps, scripts, folder, number, seconds)
            until(lambda: self._is_quiet() and len(self.node.cdrs()) - before >= calls, "the end of all calls", 5,
                  lambda: (self.node.alive(), self._how_far(sipps)))  # fmt: skip
        except BaseException:
            self._clear()
            raise
        assert self.node.complaints() == []
        leaks = self._leaks(sipps)
        assert not leaks, "\n".join(leaks)
        cdrs = self.node.cdrs()[before:]
        assert len(cdrs) == calls, cdrs
        return cdrs

    def _play(
        self, sipps: dict[str, Sipp], scripts: dict[str, Script], folder: Path, number: str, seconds: float
    ) -> None:
        with contextlib.ExitStack() as stack:
            for name, script in sorted(scripts.items(), key=lambda item: item[1].calls_first):
                sipps[name] = self._start(name, script, folder, number)
                stack.callback(sipps[name].stop)
            until(lambda: not any(sipp.child.is_running for sipp in sipps.values()), "every script to end", seconds,
                  lambda: self._how_far(sipps))  # fmt: skip
        for name, sipp in sipps.items():
            counted = (sipp.child.wait(), sipp.successful, sipp.failed, sipp.errors)
            assert counted == (0, 1, 0, ""), f"{name}: {counted}\n{self._how_far(sipps)}"

    def is_left_empty(self) -> None:
        """Transactions last for half a minute after the last message (RFC 3261, RFC 6026)."""
        self.node.is_idle_within(40)
        assert not any(self.node.paths().values())
        assert self.node.complaints() == []

    def ladder(self, ref: str) -> str:
        return self.node.ladder(ref)

    def _clear(self) -> None:
        """A story that failed must not spoil the next one."""
        for call in self.node.ask("calls")["calls"]:
            self.node.says("hangup", call["ref"])

    def _how_far(self, sipps: dict[str, Sipp]) -> str:
        """For a story that went another way: what each SIPp missed and saw, the ladders of living calls."""
        parts = []
        for name, sipp in sipps.items():
            state = "runs" if sipp.child.is_running else f"ended with {sipp.child.process.returncode}"
            seen = [f"{'->' if m.is_sent else '<-'} {m.text.partition(chr(10))[0]}" for m in sipp.messages()]
            parts.append("\n  ".join([f"{name} {state}: {sipp.errors}", *seen]))
        parts += [f"{call['ref']}\n{self.ladder(call['ref'])}" for call in self.node.ask("calls")["calls"]]
        return "\n".join(parts)

    def _start(self, name: str, script: Script, folder: Path, number: str) -> Sipp:
        is_inside = name in _INSIDE
        remote = f"{self.node.inside if is_inside else self.node.outside}:5060" if script.calls_first else ""
        return Sipp(
            name, script.write(folder), folder, local=f"{self.net}.{_HOSTS[name]}", remote=remote, trace=True,
            number=number,
            caller="+14155550100" if is_inside else "+14155557777", keys={"me": f"secret-{name}"},
            more=("-cid_str", "%u-%p-%s"),
        )  # fmt: skip

    def _is_quiet(self) -> bool:
        alive = self.node.alive()
        return {**alive, "transactions": 0} == IDLE

    def _leaks(self, sipps: dict[str, Sipp]) -> list[str]:
        """What anybody was sent of another one's address, names and software, Call-IDs, tags and branches."""
        messages = {name: sipp.messages() for name, sipp in sipps.items()}
        found = []
        for name, mine in messages.items():
            words = {self.node.outside if name in _INSIDE else self.node.inside}
            for other in messages.keys() - {name}:
                words |= {f"{self.net}.{_HOSTS[other]}", f"secret-{other}"}
                words |= {word for message in messages[other] for word in _identifiers(message.text)}
            pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, sorted(words)))})(?!\w)", re.IGNORECASE)
            for message in mine:
                shown = [] if message.is_sent else sorted(set(pattern.findall(message.text)))
                found += [f"{word} was sent to {name}:\n{message.text}" for word in shown]
        return found


_IDENTIFIERS = re.compile(r"^Call-ID: *(\S+)|;tag=([^\s;>]+)|branch=([^\s;]+)", re.MULTILINE | re.IGNORECASE)


def _identifiers(text: str) -> set[str]:
    """The Call-ID, the tags and the branches of a message."""
    return {next(filter(None, found)) for found in _IDENTIFIERS.findall(text)}
