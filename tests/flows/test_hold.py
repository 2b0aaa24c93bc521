"""Hold and resume, by either side: the direction crosses, the answer comes back, versions count up."""
# RFC: 3264, 6141

import pytest

from sbc.sdp import Direction
from sbc.sdp.direction import direction_of
from sbc.testing.build import sdp_of
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR

from .transferring import called, can_talk, refers


def talking(world, **options):
    sbc = world(**options)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    return sbc, office, carrier


@pytest.mark.parametrize("holder", ["office", "carrier"])
@pytest.mark.parametrize(
    ("asked", "answered"),
    [(Direction.SENDONLY, Direction.RECVONLY), (Direction.INACTIVE, Direction.INACTIVE)],
)
def test_hold_and_resume(world, holder, asked, answered):
    sbc, office, carrier = talking(world)
    one, other = (office, carrier) if holder == "office" else (carrier, office)
    one.holds(asked)
    assert (other.direction, one.direction) == (asked, answered)
    one.resumes()
    assert (other.direction, one.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert sbc.hears(one, other)
    assert sbc.hears(other, one)
    one.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- where one side knows no hold but a=inactive ----------------------------------------------------------------------

INACTIVE_ALONE = {"carrier": {"hold": "inactive"}}


@pytest.mark.parametrize("asked", [Direction.SENDONLY, Direction.INACTIVE])
@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_who_knows_inactive_alone_is_told_of_a_hold_so(world, asked, by):
    sbc, office, carrier = talking(world, peers=INACTIVE_ALONE)
    port = carrier.call.remote_sdp.media[0].port
    office.holds(asked, by=by)
    assert (carrier.direction, office.direction) == (Direction.INACTIVE, Direction.INACTIVE)
    office.reinvites()
    assert (carrier.direction, office.direction) == (Direction.INACTIVE, Direction.INACTIVE)
    office.resumes(by=by)
    assert (carrier.direction, office.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert carrier.call.remote_sdp.media[0].port == port  # never another place for media
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.idle()


def test_what_who_knows_inactive_alone_says_crosses_as_it_is(world):
    sbc, office, carrier = talking(world, peers=INACTIVE_ALONE)
    carrier.holds()
    assert (office.direction, carrier.direction) == (Direction.SENDONLY, Direction.RECVONLY)
    office.holds()
    carrier.resumes()
    assert carrier.direction is Direction.INACTIVE
    office.resumes()
    assert (office.direction, carrier.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    carrier.hangs_up()
    assert sbc.idle()


def test_being_held_as_inactive_is_no_will_to_hold(world):
    """Held with music, and told that nothing goes either way: who takes the call over hears and is heard."""
    sbc, office, carrier, branch = called(world, peers=INACTIVE_ALONE)
    office.holds()
    assert carrier.direction is Direction.INACTIVE
    [call] = sbc.switch.calls.values()
    wanted = call.media.sides["ingress"].wanted()
    assert direction_of(wanted, wanted.media[0]) is Direction.SENDRECV
    refers(office)
    branch.answers()
    sbc.run(1)
    assert (branch.direction, carrier.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sbc.idle()


def test_a_first_description_is_no_hold(world):
    sbc = world(peers=INACTIVE_ALONE)
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    music = sdp_of("10.0.0.5").replace(b"a=sendrecv", b"a=sendonly")
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", body=music, fields=(("Content-Type", "application/sdp"),))
    carrier.answers()
    assert carrier.direction is Direction.SENDONLY
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    assert carrier.got("BYE")
    assert sbc.idle()


def test_both_hold_one_after_the_other(world):
    sbc, office, carrier = talking(world)
    office.holds()
    carrier.holds()
    assert office.direction is Direction.INACTIVE or office.direction is Direction.SENDONLY
    office.resumes()
    carrier.resumes()
    assert (office.direction, carrier.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    carrier.hangs_up()
    assert sbc.idle()


def test_refused_reinvite_crosses_and_the_session_stays(world):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = 488
    office.holds()
    assert office.got(200, 488)
    assert office.is_talking
    assert carrier.is_talking
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_reinvite_that_changes_nothing_keeps_the_version(world):
    sbc, office, carrier = talking(world)
    before = carrier.call.remote_sdp
    office.reinvites()
    assert carrier.call.remote_sdp == before
    office.hangs_up()
    assert sbc.idle()


def test_reinvite_without_offer(world):
    sbc, office, carrier = talking(world)
    office.reinvites(sdp=False)
    assert office.got(200, 200)
    assert office.is_talking
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.idle()


def test_glare_is_hidden_or_ends_in_491_and_the_call_goes_on(world):
    sbc, office, carrier = talking(world)
    with sbc.net.holding(office.agent), sbc.net.holding(carrier.agent):
        office.holds()
        carrier.holds()
    sbc.run(40.0)
    assert office.is_talking
    assert carrier.is_talking
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_bye_while_a_reinvite_is_under_way(world):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = None
    office.holds()
    carrier.hangs_up()
    assert office.got("BYE")
    carrier.agent.refuse(carrier.call, 487, sbc.now)
    assert sbc.cdr.only.cause == "normal"
    sbc.run(1.0)
    office.agent.parties.clear()
    carrier.agent.parties.clear()
    assert sbc.idle()


def test_caller_hangs_up_while_its_own_reinvite_is_under_way(world):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = None
    office.holds()
    office.hangs_up()
    assert carrier.got("BYE")
    carrier.agent.refuse(carrier.call, 487, sbc.now)
    assert sbc.cdr.only.ended_by == "caller"
    sbc.run(40.0)
    assert sbc.idle()


def test_a_held_call_may_be_silent_for_long(world):
    sbc, office, _carrier = talking(world)
    office.holds()
    sbc.run(3600.0)
    assert office.is_talking
    office.hangs_up()
    assert round(sbc.cdr.only.billable_ms, -3) == 3_600_000
    assert sbc.idle()


def test_hold_of_rfc_2543_is_understood(world):
    """c=0.0.0.0 (RFC 3264 §8.4): our address stays, the direction says it."""
    sbc, office, carrier = talking(world)
    office.agent.media = office.agent.media.__class__("0.0.0.0", office.agent.media.port)
    office.reinvites()
    assert carrier.direction is Direction.SENDONLY
    assert b"0.0.0.0" not in sbc.net.sent_to(carrier.name)[-2]
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("ender", ["office", "carrier"])
def test_a_reinvite_that_is_never_answered_does_not_outlive_its_call(world, ender):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = None  # 100, and never a final response
    office.holds()
    assert carrier.got("ACK", "INVITE")
    (office if ender == "office" else carrier).hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_hold_that_nobody_answers_is_taken_back_and_the_call_goes_on(world):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = None  # 100, and no more
    office.holds()
    sbc.run(100.0)
    assert carrier.got("ACK", "INVITE", "CANCEL")
    assert office.got(200, 504)
    carrier.script.reinvites = 200
    office.reinvites()
    assert office.got(200, 504, 200)
    assert office.is_talking
    carrier.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("crossing", [False, True])
def test_a_hold_that_its_sender_cancels(world, crossing):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = None
    office.holds()
    if crossing:
        with sbc.net.holding(carrier.agent):
            sbc.net.perform(carrier.agent, carrier.agent.accept(carrier.call, sbc.now))
            sbc.net.perform(office.agent, office.agent.cancel(office.call, sbc.now))
            sbc.run(0.1)
    else:
        sbc.net.perform(office.agent, office.agent.cancel(office.call, sbc.now))
    sbc.run(5.0)
    assert office.got(200, 200 if crossing else 487)  # a 200 that crosses has taken effect on both sides
    assert office.is_talking
    assert carrier.is_talking
    carrier.script.reinvites = 200
    office.resumes()
    assert office.direction is Direction.SENDRECV
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
