"""Digits as telephone-events pass through userland while the sound around them goes through the kernel (RFC 4733)."""

import json

import pytest

from .lab import ENGINES, Engine, Lab
from .parties import Parties
from .voices import PACKET_SECONDS

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

EVENTS = 101
SAYS = (f"a=rtpmap:{EVENTS} telephone-event/8000", f"a=fmtp:{EVENTS} 0-16")
DIGITS = (4, 0, 7, 7, 11)  # 4077#
PACKETS = 6  # of each


def so_far(ladder: str) -> str:
    """Of a call that is up, without how it sounds by now: that goes on counting."""
    told, mark, _ = ladder.partition("* by now:")
    assert mark, ladder
    return told.rpartition("\n")[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_digits_keep_their_place_and_nobody_writes_them_down(lab: Lab, engine: Engine) -> None:
    lab.start(engine)
    with Parties(lab) as parties:
        near, far = parties.voice("pbx"), parties.voice("carrier")
        talk = parties.talk(
            near, far, offer=near.describes(*SAYS, kinds=(0, EVENTS)), answer=far.describes(*SAYS, kinds=(0, EVENTS))
        )
        parties.desk.talks(0.3, near, far)
        (call,) = lab.node.ask("calls")["calls"]
        before = (lab.node.child.log, so_far(lab.node.ladder(call["ref"])))
        for digit in DIGITS:
            for _ in near.presses(digit, EVENTS):
                far.says()
                parties.desk.rests(PACKET_SECONDS)
            parties.desk.talks(0.06, near, far, settle=0)
        parties.desk.talks(0.2, near, far)
        assert (lab.node.child.log, so_far(lab.node.ladder(call["ref"]))) == before

        assert talk.missed() == ([], [])
        assert [packet.data for packet in far.heard] == near.sent  # in this order, and nothing changed
        assert far.heard_numbers() == sorted(far.heard_numbers())
        assert sum(packet.kind == EVENTS for packet in far.heard) == PACKETS * len(DIGITS)
        if engine == "kernel":
            sound = len(near.sent) - PACKETS * len(DIGITS)
            in_kernel = sorted(kernel for _, kernel in lab.counters())
            assert len(in_kernel) == 2
            assert sound - 8 <= in_kernel[0] <= sound  # all sound but the first few packets, and no event
            assert in_kernel[1] >= len(far.sent) - 8
        record = parties.hangs_up(talk)
        ladder = lab.node.ladder(call["ref"])
    media = json.loads(record["media"])
    assert media["ingress"][0]["digits"] == len(DIGITS)
    assert media["ingress"][0]["packets"] == len(near.sent)
    assert "digits" not in media["egress"][0]
    for text in (lab.node.child.log, ladder, record["media"]):
        assert "4077" not in text.replace(record["ref"], "")
