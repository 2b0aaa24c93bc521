"""SRTP through `sbc run` over rollovers, `kill -9` of media workers and of signalling, and ten thousand forged packets.

The ends count each packet and know each octet: what could not be opened, or is not what was said, is nothing heard.
"""
# RFC: 3711 4568 7714

import json
import os
import signal
from collections import deque
from itertools import islice
from typing import Any

import pytest

from sbc.testing.srtp import CM_32, CM_80, GCM_128, GCM_256

from .children import until
from .node import Node
from .secured_talking import SecuredCalls, SecuredEnd, forgeries
from .talking import PACKET_SECONDS

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CALLS = 5
FORGED = 10_000
FORGED_AT_ONCE = 20
SIDES_OF = {
    "RTP inside, SRTP outside": {"carrier": CM_80},
    "SRTP inside, RTP outside": {"pbx": CM_32},
    "SRTP on both sides": {"pbx": GCM_128, "carrier": GCM_256},
}
sides = pytest.mark.parametrize("suites", SIDES_OF.values(), ids=SIDES_OF)


def started(node: Any, suites: Any) -> Node:
    """It is told each suite that it is to speak: another one would be an error of `SecuredCalls`."""

    def more(side: str) -> str:
        return f"srtp: {{mode: required, suites: [{suites[side]}]}}" if side in suites else ""

    sbc: Node = node(pbx_more=more("pbx"), trunk_more=more("carrier"))
    return sbc


def ended_well(sbc: Node, calls: SecuredCalls) -> None:
    until(lambda: len(sbc.cdrs()) == len(calls.calls), "the records")
    assert {cdr["cause"] for cdr in sbc.cdrs()} == {"normal"}
    assert sbc.complaints() == []


@sides
def test_srtp_goes_on_over_rollovers_and_the_deaths_of_media_workers(node, suites):
    sbc = started(node, suites)
    with SecuredCalls(sbc, CALLS, suites) as calls:
        killed = set()

        def kill() -> None:
            pid = sbc.status()["media"][0]["pid"]
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

        calls.talk(7, meanwhile={1: kill, 2.5: kill, 4: kill})
    print(f"{len(killed)} workers killed under {CALLS} calls: {calls.lost()} of {calls.sent()} packets lost, "
          f"the longest was {calls.longest_wait() * 1000:.0f} ms under way")  # fmt: skip
    assert len(killed) == 3
    assert calls.lost() <= len(killed)  # what a worker had read and not yet sent
    assert (calls.refused(), calls.doubled(), calls.astray()) == (0, 0, [])
    ended_well(sbc, calls)


@sides
def test_srtp_goes_on_when_signalling_is_killed(node, suites):
    sbc = started(node, suites)
    calls = SecuredCalls(sbc, CALLS, suites).__enter__()
    try:
        calls.talk(1)
        first = sbc.status()
        os.kill(first["pids"]["signalling"], signal.SIGKILL)
        calls.talk(4)
        until(lambda: sbc.child.log.count("sbc: ready ") == 2, "signalling to be ready again", 10)
        assert sbc.status()["media"][0]["pid"] == first["media"][0]["pid"]
    finally:
        calls.close()
    print(
        f"signalling killed: the longest of {calls.sent()} packets was {calls.longest_wait() * 1000:.0f} ms under way"
    )
    assert (calls.missing(), calls.refused(), calls.doubled(), calls.astray()) == ([], 0, 0, [])
    assert sbc.complaints() == []


def test_ten_thousand_forged_packets_through_the_whole_program_change_nothing(node):
    """From the carrier's own address and port, while both talk: none is forwarded, none ends the call."""
    suites = SIDES_OF["RTP inside, SRTP outside"]
    sbc = started(node, suites)
    with SecuredCalls(sbc, 1, suites) as calls:
        end = calls.calls[0].ends["carrier"]
        assert isinstance(end, SecuredEnd)
        assert end.to is not None
        packets: deque[bytes] = deque(maxlen=50)
        seal = end.leaves

        def leaves(packet: bytes) -> bytes:
            packets.append(seal(packet))
            return packets[-1]

        end.leaves = leaves  # type: ignore[method-assign]
        calls.talk(1)
        forged = islice(forgeries(lambda: packets[0]), FORGED)

        def spray() -> None:
            for data in islice(forged, FORGED_AT_ONCE):
                end.sock.sendto(data, end.to)

        moments = [n * PACKET_SECONDS for n in range(FORGED // FORGED_AT_ONCE)]
        calls.talk(moments[-1] + 1, meanwhile=dict.fromkeys(moments, spray))
        assert next(forged, None) is None
        assert sbc.status()["calls"] == 1
    assert (calls.missing(), calls.refused(), calls.doubled(), calls.astray()) == ([], 0, 0, [])
    ended_well(sbc, calls)
    (counted,) = json.loads(sbc.cdrs()[0]["media"])["egress"]
    print(f"{FORGED} forged packets beside {end.sent} genuine ones: {counted}")
    assert (counted["packets"], counted["lost"]) == (end.sent, 0)
    assert counted["forged"] + counted["replayed"] > FORGED / 2  # others are neither RTP nor RTCP at all
    assert "media.forged" in sbc.child.log
