"""Requests within a dialog that come late, out of order or more than once (RFC 3261 §12.2.2, §17.2).

`peer` is the phone on the leg that the story is about, `other` the one beyond the SBC.
"""

import pytest

from sbc.sdp import Direction
from sbc.testing.byhand import ByHand

from .racing import BOTH_LEGS, ends, talking

pytestmark = pytest.mark.parametrize("leg", BOTH_LEGS)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "REFER", "BYE", "ACK"])
def test_requests_after_the_bye(world, leg, method):
    """481, and an ACK goes nowhere; the other phone hears nothing."""
    race = talking(world, leg)
    call = race.peer.call
    race.peer.hangs_up()
    race.sbc.run(1.0)
    before, beyond = len(race.sbc.net.sent_to(race.peer.name)), race.count(race.beyond)
    hand = ByHand(race.sbc, race.peer)
    hand.sends(
        method, call.target, sdp=method in ("INVITE", "UPDATE"), call_id=call.call_id, from_tag=call.local_tag,
        to_tag=call.remote_tag, cseq=77,
    )  # fmt: skip
    said = race.sbc.net.sent_to(race.peer.name)[before:]
    assert [data[:11] for data in said] == ([] if method == "ACK" else [b"SIP/2.0 481"])
    assert race.count(race.beyond) == beyond
    hand.sends(
        "ACK",
        call.target,
        call_id=call.call_id,
        from_tag=call.local_tag,
        to_tag=call.remote_tag,
        cseq=77,
        branch="z9hG4bKbyhand1",
    )
    assert race.sbc.cdr.only.cause == "normal"
    assert race.sbc.idle()


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "BYE"])
def test_a_request_with_an_old_number(world, leg, method):
    """ "The request is out of order and MUST be rejected with a 500", §12.2.2; the call goes on."""
    race = talking(world, leg)
    race.peer.holds()
    race.peer.resumes()
    beyond, call = race.count(race.beyond), race.peer.call
    call.local_seq -= 2
    if method in ("INVITE", "UPDATE"):
        race.peer.retries_glare(wanted=False)
        race.peer.changes(direction=Direction.INACTIVE, by=method)
        race.sbc.run(1.0)
    else:
        ask = race.peer.agent.request
        race.sbc.net.perform(race.peer.agent, ask(call, method, race.sbc.now))
        race.sbc.settle()
    call.local_seq += 2
    assert race.peer.got("500" if method == "INVITE" else f"500 {method}")
    assert race.count(race.beyond) == beyond
    if method == "BYE":  # it believes that it has hung up, and so sends no other
        assert ends(race, "other")
        return
    race.peer.resumes()
    assert race.sbc.hears(race.other, race.peer)
    assert ends(race)


def test_a_number_that_jumps(world, leg):
    """ "could be higher than the remote sequence number by more than one. This is not an error condition", §12.2.2."""
    race = talking(world, leg)
    race.peer.call.local_seq = 2**31 - 20
    race.peer.holds()
    assert race.other.direction is Direction.SENDONLY
    race.peer.resumes()
    assert ends(race)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "BYE"])
def test_repeated_requests_have_one_effect(world, leg, method):
    """The network delivers everything of the peer twice, late."""
    race = talking(world, leg)
    beyond = race.count(race.beyond)
    if method == "BYE":
        race.peer.hangs_up()
    else:
        race.peer.holds(by=method)
    sent = [one for one in race.sbc.net.log if one.sender == race.peer.name and one.data.startswith(method.encode())]
    for _ in range(3):
        race.sbc.inject(sent[-1].data, race.peer)
        race.sbc.run(0.2)
    seen = race.rungs(race.beyond, after=beyond)
    assert len([rung for rung in seen if rung.startswith(f"< {method}")]) == 1
    if method != "BYE":
        race.peer.hangs_up()
    assert race.sbc.cdr.only.cause == "normal"
    assert race.sbc.idle()
