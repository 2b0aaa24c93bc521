"""What peers send again, or for the first time, to a call whose engine has died meanwhile (RFC 3261 §12, §13, §17)."""

import pytest

from sbc.sdp import Direction
from sbc.sip.message import Request, Response
from sbc.sip.parse import parse_message
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR, POLICY

from .transferring import BRANCH, called, refers

SHORT = POLICY.replace("office: {", "office: {session_timer: {expires: 120s, min: 90s}, ")
TEXT = (("Content-Type", "text/plain"),)


def talking(world, policy=POLICY, refresher=None):
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    if refresher is not None:
        office.uses_session_timer(120, refresher=refresher)
    office.invites(FAR)
    carrier.answers()
    sbc.run(1.0)
    return sbc, office, carrier


def dies_and_lives(sbc, after=0.3):
    sbc.signalling_dies()
    sbc.net.loses_no_more()
    sbc.signalling_lives(after=after)


def to(sbc, phone, method):
    """Our requests with this method that have come to a phone, or our responses to such."""
    came = [sent.data for sent in sbc.net.log if sent.receiver == phone.name and sent.fate == "delivered"]
    found = [parse_message(data, stream=True) for data in came]
    return [one for one in found if one.cseq.method == method]


def requests(sbc, phone, method):
    return [one for one in to(sbc, phone, method) if isinstance(one, Request)]


def statuses(sbc, phone, method):
    return [one.status for one in to(sbc, phone, method) if isinstance(one, Response)]


def ends(sbc, phone, cause="normal"):
    phone.hangs_up()
    sbc.run(1.0)
    assert sbc.cdr.only.cause == cause
    assert sbc.idle()


# --- the first INVITE -------------------------------------------------------------------------------------------------


# RFC: 3261
def test_our_2xx_is_repeated_until_its_ack(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    sbc.net.loses("ACK", by=office.name, times=50)
    carrier.answers()
    dies_and_lives(sbc)
    sbc.run(2.0)
    assert statuses(sbc, office, "INVITE").count(200) >= 2
    sbc.run(60.0)
    assert office.is_talking
    assert carrier.is_talking
    ends(sbc, office)


@pytest.mark.parametrize("after", [1.0, 40.0])
def test_an_ack_that_may_have_come_before_our_death_costs_nobody_his_call(world, after):
    """That it came is written down with what follows it, and not by itself."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag)
    before = hand.statuses().count(200)
    dies_and_lives(sbc, after=after)
    sbc.run(60.0)
    assert (hand.statuses().count(200) > before) is (after < 32.0)
    assert carrier.is_talking
    ends(sbc, carrier)


# RFC: 3261
@pytest.mark.parametrize("sdp", [True, False])
def test_a_2xx_that_comes_again_has_its_ack_with_what_that_said(world, sdp):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR, sdp=sdp)
    sbc.net.loses("ACK", to=carrier.name, times=50)
    carrier.answers()
    sbc.run(0.1)
    lost = next(s for s in sbc.net.log if s.fate == "lost" and s.receiver == carrier.name)
    dies_and_lives(sbc)
    sbc.run(5.0)
    acks = requests(sbc, carrier, "ACK")
    assert acks
    assert acks[0].body == parse_message(lost.data, stream=False).body
    assert bool(acks[0].body) is not sdp
    assert acks[0].cseq.number == 1
    assert carrier.is_talking
    ends(sbc, carrier)


def test_an_ack_that_was_lost_with_us_is_made_up_for(world):
    """The callee's 2xx has come, and we died before its ACK went out."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    sbc.signalling_dies(after=3)
    hand.replies(200, sdp=True)
    sbc.run(0.2)
    assert sbc.lives.is_dead
    sbc.signalling_lives()
    hand.replies(200, sdp=True)
    sbc.run(1.0)
    assert requests(sbc, carrier, "ACK")


# RFC: 3261
@pytest.mark.parametrize("way", ["the same", "another"])
def test_an_invite_that_comes_again_late_begins_no_second_call(world, way):
    """By another way it has another branch: "the UAS core SHOULD generate a 482", §8.2.2.2."""
    sbc, office, carrier = talking(world)
    invite = next(s for s in sbc.net.log if s.sender == office.name and s.data.startswith(b"INVITE"))
    dies_and_lives(sbc)
    sbc.inject(invite.data.replace(b"branch=", b"branch=" if way == "the same" else b"branch=z9hG4bKother"), office)
    sbc.run(2.0)
    assert (482 in statuses(sbc, office, "INVITE")) is (way == "another")
    assert len(requests(sbc, carrier, "INVITE")) == 1
    assert office.is_talking
    ends(sbc, office)


# RFC: 3261
def test_another_forks_2xx_after_our_death_is_ended(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.script.sees_forks = True
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(200, sdp=True, tag="first")
    sbc.run(0.5)
    dies_and_lives(sbc)
    hand.replies(200, sdp=True, tag="second")
    sbc.run(0.2)
    tags = [(one.method, one.to.tag) for one in to(sbc, carrier, "ACK") + to(sbc, carrier, "BYE")]
    assert ("ACK", "second") in tags
    assert ("BYE", "second") in tags
    assert ("BYE", "first") not in tags


# --- later requests ---------------------------------------------------------------------------------------------------


def test_what_has_crossed_and_was_answered_crosses_once(world):
    sbc, office, carrier = talking(world)
    sbc.net.loses("SIP/2.0 200", to=office.name, times=50)
    office.requests("INFO", fields=TEXT, body=b"hello")
    sbc.run(0.1)
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert len(requests(sbc, carrier, "INFO")) == 1
    assert statuses(sbc, office, "INFO")[-1] == 200
    ends(sbc, office)


def test_what_has_no_answer_yet_is_asked_again(world):
    sbc, office, carrier = talking(world)
    sbc.net.loses("INFO", to=carrier.name, times=50)
    office.requests("INFO", fields=TEXT, body=b"hello")
    sbc.run(0.1)
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert statuses(sbc, office, "INFO")[-1] == 200
    ends(sbc, office)


def test_a_transfer_that_was_accepted_is_not_begun_twice(world):
    sbc, office, carrier, branch = called(world)
    branch.disallows()
    sbc.net.loses("SIP/2.0 202", to=office.name, times=50)
    sbc.net.loses("NOTIFY", to=office.name, times=50)
    refers(office, BRANCH)
    sbc.run(0.1)
    dies_and_lives(sbc)
    sbc.run(5.0)
    assert 202 in statuses(sbc, office, "REFER")
    assert len({one.via.branch for one in requests(sbc, branch, "INVITE")}) == 1
    assert all(party.stage == "ended" for party in branch.agent.parties)
    assert carrier.is_talking
    office.hangs_up()
    sbc.run(1.0)
    assert sbc.idle()


# RFC: 3261
@pytest.mark.parametrize("who", ["office", "carrier"])
def test_a_hold_that_was_on_its_way_gets_491_and_is_tried_again(world, who):
    sbc, office, carrier = talking(world)
    one, other = (office, carrier) if who == "office" else (carrier, office)
    sbc.net.loses("INVITE", to=other.name, times=50)
    one.holds()
    sbc.run(0.2)
    dies_and_lives(sbc)
    assert 491 in statuses(sbc, one, "INVITE")
    sbc.run(20.0)
    assert other.direction in (Direction.RECVONLY, Direction.SENDONLY)
    ends(sbc, one)


def test_a_2xx_to_a_reinvite_of_ours_that_comes_late_has_its_ack(world):
    sbc, office, carrier = talking(world)
    sbc.net.loses("SIP/2.0 200", by=carrier.name, times=2)
    office.holds()
    sbc.run(0.3)
    before = len(requests(sbc, carrier, "ACK"))
    dies_and_lives(sbc)
    sbc.run(20.0)
    acked = {one.cseq.number for one in requests(sbc, carrier, "ACK")[before:]}
    sent = {one.cseq.number for one in requests(sbc, carrier, "INVITE")}
    assert min(sent - {1}) in acked
    assert (office.call.stage, carrier.call.stage) == ("talking", "talking")
    ends(sbc, office)


# RFC: 3261
def test_after_a_power_cut_no_number_is_used_twice(world):
    """What was said last is not on the disk. "The CSeq … MUST be … monotonically increasing", §12.2.1.1."""
    sbc, office, carrier = talking(world)
    sbc.run(5.0)
    office.requests("INFO", fields=TEXT, body=b"one")
    office.requests("INFO", fields=TEXT, body=b"two")
    sbc.everything_dies(late=1.0)
    sbc.signalling_lives(after=2.0)
    office.requests("INFO", fields=TEXT, body=b"three")
    sbc.run(5.0)
    numbers = [one.cseq.number for one in requests(sbc, carrier, "INFO")]
    assert len(numbers) == 3
    assert numbers == sorted(set(numbers))
    ends(sbc, office)


# --- goodbyes ---------------------------------------------------------------------------------------------------------


# RFC: 3261
def test_a_bye_of_ours_goes_out_again_with_a_higher_number(world):
    sbc, office, carrier = talking(world)
    sbc.net.loses("BYE", to=carrier.name, times=50)
    office.hangs_up()
    sbc.run(0.1)
    sent = [s for s in sbc.net.log if s.sender == "sbc" and s.data.startswith(b"BYE")]
    first = parse_message(sent[0].data, stream=False)
    dies_and_lives(sbc)
    sbc.run(5.0)
    [bye] = {one.cseq.number: one for one in requests(sbc, carrier, "BYE")}.values()
    assert bye.cseq.number > first.cseq.number
    assert carrier.call.stage == "ended"
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("who", ["office", "carrier"])
def test_who_hangs_up_while_we_are_dead_is_heard(world, who):
    sbc, office, carrier = talking(world)
    one, other = (office, carrier) if who == "office" else (carrier, office)
    sbc.signalling_dies()
    one.hangs_up()
    sbc.signalling_lives(after=3.0)
    sbc.run(5.0)
    assert set(statuses(sbc, one, "BYE")) == {200}
    assert other.call.stage == "ended"
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- session timers ---------------------------------------------------------------------------------------------------


# RFC: 4028
def test_a_refresh_of_ours_that_was_on_its_way_is_made_anew(world):
    sbc, office, carrier = talking(world, SHORT, refresher="uas")
    sbc.net.loses("UPDATE", to=office.name, times=50)
    sbc.run(60.0)
    dies_and_lives(sbc)
    sbc.run(0.5)
    assert requests(sbc, office, "UPDATE")
    sbc.run(600.0)
    assert (office.call.stage, carrier.call.stage) == ("talking", "talking")
    ends(sbc, office)


# RFC: 4028
@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_a_session_that_ran_out_meanwhile_has_a_moment_more(world, refresher):
    sbc, office, carrier = talking(world, SHORT, refresher=refresher)
    sbc.run(85.0)
    dies_and_lives(sbc, after=8.0)
    sbc.run(5.0)
    assert (office.call.stage, carrier.call.stage) == ("talking", "talking")
    sbc.run(600.0)
    assert (office.call.stage, carrier.call.stage) == ("talking", "talking")
    ends(sbc, office)


# RFC: 4028
def test_who_does_not_refresh_after_that_either_is_hung_up_on(world):
    sbc = world(SHORT)
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    timer = (("Supported", "timer"), ("Session-Expires", "120;refresher=uac"))
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True, fields=timer)
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag)
    sbc.run(5.0)
    dies_and_lives(sbc, after=200.0)
    sbc.run(31.0)
    assert carrier.is_talking
    sbc.run(3.0)
    assert not carrier.is_talking
    sbc.run(40.0)
    assert sbc.cdr.only.cause == "session_expired"
    assert sbc.idle()
