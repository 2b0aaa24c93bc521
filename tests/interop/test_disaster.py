"""A PBX dies: its numbers are answered elsewhere in the next call, and at home when it is back. Or it is a drill."""

import signal
import time
from typing import Any

import pytest

from .children import until
from .node import Node
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

DID, MOBILE = "+14155550100", "+14155559999"
RISE = 2
NO_REPLY = 1.0
WATCHED = f"""health: {{options: 1s, retry: 500ms, timeout: 500ms, fall: 3, rise: {RISE}}}
    no_reply: {NO_REPLY}s"""
MORE = f"""
trunks:
  carrier-b: {{{{interface: outside, servers: ["sip:{{net}}.50:5060"]}}}}
routes:
  - name: by-plan
    from: carrier-a
    to: dids
    disaster: [{{{{forward: "{MOBILE}", via: [carrier-b]}}}}]
"""


class Cast:
    """A PBX that is probed, a caller at carrier-a, and the mobile number at carrier-b."""

    def __init__(self, node, net: str, started, folder) -> None:
        self._started, self._folder = started, folder
        self._names = iter(f"{n}" for n in range(1, 100))
        self.sbc: Node = node(pbx_more=WATCHED, more=MORE.format(net=net))
        self.mobile = self._play("mobile", "uas", f"{net}.50", calls=100)
        self.pbx = self.new_pbx()
        self.is_soon("up")

    def _play(self, name: str, scenario: str, local: str, **more) -> Sipp:
        return self._started(Sipp(name, scenario, self._folder, local=local, trace=True, **more))

    def new_pbx(self) -> Sipp:
        return self._play(f"pbx{next(self._names)}", "uas_probed", self.sbc.pbx, calls=10_000)

    def dials(self, *, port: int = 5070, **more) -> Sipp:
        return self._play(
            f"caller{next(self._names)}", "uac", self.sbc.carrier, remote=f"{self.sbc.outside}:5060", port=port,
            number=DID, caller="+14155557777", **more,
        )  # fmt: skip

    def call(self) -> Sipp:
        caller = self.dials()
        assert caller.child.wait() == 0, caller.errors
        return caller

    def state(self) -> str:
        return next(pbx["state"] for pbx in self.sbc.ask("pbxs/office")["servers"])

    def is_soon(self, state: str, seconds: float = 10) -> None:
        until(lambda: self.state() == state, f"the PBX to be {state}", seconds, lambda: self.sbc.child.log)

    def was_diverted(self, caller: Sipp) -> float:
        """Seconds until the mobile rang."""
        cdr = self.record(caller)
        assert (cdr["egress"], cdr["called"], cdr["called_as_sent"]) == ("carrier-b", DID, MOBILE)
        assert (cdr["disaster"], cdr["cause"], cdr["sip_status"]) == (1, "normal", 200)
        asked = next(message for message in caller.messages() if message.method == "INVITE")
        (rang,) = (m for m in self.mobile.messages() if m.method == "INVITE" and m.call_id == cdr["egress_call_id"])
        assert rang.called == MOBILE
        assert DID in rang.header("Diversion"), rang.text
        assert "+14155557777" in rang.header("From")
        return rang.at - asked.at

    def came_home(self, caller: Sipp) -> None:
        assert "INVITE" in self.heard()
        cdr = self.record(caller)
        assert (cdr["egress"], cdr["disaster"], cdr["cause"]) == ("office", 0, "normal")

    def record(self, caller: Sipp) -> dict[str, Any]:
        call_id = caller.messages()[0].call_id

        def found() -> list[dict[str, Any]]:
            return [cdr for cdr in self.sbc.cdrs() if cdr["ingress_call_id"] == call_id]

        until(found, "the call's record")
        return found()[0]

    def tried(self, caller: Sipp) -> list[str]:
        """Whom this call went to, in order."""
        ref = self.record(caller)["ref"]
        return [attempt["peer"] for attempt in self.sbc.attempts() if attempt["ref"] == ref]

    def heard(self) -> list[str]:
        """The requests that the PBX got."""
        return [message.method for message in self.pbx.messages() if message.method and not message.is_sent]


@pytest.fixture
def cast(node, net, started, tmp_path) -> Cast:
    return Cast(node, net, started, tmp_path)


def test_a_pbx_is_killed_and_started_again(cast):
    cast.came_home(cast.call())
    cast.pbx.child.signal(signal.SIGKILL)
    died = time.monotonic()
    took = cast.was_diverted(caller := cast.call())
    assert cast.tried(caller) == ["office", "carrier-b"]
    print(f"killed: the very next call rang at the mobile after {took * 1000:.1f} ms")
    assert took <= 0.1
    cast.is_soon("down")
    print(f"killed: known to be down after {time.monotonic() - died:.2f} s")
    took = cast.was_diverted(caller := cast.call())
    assert cast.tried(caller) == ["carrier-b"]
    print(f"down: the mobile rings after {took * 1000:.1f} ms")
    assert took <= 0.1

    cast.pbx = cast.new_pbx()
    begun = time.monotonic()
    cast.is_soon("up")
    print(f"started: back after {time.monotonic() - begun:.2f} s")
    assert cast.heard() == ["OPTIONS"] * RISE
    cast.came_home(cast.call())
    assert cast.sbc.complaints() == []


def test_a_pbx_hangs_and_goes_on(cast):
    cast.pbx.child.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    took = cast.was_diverted(caller := cast.call())
    assert cast.tried(caller) == ["office", "carrier-b"]
    print(f"hangs: the next call rang at the mobile after {took * 1000:.1f} ms")
    assert NO_REPLY - 0.1 <= took <= NO_REPLY + 0.2
    cast.is_soon("down")
    print(f"hangs: known to be down after {time.monotonic() - stopped:.2f} s")
    took = cast.was_diverted(caller := cast.call())
    assert cast.tried(caller) == ["carrier-b"]
    assert took <= 0.1

    cast.pbx.child.signal(signal.SIGCONT)
    begun = time.monotonic()
    cast.is_soon("up")
    print(f"goes on: back after {time.monotonic() - begun:.2f} s")
    cast.came_home(cast.call())
    cast.sbc.has_no_call_within(2)
    assert cast.sbc.complaints() == []


def test_a_drill_does_the_same_without_touching_the_pbx(cast):
    long = cast.dials(talk_ms=4000, port=5080)
    until(lambda: "ACK" in cast.heard(), "the call that is up", story=lambda: long.errors)
    assert "drill" in cast.sbc.says("drill", "office", "on")
    took = cast.was_diverted(cast.call())
    print(f"drill: the mobile rings after {took * 1000:.1f} ms")
    assert took <= 0.1
    assert cast.heard().count("INVITE") == 1
    assert cast.state() == "up"  # its probes go on
    cast.sbc.says("drill", "office", "off")
    begun = time.monotonic()
    cast.came_home(cast.call())
    print(f"drill over: a whole call at the PBX took {time.monotonic() - begun:.2f} s")
    assert cast.heard().count("INVITE") == 2
    assert long.child.wait() == 0, long.errors
    cast.came_home(long)
    cdrs = cast.sbc.cdrs()
    assert [(cdr["egress"], cdr["cause"], cdr["ended_by"]) for cdr in cdrs] == [
        ("office", "normal", "caller"), ("carrier-b", "normal", "caller"), ("office", "normal", "caller"),
    ]  # fmt: skip
    assert cdrs[0]["billable_ms"] >= 3980
    assert cast.sbc.complaints() == []
