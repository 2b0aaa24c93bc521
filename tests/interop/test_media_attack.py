"""Somebody sprays every media port with RTP and short RTCP, before, during and after calls are set up.

RTP bleed draws the media of a call to whoever sends to its port; RTP inject puts the attacker's sound into it. In
`strict` no attacker has a chance but one that forges addresses. In `address` one that shares the peer's address has,
but only until the peer is heard; and in `nat` one within `media_from` who comes before the peer's own packets.
"""
# RFC: 7362

import contextlib
import time

import pytest

from .attacker import Attacker, attacking_socket
from .children import until
from .lab import ENGINES, Engine, Lab
from .namespaces import ATTACKER, CARRIER, INSIDE, OTHER_CARRIER, OUTSIDE

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

PORTS = range(20000, 20060)
CALLS = 10
REST_SECONDS = 2.5  # a pair may be used again after 2 s of silence, where ports are short
POLICY = {
    "strict": "latching: strict",
    "address": "latching: address",
    "nat": "latching: nat\n    media_from: [{network}]",
}
FAR, NEIGHBOUR, SAME_HOST = ("attacker", ATTACKER), ("carrier", OTHER_CARRIER), ("carrier", CARRIER)
BEFORE = {"strict": [FAR, NEIGHBOUR, SAME_HOST], "address": [FAR, NEIGHBOUR], "nat": [FAR]}
AFTER_LOCK = {"strict": [], "address": [SAME_HOST], "nat": [NEIGHBOUR, SAME_HOST]}


def start(lab: Lab, engine: Engine, latching: str) -> None:
    lab.namespaces.attacked()
    lab.namespaces.add("carrier", OTHER_CARRIER)
    more = POLICY[latching]
    lab.start(
        engine, ports=f"{PORTS.start}-{PORTS.stop - 1}",
        pbx_more=more.format(network="10.77.0.0/24"), trunk_more=more.format(network="198.51.100.0/24"),
    )  # fmt: skip


def attack(lab: Lab, part: str, host: str) -> Attacker:
    with lab.namespaces.inside(part):
        return Attacker([attacking_socket(host, 61000)], [INSIDE, OUTSIDE], PORTS)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("latching", POLICY)
def test_a_spray_over_all_ports_neither_hears_nor_says_anything(lab: Lab, engine: Engine, latching: str) -> None:
    """Whoever may not be learned sprays before, during and after set-up; who may be, from the lock on."""
    start(lab, engine, latching)
    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(attack(lab, *whence)) for whence in BEFORE[latching]]
        with lab.calls(CALLS) as calls:
            calls.talk(1.5)
            attackers += [stack.enter_context(attack(lab, *whence)) for whence in AFTER_LOCK[latching]]
            calls.talk(2)
            if engine == "kernel":
                assert lab.flows() > 0
        until(lambda: "media.foreign_packets" in lab.node.child.log, "the alarm", 5, lambda: lab.node.child.log)
    assert min(attacker.sent for attacker in attackers) > 1000
    assert [line for attacker in attackers for line in attacker.got] == []
    assert calls.astray() == []
    assert (calls.missing(), calls.doubled(), calls.disordered()) == ([], 0, 0)
    until(lambda: len(lab.node.cdrs()) == CALLS, "the records")
    media = lab.media_of_calls()
    assert {stream["packets"] for call in media for stream in call.values()} == {calls.ends[0].sent}
    assert all(call["egress"]["foreign"] > 0 for call in media)
    assert lab.metric("sbc_rtp_foreign_total") > 0
    assert lab.node.complaints() == []


@pytest.mark.parametrize("engine", ENGINES)
def test_who_shares_the_peers_address_is_heard_until_the_peer_is_and_no_longer(lab: Lab, engine: Engine) -> None:
    """With `address` he is learned where he comes first. The peer sends from where it says, and wins its place back."""
    start(lab, engine, "address")
    with attack(lab, *SAME_HOST) as attacker, lab.calls(CALLS) as calls:
        calls.talk(1)
        heard = len(calls.astray())
        calls.talk(2)
        assert len(calls.astray()) == heard
    assert attacker.sent > 1000
    assert attacker.got == []
    assert (calls.doubled(), calls.disordered()) == (0, 0)
    assert lab.node.complaints() == []


@pytest.mark.parametrize("latching", POLICY)
def test_a_spray_does_not_exhaust_the_ports(lab: Lab, latching: str) -> None:
    """As many calls as there are ports, twice within the time that a port rests."""
    start(lab, "userland", latching)
    with attack(lab, *FAR):
        for _ in range(2):
            with lab.calls(len(PORTS) // 2) as calls:
                calls.talk(0.5)
            assert (calls.missing(), calls.astray()) == ([], [])
            time.sleep(REST_SECONDS)
    assert lab.node.status()["ports"] == 0
