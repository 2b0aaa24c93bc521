"""What the disk is told of a call before its record, and `cdr: strict`: no caller hears of what the disk has not."""

import pytest
from msgspec.structs import replace

from sbc.b2bua.events import CdrFlows, CdrStalled, MediaReplied
from sbc.cdr.entry import Attempted, Interim, Started
from sbc.core import limits
from sbc.media import wire
from sbc.testing.world import DID, FAR, POLICY

STRICT = POLICY.replace("country: US", "country: US, cdr: strict")
HELP = STRICT.replace(
    "routes:\n", "routes:\n  - {name: help, from: office, to: ['911', emergency], emergency: true, via: carrier}\n"
)


def heard(sbc, received):
    """The media worker's report of a call of which so much has come."""
    (ref,) = sbc.switch.calls
    (report,) = sbc.media.ask(wire.Query(ref))
    count = wire.StreamCount(wire.EndCount(received=received), wire.EndCount(received=received))
    sbc.tell(MediaReplied(wire.Report((replace(report.sessions[0], streams=(count,)),))))


def noted(sbc):
    return [(type(entry).__name__, entry.ref) for entry in sbc.noted]


# --- what is noted ----------------------------------------------------------------------------------------------------


def test_an_attempt_and_its_answer_are_noted_before_the_peers_hear_of_them(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    [attempt] = sbc.noted
    assert isinstance(attempt, Attempted)
    assert (attempt.ingress, attempt.caller, attempt.called) == ("office", DID, FAR)
    assert attempt.started_at == pytest.approx(sbc.wall_at_zero + sbc.now)
    sbc.run(3.0)
    carrier.answers()
    assert noted(sbc) == [("Attempted", attempt.ref), ("Started", attempt.ref)]
    start = sbc.noted[1].record
    assert start.answered_at == pytest.approx(sbc.wall_at_zero + sbc.now)
    assert (start.egress, start.billable_ms, start.ended_at) == ("carrier", 0, start.answered_at)
    office.hangs_up()
    record = sbc.cdr.only
    assert (record.ref, record.answered_at) == (start.ref, start.answered_at)
    assert sbc.idle()


def test_what_may_be_an_emergency_is_noted_as_one(world):
    """Nobody has decided that yet, and a record that is made of the attempt alone must not hide it."""
    sbc = world(HELP)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.script.refuses = 486
    for number in ("911", FAR):
        office.invites(number)
    assert [entry.emergency for entry in sbc.noted if isinstance(entry, Attempted)] == [True, False]
    assert sbc.idle()


def test_a_call_that_talks_is_noted_every_minute_with_when_it_was_heard_last(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(150.0)
    interims = [entry.record for entry in sbc.noted if isinstance(entry, Interim)]
    assert len(interims) == 2
    assert {one.ended_at - one.answered_at for one in interims} == {0.0}  # nothing was heard of it
    office.hangs_up()
    assert sbc.idle()


def test_a_call_that_is_heard_is_noted_with_that(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    began = sbc.now
    sbc.run(20.0)
    for received in (500, 1000):
        heard(sbc, received)
        sbc.run(5.0)
    sbc.run(40.0)
    [interim] = [entry.record for entry in sbc.noted if isinstance(entry, Interim)]
    assert interim.billable_ms == pytest.approx(25_000, abs=10)
    assert interim.ended_at == pytest.approx(sbc.wall_at_zero + began + 25.0, abs=0.01)
    office.hangs_up()
    assert sbc.idle()


def test_where_it_is_never_wanted_nothing_is_noted_of_talk(world):
    sbc = world(POLICY.replace("country: US", "country: US, cdr: {interim: never}"))
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(600.0)
    assert not [entry for entry in sbc.noted if isinstance(entry, Interim)]
    office.hangs_up()
    assert sbc.idle()


# --- cdr: strict ------------------------------------------------------------------------------------------------------


def held(world, policy=STRICT):
    """A call whose answer the disk does not take yet."""
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.disk_is_full = True
    carrier.answers()
    assert office.got(100, 180)
    return sbc, office, carrier


def test_the_caller_hears_of_the_answer_when_it_is_on_the_disk(world):
    sbc, office, carrier = held(world)
    sbc.run(1.0)
    assert not office.got(200)
    assert [call.state for call in sbc.switch.snapshot(sbc.now).calls] == ["ringing"]
    sbc.disk_has_room()
    assert office.got(200)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    sbc.run(10.0)
    office.hangs_up()
    record = sbc.cdr.only
    assert (record.cause, record.billable_ms) == (
        "normal",
        pytest.approx(10_000, abs=10),
    )  # from the 200 that the caller got
    assert sbc.idle()


def test_a_disk_that_is_quick_delays_nothing(world):
    sbc = world(STRICT)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    assert office.got(100, 200)
    office.hangs_up()
    assert [type(entry) for entry in sbc.noted] == [Attempted, Started]
    assert sbc.idle()


# BOUND: CDR_START_SECONDS
def test_a_disk_that_takes_it_too_late_ends_the_call_on_both_sides(world):
    sbc, office, carrier = held(world)
    sbc.run(limits.CDR_START_SECONDS + 0.1)
    assert office.got(503)
    assert carrier.got("INVITE", "ACK", "BYE")
    sbc.disk_has_room()
    record = sbc.cdr.only
    assert (record.cause, record.sip_status, record.answered_at, record.billable_ms) == ("overload", 503, None, 0)
    sbc.run(40.0)
    assert sbc.idle(but=["errors"])


def test_a_caller_may_give_up_while_he_waits_for_the_disk(world):
    sbc, office, carrier = held(world)
    office.cancels()
    assert carrier.got("INVITE", "ACK", "BYE")
    assert office.got(487)
    sbc.disk_has_room()
    assert (sbc.cdr.only.cause, sbc.cdr.only.billable_ms) == ("cancelled", 0)
    sbc.run(40.0)
    assert sbc.idle()


def test_a_callee_may_hang_up_before_the_caller_has_heard(world):
    sbc, office, carrier = held(world)
    carrier.hangs_up()
    assert office.got(480)
    sbc.disk_has_room()
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.answered_at) == ("rejected", "callee", None)
    sbc.run(40.0)
    assert sbc.idle(but=["errors"])


def test_while_the_disk_takes_nothing_new_calls_are_refused_and_emergencies_never(world):
    sbc, office, carrier = held(world, HELP)
    office.invites(FAR)
    assert office.got(503)
    office.invites("911")
    carrier.answers()
    assert office.got(100, 200)
    assert office.is_talking
    office.hangs_up()
    sbc.run(limits.CDR_START_SECONDS + 0.1)  # the held one is refused meanwhile
    sbc.disk_has_room()
    sbc.run(40.0)
    office.invites(FAR)
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    sbc.run(40.0)
    assert sbc.idle(but=["errors"])


def refusals(sbc):
    return [log.event for log in sbc.logs if log.event in ("cdr.refusing", "cdr.taking_calls")]


def test_that_calls_are_refused_is_an_alarm_until_they_are_not(world):
    sbc = world(STRICT)
    sbc.tell(CdrStalled())
    sbc.tell(CdrStalled())
    assert refusals(sbc) == ["cdr.refusing"]
    sbc.tell(CdrFlows())
    assert refusals(sbc) == ["cdr.refusing", "cdr.taking_calls"]
    sbc.tell(CdrStalled())
    sbc.reload(POLICY)
    assert refusals(sbc)[2:] == ["cdr.refusing", "cdr.taking_calls"]
    sbc.reload(STRICT)
    assert refusals(sbc)[4:] == ["cdr.refusing"]
    assert sbc.idle()


def readiness(sbc):
    view = sbc.switch.snapshot(sbc.now, 0)
    return view.takes_calls, view.ready, view.refusing


def test_a_load_balancer_is_told_while_calls_are_refused_and_emergencies_are_served(world):
    sbc = world(HELP)
    office, carrier = sbc.office(), sbc.carrier()
    assert readiness(sbc) == (True, True, "")
    sbc.disk_is_full = True
    sbc.tell(CdrStalled("the disk is full"))
    assert readiness(sbc) == (False, True, "the disk takes no call records, and the policy has cdr: strict")
    office.invites(FAR)
    assert office.got(503)
    office.invites("911")
    carrier.answers()
    assert office.is_talking
    sbc.disk_has_room()
    assert readiness(sbc) == (True, True, "")
    office.hangs_up()
    sbc.run(40.0)
    assert sbc.idle()


def test_without_strict_that_is_so_when_too_many_records_wait(world, monkeypatch):
    monkeypatch.setattr(limits, "CDR_QUEUE", 1)
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.disk_is_full = True
    sbc.tell(CdrStalled("the disk is full"))
    assert readiness(sbc) == (True, True, "")
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert readiness(sbc) == (False, True, "too many call records wait for the disk")
    sbc.disk_has_room()
    assert readiness(sbc) == (True, True, "")
    sbc.run(40.0)
    assert sbc.idle()


def test_without_strict_a_full_disk_stops_no_call(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.disk_is_full = True
    office.invites(FAR)
    carrier.answers()
    assert office.got(100, 200)
    office.hangs_up()
    office.invites(FAR)
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    sbc.disk_has_room()
    assert len(sbc.cdr) == 2
    assert sbc.idle(but=["errors"])
