"""An emergency call goes out: all paths taken, the rate exceeded, the node draining, or ordered to stop."""

import signal
import time
from typing import Any

import pytest

from .children import until
from .node import Node
from .sipp import Sipp
from .webhook import Webhook

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CAPPED = """call_paths: 2
    cps: 2"""
MORE = """
sbc: {{stop_after: {stop_after}, alerts: {{webhook: "{webhook}"}}}}
routes:
  - {{name: help, from: office, to: emergency, emergency: true, via: [carrier-a]}}
"""


class Cast:
    """A PBX that calls, a carrier that answers, and the operator's webhook."""

    def __init__(self, node, net: str, started, folder, *, stop_after: str) -> None:
        self._started, self._folder, self._port = started, folder, iter(range(5070, 5100))
        self.webhook: Webhook = started(Webhook(f"{net}.70"))
        more = MORE.format(stop_after=stop_after, webhook=self.webhook.url)
        self.sbc: Node = node(trunk_more=CAPPED, more=more)
        self.carrier = started(Sipp("carrier", "uas", folder, local=self.sbc.carrier, calls=100, trace=True))

    def dials(self, **more: Any) -> Sipp:
        port = next(self._port)
        return self._started(
            Sipp(f"pbx{port}", "uac", self._folder, local=self.sbc.pbx, remote=f"{self.sbc.inside}:5060", port=port,
                 trace=True, **more)
        )  # fmt: skip

    def dials_911(self, **more: Any) -> Sipp:
        return self.dials(number="911", caller="+14155550123", **more)

    def until_up(self, calls: int) -> None:
        def answered() -> int:
            return sum(call["state"] == "answered" for call in self.sbc.ask("calls")["calls"])

        until(lambda: answered() == calls, f"{calls} calls to be up", story=self.sbc.story)

    def records(self, *, emergency: bool) -> list[dict[str, Any]]:
        return [cdr for cdr in self.sbc.cdrs() if cdr["emergency"] == emergency]

    def was_told(self, calls: int) -> None:
        """The log, the webhook and the records know of so many emergency calls."""
        until(lambda: len(self.webhook.of("call.emergency")) == calls, "the posts", story=lambda: self.webhook.posts)
        for post in self.webhook.of("call.emergency"):
            assert (post["node"], post["caller"], post["called"]) == ("interop", "+14155550123", "911")
        lines = [line for line in self.sbc.child.log.splitlines() if "call.emergency" in line]
        assert len(lines) == calls
        assert all("warning" in line for line in lines)
        until(lambda: len(self.records(emergency=True)) == calls, "the records")
        for cdr in self.records(emergency=True):
            assert (cdr["called"], cdr["called_as_sent"], cdr["egress"]) == ("911", "911", "carrier-a")
            assert (cdr["cause"], cdr["sip_status"], cdr["ended_by"]) == ("normal", 200, "caller")
        assert self.sbc.complaints() == []

    def refused(self, caller: Sipp) -> list[str]:
        """Retry-After, or "", of each 503 that the caller got."""
        return [message.header("Retry-After") for message in caller.messages() if message.status == 503]


@pytest.fixture
def cast(node, net, started, tmp_path):
    return lambda **options: Cast(node, net, started, tmp_path, **options)


def test_all_paths_are_taken_and_the_rate_is_exceeded_and_the_node_drains(cast):
    world = cast(stop_after="10s")
    ordinary = world.dials(calls=5, rate=1000, talk_ms=5000)
    world.until_up(2)
    emergencies = world.dials_911(calls=5, rate=1000, talk_ms=2500)
    world.until_up(7)
    (path,) = world.sbc.ask("paths")["paths"]
    assert (path["limit"], path["used"]) == (2, 7)
    assert sorted(holder["emergency"] for holder in path["holders"]) == [False] * 2 + [True] * 5
    invites = [message for message in world.carrier.messages() if message.method == "INVITE"]
    assert sorted(message.called for message in invites) == ["+14155559999"] * 2 + ["911"] * 5
    burst = [message.at for message in invites if message.called == "911"]
    print(f"five emergency calls in {burst[-1] - burst[0]:.3f} s, with two paths and two calls a second, all taken")
    assert burst[-1] - burst[0] < 1.0
    assert world.refused(ordinary) == ["", "", ""]

    print(world.sbc.says("drain", "--deadline", "60s"))
    late = world.dials()
    assert late.child.wait() == 1
    assert world.refused(late) == ["30"]
    help_ = world.dials_911(talk_ms=300)
    assert help_.child.wait() == 0, help_.errors
    assert emergencies.child.wait() == 0, emergencies.errors
    ordinary.child.wait()
    assert ordinary.successful == 2  # the drain has not touched them
    world.was_told(calls=6)
    until(lambda: len(world.sbc.cdrs()) == 12, "every record")
    assert sorted((cdr["cause"], cdr["sip_status"]) for cdr in world.records(emergency=False)) == [
        ("normal", 200), ("normal", 200), ("paths_full", 503), ("paths_full", 503), ("paths_full", 503),
        ("shutdown", 503),
    ]  # fmt: skip
    world.sbc.has_no_call_within(1)


def test_a_node_that_is_told_to_stop_still_takes_it_and_ends_after_it(cast):
    world = cast(stop_after="30s")
    ordinary = world.dials(talk_ms=1500)
    world.until_up(1)
    world.sbc.child.signal(signal.SIGTERM)
    until(lambda: not world.sbc.status()["ready"], "the drain")
    late = world.dials()
    help_ = world.dials_911(talk_ms=3000)
    assert late.child.wait() == 1
    assert world.refused(late) == ["30"]
    assert ordinary.child.wait() == 0, ordinary.errors
    assert world.sbc.child.is_running
    assert help_.child.wait() == 0, help_.errors
    assert world.sbc.child.wait() == 0
    world.was_told(calls=1)
    assert sorted(cdr["cause"] for cdr in world.records(emergency=False)) == ["normal", "shutdown"]


def test_a_stop_ends_other_calls_in_time_and_never_an_emergency(cast):
    world = cast(stop_after="500ms")
    ordinary = world.dials(talk_ms=60_000)
    help_ = world.dials_911(talk_ms=7000)
    world.until_up(2)
    begun = time.monotonic()
    world.sbc.child.signal(signal.SIGTERM)
    assert help_.child.wait() == 0, help_.errors
    assert world.sbc.child.wait() == 0
    print(f"the node ended {time.monotonic() - begun:.1f} s after SIGTERM, with stop_after 0.5 s")
    world.was_told(calls=1)
    assert world.records(emergency=True)[0]["billable_ms"] >= 6980
    (cdr,) = world.records(emergency=False)
    assert (cdr["cause"], cdr["ended_by"]) == ("shutdown", "sbc")
    assert cdr["billable_ms"] <= 2500
    assert "BYE" in [message.method for message in ordinary.messages()]


def test_a_second_signal_ends_it_too(cast):
    world = cast(stop_after="30s")
    help_ = world.dials_911(talk_ms=60_000)
    world.until_up(1)
    world.sbc.child.signal(signal.SIGTERM)
    until(lambda: not world.sbc.status()["ready"], "the drain")
    begun = time.monotonic()
    world.sbc.child.signal(signal.SIGTERM)
    assert world.sbc.child.wait() == 0
    print(f"ended {time.monotonic() - begun:.1f} s after the second SIGTERM")
    until(lambda: "BYE" in [message.method for message in world.carrier.messages()], "the carrier's BYE", 2)
    until(lambda: "BYE" in [message.method for message in help_.messages()], "the PBX's BYE", 2)
    (cdr,) = world.sbc.cdrs()
    assert (cdr["cause"], cdr["ended_by"], cdr["emergency"]) == ("shutdown", "sbc", 1)
