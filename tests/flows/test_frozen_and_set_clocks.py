"""The process is stopped, the machine sleeps, the wall clock is set: calls, timers and records do not suffer, and what
was due meanwhile makes no storm.
"""

import pytest

from sbc.b2bua.events import ClockSet, DrainOrdered
from sbc.core import limits
from sbc.sip.commands import SendMessage
from sbc.testing.world import FAR, POLICY

SHORT = POLICY.replace("office: {", "office: {session_timer: {expires: 600s, min: 90s}, ").replace(
    "carrier: {", "carrier: {session_timer: {expires: 600s, min: 90s}, "
)
WATCH = "health: {options: 30s, retry: 5s, timeout: 4s, fall: 3, rise: 2}"
OPTIONED = POLICY.replace('servers: ["sip', f'{WATCH}, servers: ["sip')
MORE = 60
MANY = OPTIONED.replace(
    "routes:\n",
    "".join(
        f'  more{n}: {{interface: outside, {WATCH}, servers: ["sip:198.51.100.{100 + n}:5060"]}}\n' for n in range(MORE)
    )
    + "routes:\n",
)


def talking(world, policy=POLICY):
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.run(1.0)
    return sbc, office, carrier


def talked(record):
    return record.ended_at - record.answered_at


def bursts(sbc, method):
    """How many requests of this method left in each turn of the engine."""
    found = []
    tick = sbc.switch.tick

    def counted(now):
        commands = tick(now)
        found.append(sum(type(c) is SendMessage and c.data.startswith(method) for c in commands))
        return commands

    sbc.switch.tick = counted
    return found


def slept(sbc, seconds, method):
    """The machine sleeps, and what it sent after that, turn by turn."""
    sent = bursts(sbc, method)
    sbc.signalling_freezes(seconds)
    sbc.run(60.0)
    return sent


# --- stopped ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_call_does_not_notice_that_signalling_was_stopped(world, seconds):
    sbc, office, carrier = talking(world)
    sbc.signalling_freezes(seconds)
    sbc.run(1.0)
    assert sbc.hears(office, carrier)
    office.holds()
    office.resumes()
    carrier.hangs_up()
    assert office.got("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert talked(sbc.cdr.only) == pytest.approx(seconds + 2, abs=1)
    assert sbc.idle()


def state_of(sbc, peer):
    [view] = [view for view in sbc.switch.snapshot(sbc.now).peers if view.name == peer]
    return view.state


def test_answers_that_waited_in_the_socket_are_read_before_anybody_is_taken_for_dead(world):
    """A stop for longer than the patience for a probe that is on its way."""
    sbc = world(OPTIONED.replace("fall: 3", "fall: 1"))
    carrier = sbc.carrier()
    sbc.run(1.0)
    with sbc.net.holding(carrier.name):
        assert sbc.net.run_while(lambda: not sbc.net.sent_to(carrier.name), at_most=60)
    sbc.signalling_freezes(45)
    sbc.run(1.0)
    assert state_of(sbc, "carrier") == "up"
    assert sbc.idle()


def test_a_goodbye_that_waited_is_answered_and_the_call_is_as_long_as_it_was(world):
    sbc, office, carrier = talking(world)
    sbc.host.is_frozen = True
    office.hangs_up()
    sbc.signalling_freezes(8)
    sbc.run(5.0)
    assert carrier.got("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_session_that_was_to_be_refreshed_meanwhile_is_refreshed_and_goes_on(world):
    """Stopped over the time of our refresh (RFC 4028 10: half the interval), but not over the session's end."""
    sbc, office, carrier = talking(world, SHORT)
    sbc.signalling_freezes(400)
    sbc.run(2.0)
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert carrier.got("BYE")
    assert sbc.idle()


# --- a machine that slept ---------------------------------------------------------------------------------------------


# BOUND: CALLS_DUE_AT_ONCE
def test_calls_whose_time_is_over_after_a_sleep_end_in_many_small_turns(world):
    sbc = world(POLICY.replace("dids: [", "limits: {max_duration: 90s}, dids: ["))
    office, carrier = sbc.office(), sbc.carrier()
    carrier.answers_by_itself(after=0.01, rings=None)
    calls = limits.CALLS_DUE_AT_ONCE + 8
    for _ in range(calls):
        office.invites(FAR)
        sbc.run(0.1)
    sent = slept(sbc, 8 * 3600.0, b"BYE ")
    assert sum(sent) >= 2 * calls
    assert max(sent) <= 2 * limits.CALLS_DUE_AT_ONCE  # one on each leg
    assert [record.cause for record in sbc.cdr] == ["rate_limited"] * calls
    assert sbc.idle()


# BOUND: PEERS_DUE_AT_ONCE
def test_trunks_are_not_all_asked_at_once_after_a_sleep(world):
    sbc = world(MANY)
    sbc.run(100.0)
    sent = slept(sbc, 3600.0, b"OPTIONS ")
    assert sum(sent) > MORE
    assert max(sent) <= limits.PEERS_DUE_AT_ONCE


# BOUND: TRANSACTIONS_DUE_AT_ONCE
def test_what_is_to_be_sent_again_after_a_stop_is_not_sent_all_at_once(world, monkeypatch):
    monkeypatch.setattr(limits, "TRANSACTIONS_DUE_AT_ONCE", 20)
    sbc = world(MANY)  # no trunk answers, so that each has requests out
    sbc.run(100.0)
    sent = slept(sbc, 3.0, b"OPTIONS ")
    assert sum(sent) > 2 * MORE
    assert max(sent) <= 20 + limits.PEERS_DUE_AT_ONCE


# --- the wall clock is set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_wall_clock_that_is_set_changes_no_duration_and_no_timer(world, step):
    sbc, office, carrier = talking(world, SHORT)
    sbc.tell(ClockSet(sbc.wall_at_zero + step))
    sbc.run(700.0)  # beyond the session's end, had it not been refreshed
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert talked(sbc.cdr.only) == pytest.approx(701, abs=1)
    assert sbc.idle()


def test_a_drain_has_its_time_by_the_engines_clock(world):
    sbc, office, carrier = talking(world)
    sbc.tell(DrainOrdered(sbc.now + 30))
    sbc.tell(ClockSet(sbc.wall_at_zero + 3600))
    sbc.run(20.0)
    assert sbc.hears(office, carrier)
    sbc.run(15.0)
    assert carrier.got("BYE")
