"""A trunk with four call paths under more calls than it has room for, both ways: never a fifth, and none gets lost."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from .children import is_full, until
from .node import Node, ms_between
from .sipp import Message, Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

TALK_MS = 1000
CALLS = 200 if is_full() else 60
EARLIER = 0.1  # of two SIPps, one may note late what it has sent
_CAUSES = {200: "normal", 487: "cancelled"}


def paths(cap: int) -> str:
    return f"call_paths: {cap}"


class Offered:
    """Twice as many calls as there is room for: the PBX calls out and is called, on one trunk."""

    def __init__(self, sbc: Node, started, folder) -> None:
        def play(name: str, scenario: str, local: str, to: str = "", **more) -> Sipp:
            return started(
                Sipp(name, scenario, folder, local=local, remote=to and f"{to}:5060", calls=CALLS, trace=True,
                     talk_ms=TALK_MS, **more)
            )  # fmt: skip

        self.carrier = play("carrier", "uas_moody", sbc.carrier)
        self.office = play("office", "uas_moody", sbc.pbx)
        self.outbound = play("outbound", "uac_moody", sbc.pbx, sbc.inside, port=5070, rate=10)
        self.inbound = play(
            "inbound", "uac_moody", sbc.carrier, sbc.outside, port=5070, rate=7, number="+14155550100",
            caller="+14155557777",
        )  # fmt: skip
        self._sbc = sbc
        self.used: list[tuple[float, int]] = []  # seen through the API: when, and how many paths

    def until_over(self, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        while self.outbound.child.is_running or self.inbound.child.is_running:
            meanwhile()
            self.used.append((time.time(), self._sbc.paths()["carrier-a"]))
            time.sleep(0.03)
        for sipp in (self.outbound, self.inbound):
            assert sipp.child.wait() == 0, sipp.errors
            assert (sipp.successful, sipp.failed, sipp.errors) == (CALLS, 0, "")

    def at_once(self) -> list[tuple[float, int]]:
        """When the carrier's count of its calls changed, and to what."""
        edges = sorted([*_called(self.carrier.messages()), *_calling(self.inbound.messages())])
        count, counts = 0, []
        for at, step in edges:
            count += step
            counts.append((at, count))
        return counts


def _called(messages: list[Message]) -> Iterator[tuple[float, int]]:
    """Calls to the carrier: from its INVITE to its BYE or its refusal."""
    for message in messages:
        if message.method == "INVITE":
            yield message.at, 1
        elif message.method == "BYE" or (message.is_sent and message.status >= 300):
            yield message.at, -1


def _calling(messages: list[Message]) -> Iterator[tuple[float, int]]:
    """Calls of the carrier: from when it hears that it rings, to its BYE or the last word on its CANCEL."""
    for message in messages:
        if message.status == 180:
            yield message.at, 1
        elif message.method in ("BYE", "CANCEL"):
            yield message.at - EARLIER, -1


def records_are_right(sbc: Node, offered: Offered) -> None:
    until(lambda: len(sbc.cdrs()) == 2 * CALLS, "the records")
    cdrs = sbc.cdrs()
    rows = Counter(row["ref"] for row in sbc.attempts())
    for way, caller, callee, full in (
        ("office", offered.outbound, offered.carrier, 503),
        ("carrier-a", offered.inbound, offered.office, 486),
    ):
        records = [cdr for cdr in cdrs if cdr["ingress"] == way]
        said = Counter(status for status in caller.statuses("INVITE") if status >= 200)
        assert Counter(cdr["sip_status"] for cdr in records) == said
        refused = [cdr for cdr in records if cdr["cause"] == "paths_full"]
        assert {(cdr["sip_status"], cdr["ended_by"], rows[cdr["ref"]]) for cdr in refused} == {(full, "sbc", 0)}
        busy = sum(m.is_sent and m.status == 486 for m in callee.messages())
        assert sum(cdr["cause"] == "busy" for cdr in records) == busy
        assert len(refused) == said[full] - (busy if full == 486 else 0)
        for cdr in records:
            assert cdr["cause"] in ("paths_full", "busy") or cdr["cause"] == _CAUSES[cdr["sip_status"]]
            assert cdr["cause"] == "paths_full" or rows[cdr["ref"]] == 1
            if cdr["cause"] == "normal":
                assert cdr["ended_by"] == "caller"
                assert TALK_MS - 20 <= cdr["billable_ms"] <= TALK_MS + 500, cdr
                assert abs(ms_between(cdr["answered_at"], cdr["ended_at"]) - cdr["billable_ms"]) <= 20
            else:
                assert (cdr["billable_ms"], cdr["answered_at"]) == (0, None)
        print(f"{way}: {dict(Counter(cdr['cause'] for cdr in records))}")
    for message in [*offered.outbound.messages(), *offered.inbound.messages()]:
        assert not message.header("Retry-After"), message.text


def test_four_paths_are_never_five(node, started, tmp_path):
    sbc = node(trunk_more=paths(4))
    offered = Offered(sbc, started, tmp_path)
    offered.until_over()
    assert max(count for _, count in offered.at_once()) == 4
    assert max(used for _, used in offered.used) == 4
    sbc.has_no_call_within(1)
    records_are_right(sbc, offered)
    assert sbc.complaints() == []


def test_a_reload_changes_the_cap_and_touches_no_call(node, started, tmp_path):
    sbc = node(trunk_more=paths(4))
    offered = Offered(sbc, started, tmp_path)
    begun = time.time()
    ordered: dict[int, float] = {}  # when a cap was ordered
    counts_from: dict[int, float] = {}

    def change_the_cap() -> None:
        if not ordered and time.time() > begun + 2.5:
            ordered[6] = time.time()
            sbc.change(paths(4), paths(6))
            sbc.child.signal(signal.SIGHUP)
            until(lambda: sbc.limits()["carrier-a"] == 6, "the cap of 6", 2)
        elif len(ordered) == 1 and time.time() > begun + 5:
            ordered[2] = time.time()
            sbc.change(paths(6), paths(2))
            print(sbc.says("reload"))
            counts_from[2] = time.time()

    offered.until_over(meanwhile=change_the_cap)
    counts = offered.at_once()
    assert max(count for at, count in counts if at < ordered[6]) == 4
    assert max(count for at, count in counts) == 6
    assert max(used for _, used in offered.used) == 6
    room = next(at for at, count in counts if at > counts_from[2] and count < 2)
    print(f"at most two calls {room - ordered[2]:.2f} s after the cap of two was ordered: nobody was thrown out")
    assert max(count for at, count in counts if at > room) == 2
    sbc.has_no_call_within(1)
    records_are_right(sbc, offered)
    assert sbc.complaints() == []
