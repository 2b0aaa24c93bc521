"""Hold and resume, by either side: the direction crosses, the answer comes back, versions count up."""
# RFC: 3264, 6141

import pytest

from sbc.sdp import Direction
from sbc.testing.world import FAR


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
