"""RFC 5407 §3.2 and §3.3.3: what meets a BYE on its way; the SBC sends that BYE, and then receives it, on either leg.

In the Mortal state "BYE can be accepted, and the other messages in the INVITE dialog usage are responded to with an
error"; a 2xx still gets its ACK (appendix D).
"""

# RFC: 5407

import pytest

from sbc.testing.world import FAR, POLICY

from .racing import BOTH_LEGS, about_to_call, talking

pytestmark = pytest.mark.parametrize("leg", BOTH_LEGS)


def ended(race, by):
    record = race.sbc.cdr.only
    return (record.cause, record.ended_by) == ("normal", by) and race.sbc.idle()


def test_3_2_1_two_byes_meet(world, leg):
    """§3.2.1: "the UA shall return a 200 OK to the BYE", whoever was first."""
    race = talking(world, leg)
    before, beyond = race.count(), race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.hangs_up()
        race.other.hangs_up()
    assert race.rungs(after=before) == ["< BYE", "> BYE", "< 200 OK (BYE)", "> 200 OK (BYE)"]
    assert race.rungs(race.beyond, after=beyond) == ["> BYE", "< 200 OK (BYE)"]
    assert ended(race, race.who[1])


def test_3_2_1_two_byes_meet_and_the_first_answer_is_lost(world, leg):
    """§3.2.1: the BYE that is repeated gets its 200 again, although the call is over."""
    race = talking(world, leg)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.hangs_up()
        race.other.hangs_up()
        race.sbc.net.loses("SIP/2.0 200", to=race.peer.name)
    race.sbc.run(2.0)
    assert race.rungs().count("< 200 OK (BYE)") == 2
    assert race.peer.got("200 BYE")
    assert ended(race, race.who[1])


def test_3_2_1_their_bye_comes_after_the_200_to_ours(world, leg):
    """§3.2.1: the Mortal state is over for us; "other responses can also be used", and ours is 481."""
    race = talking(world, leg)
    before = race.count()
    race.sbc.net.loses("BYE", by=race.peer.name)
    race.peer.hangs_up()
    race.other.hangs_up()
    race.sbc.run(2.0)
    late = ["> BYE", "< 481 Call/Transaction Does Not Exist (BYE)"]
    assert race.rungs(after=before) == ["< BYE", "> 200 OK (BYE)", *late]
    assert race.peer.got("BYE", "481 BYE")
    assert ended(race, race.who[1])


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_3_2_2_their_offer_meets_our_bye(world, leg, by):
    """§3.2.2, we are Alice: 481, and nobody beyond us hears of an offer."""
    race = talking(world, leg)
    before, beyond = race.count(), race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.holds(by=by)
        race.other.hangs_up()
    told = race.rungs(after=before)
    assert told[:3] == ["< BYE", f"> {by} sdp sendonly", f"< 481 Call/Transaction Does Not Exist ({by})"]
    assert sorted(told[3:]) == (["> 200 OK (BYE)", "> ACK"] if by == "INVITE" else ["> 200 OK (BYE)"])
    assert race.rungs(race.beyond, after=beyond) == ["> BYE", "< 200 OK (BYE)"]
    assert ended(race, race.who[1])


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_3_2_2_our_offer_meets_their_bye(world, leg, by):
    """§3.2.2, we are Bob: we acknowledge the 481; whose offer it was gets 487 and the BYE, not that 481."""
    race = talking(world, leg)
    before, beyond = race.count(), race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.hangs_up()
        race.other.holds(by=by)
    told = race.rungs(after=before)
    assert told[:3] == [f"< {by} sdp sendonly", "> BYE", "< 200 OK (BYE)"]
    assert f"> 481 Call/Transaction Does Not Exist ({by})" in told
    assert ("< ACK" in told) is (by == "INVITE")
    seen = race.rungs(race.beyond, after=beyond)
    assert f"< 487 Request Terminated ({by})" in seen
    assert "< BYE" in seen
    assert not any("481" in rung for rung in seen)
    assert ended(race, race.who[0])


def test_appendix_b_a_reinvite_is_lost_and_their_bye_overtakes_it(world, leg):
    """Appendix B: the INVITE that comes again after the BYE gets "either 481 … or 500", and begins nothing."""
    race = talking(world, leg)
    beyond = race.count(race.beyond)
    race.sbc.net.loses("INVITE", by=race.peer.name)
    race.peer.holds()
    race.peer.hangs_up()
    race.sbc.run(1.0)
    assert race.peer.call.last_status == 481
    assert race.rungs(race.beyond, after=beyond) == ["< BYE", "> 200 OK (BYE)"]
    assert ended(race, race.who[0])


def test_appendix_b_our_reinvite_is_lost_and_our_bye_overtakes_it(world, leg):
    """Appendix B: "the transaction handling has to be continued even though the dialog has moved"; it ends with 500."""
    race = talking(world, leg)
    race.peer.script.in_order = False  # it does not complain of the order that the loss has made, but says 500
    before, beyond = race.count(), race.count(race.beyond)
    race.sbc.net.loses("INVITE", to=race.peer.name)
    race.other.holds()
    race.other.hangs_up()
    race.sbc.run(2.0)
    assert race.rungs(after=before) == [
        "< INVITE sdp sendonly",
        "< BYE",
        "> 200 OK (BYE)",
        "< INVITE sdp sendonly",
        "> 500 Server Internal Error (INVITE)",
        "< ACK",
    ]
    assert race.rungs(race.beyond, after=beyond)[-2:] == ["< 487 Request Terminated (INVITE)", "> ACK"]
    assert ended(race, race.who[1])


def test_3_2_3_our_200_meets_their_bye(world, leg):
    """§3.2.3, we are Alice: the 200 gets its ACK, the BYE its 200; beyond us an offer was accepted before the BYE."""
    race = talking(world, leg)
    race.other.answers_reinvites(None)
    race.peer.holds()
    before, beyond = race.count(), race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.other.answers()
        race.peer.hangs_up()
    assert race.rungs(after=before) == ["< 200 OK (INVITE) sdp recvonly", "> BYE", "< 200 OK (BYE)", "> ACK"]
    assert race.rungs(race.beyond, after=beyond) == [
        "> 200 OK (INVITE) sdp recvonly",
        "< ACK",
        "< BYE",
        "> 200 OK (BYE)",
    ]
    race.sbc.run(40.0)
    assert race.rungs()[-1] == "> ACK"
    assert ended(race, race.who[0])


def test_3_2_3_their_200_meets_our_bye(world, leg):
    """§3.2.3, we are Bob: in the Mortal state we acknowledge the 200; whose offer it was hears no more of it."""
    race = talking(world, leg)
    race.peer.answers_reinvites(None)
    race.other.holds()
    before, beyond = race.count(), race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.answers()
        race.other.hangs_up()
    told = [rung for rung in race.rungs(after=before) if "CANCEL" not in rung]
    assert told == ["< BYE", "> 200 OK (INVITE) sdp recvonly", "< ACK", "> 200 OK (BYE)"]
    assert race.rungs(race.beyond, after=beyond) == [
        "> BYE",
        "< 200 OK (BYE)",
        "< 487 Request Terminated (INVITE)",
        "> ACK",
    ]
    race.sbc.run(40.0)
    assert "INVITE" in race.peer.heard
    assert race.peer.heard[-1] != "no ack"
    assert ended(race, race.who[1])


@pytest.mark.parametrize("sdp", [True, False])
def test_3_2_4_a_callee_hangs_up_before_its_200_is_acknowledged(world, leg, sdp):
    """§3.2.4. Towards the caller we are Bob, and let the BYE wait for the ACK (RFC 3261 §15). Towards the callee we are
    Alice: the ACK and the BYE cross, and "the answer in the ACK request is just ignored".
    """
    race = about_to_call(world, leg)
    sbc = race.sbc
    caller, callee = (race.peer, race.other) if leg == "ingress" else (race.other, race.peer)
    caller.invites(FAR, sdp=sdp)
    with sbc.net.holding(race.peer.agent):
        callee.answers()
        callee.hangs_up()
    sbc.run(40.0)
    towards_caller = race.rungs("ingress")
    assert towards_caller.index("< BYE") > towards_caller.index("> ACK" if sdp else "> ACK sdp")
    assert callee.heard.count("ACK") == 1
    assert callee.got("200 BYE")
    assert caller.got(200, "BYE")
    record = sbc.cdr.only
    assert (record.cause, record.ended_by) == ("normal", "callee")
    assert sbc.idle()


def test_3_2_4_their_bye_comes_instead_of_the_ack_of_a_later_2xx(world, leg):
    """§3.2.4 with a re-INVITE without offer: its 200 gets its ACK all the same (appendix D), without an answer."""
    race = talking(world, leg)
    race.other.never_acks()
    race.other.reinvites(sdp=False)
    before = race.count()
    race.peer.hangs_up()
    race.other.acks()
    assert race.rungs(after=before) == ["> BYE", "< 200 OK (BYE)", "< ACK"]
    assert race.other.got(200, "BYE")
    assert ended(race, race.who[0])


@pytest.mark.parametrize("transfer", ["pass", "terminate", "refuse"])
def test_3_3_3_their_refer_meets_our_bye(world, leg, transfer):
    """§3.3.3, we are Alice: 481 to the REFER, whatever we may do with one, and nobody is called for it."""
    race = talking(world, leg, policy=with_transfer(transfer))
    before, beyond = race.count(), race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.transfers("+442079460777")
        race.other.hangs_up()
    assert race.rungs(after=before) == [
        "< BYE",
        "> REFER",
        "< 481 Call/Transaction Does Not Exist (REFER)",
        "> 200 OK (BYE)",
    ]
    assert race.rungs(race.beyond, after=beyond) == ["> BYE", "< 200 OK (BYE)"]
    assert race.peer.call.progress == []
    assert ended(race, race.who[1])


def test_3_3_3_our_refer_meets_their_bye(world, leg):
    """§3.3.3, we are Bob, where REFER passes: its 481 is ours; whose REFER it was has a final answer, and the BYE."""
    race = talking(world, leg, policy=with_transfer("pass"))
    before, beyond = race.count(), race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.hangs_up()
        race.other.transfers("+442079460777" if leg == "egress" else "+14155550123")
    told = race.rungs(after=before)
    assert told[:3] == ["< REFER", "> BYE", "< 200 OK (BYE)"]
    assert told[3:] == ["> 481 Call/Transaction Does Not Exist (REFER)"]
    assert race.rungs(race.beyond, after=beyond) == [
        "> REFER",
        "< 487 Request Terminated (REFER)",
        "< BYE",
        "> 200 OK (BYE)",
    ]
    assert ended(race, race.who[0])


def with_transfer(word):
    policy = POLICY.replace("address: sip:10.0.0.5:5060,", f"address: sip:10.0.0.5:5060, transfer: {word},")
    return policy.replace("{interface: outside,", f"{{interface: outside, transfer: {word},")
