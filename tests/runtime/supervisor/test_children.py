"""Who is started again and when, what a signal means, in which order everything ends: no process is involved."""

import signal

import pytest

from sbc.runtime.supervisor.children import (
    LEAVE_SECONDS,
    LEAVES,
    SIGNALLING,
    STOP_NOW_SECONDS,
    WORKERS_SECONDS,
    Become,
    Began,
    Child,
    Children,
    Ended,
    Exit,
    LetGo,
    Log,
    NotBecome,
    Rehearse,
    Rehearsed,
    Runs,
    Send,
    Signalled,
    Start,
    Stops,
    Took,
    Unwanted,
    Wanted,
)
from sbc.runtime.supervisor.restart import LONGEST_SECONDS, QUICK_DEATHS, STABLE_SECONDS, Restart

WORKER = Child(0)
OTHER = Child(1)
KILLED = -signal.SIGKILL


def deeds(commands):
    return [command for command in commands if not isinstance(command, Log)]


def died(child, children, now, status=KILLED):
    return children.handle(Ended(child, 100, status), now)


@pytest.fixture
def ready():
    """Signalling and two workers run since 0.0."""
    children = Children()
    assert children.handle(Began(), 0.0) == [Start(SIGNALLING)]
    for worker in (WORKER, OTHER):
        assert children.handle(Wanted(worker), 0.0) == [Start(worker)]
        assert children.handle(Runs(worker), 0.0) == []
    assert children.handle(Runs(SIGNALLING), 0.0) == []
    return children


# --- the rule of restarts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lives", "pauses"),
    [
        ([STABLE_SECONDS] * 100, [0.0] * 100),
        ([None] * 8, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
        ([0.0] * 5, [0.0] * QUICK_DEATHS + [0.1, 0.2, 0.4]),
        ([None, None, STABLE_SECONDS, None], [0.1, 0.2, 0.0, 0.1]),
        ([0.0, 0.0, STABLE_SECONDS, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.1]),
        ([0.0, None, 0.0, 0.0], [0.0, 0.1, 0.0, 0.2]),
    ],
)
def test_what_ran_starts_at_once_and_what_never_came_up_waits_longer_each_time(lives, pauses):
    restart = Restart()
    assert [restart.pause(lived) for lived in lives] == pauses


def test_no_pause_is_longer_than_the_longest():
    restart = Restart()
    assert max(restart.pause(None) for _ in range(100)) == LONGEST_SECONDS


# --- deaths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("child", [SIGNALLING, WORKER])
@pytest.mark.parametrize("status", [KILLED, 0, 1])
def test_a_child_that_ran_is_started_again_at_once_and_its_death_is_logged(ready, child, status):
    said, start = died(child, ready, 10.0, status)
    assert start == Start(child)
    assert (said.level, said.event, said.fields["status"], said.fields["ran_seconds"]) == (
        "error", "child.died", status, 10.0,
    )  # fmt: skip
    assert ready.next_deadline() is None


def test_a_death_of_signalling_touches_no_worker(ready):
    assert deeds(died(SIGNALLING, ready, 10.0)) == [Start(SIGNALLING)]
    assert ready.handle(Wanted(WORKER), 10.5) == []


def test_a_worker_that_does_not_come_up_is_tried_with_back_off(ready):
    assert deeds(died(WORKER, ready, 10.0)) == [Start(WORKER)]
    assert deeds(died(WORKER, ready, 10.1)) == []
    assert ready.next_deadline() == pytest.approx(10.2)
    assert ready.tick(10.15) == []
    assert ready.tick(10.2) == [Start(WORKER)]
    assert ready.next_deadline() is None


@pytest.mark.parametrize("status", [0, 1, 2, 130])
def test_signalling_that_ends_by_itself_before_it_was_ever_ready_ends_the_program(status):
    children = Children()
    children.handle(Began(), 0.0)
    assert children.handle(Ended(SIGNALLING, 100, status), 0.5) == [Exit(status)]


def test_its_workers_are_let_go_first():
    children = Children()
    children.handle(Began(), 0.0)
    children.handle(Wanted(WORKER), 0.1)
    assert children.handle(Ended(SIGNALLING, 100, 1), 0.5) == [LetGo(WORKER)]
    assert children.handle(Ended(WORKER, 101, 0), 0.6) == [Exit(1)]


def test_signalling_that_is_killed_before_it_was_ready_is_tried_again():
    children = Children()
    children.handle(Began(), 0.0)
    assert deeds(died(SIGNALLING, children, 0.5)) == []
    assert children.tick(0.6) == [Start(SIGNALLING)]


def test_a_policy_that_was_spoilt_meanwhile_does_not_end_what_was_ready_once(ready):
    died(SIGNALLING, ready, 10.0)
    assert deeds(died(SIGNALLING, ready, 10.5, 1)) == []
    assert ready.tick(10.6) == [Start(SIGNALLING)]


def test_a_worker_that_nobody_asked_for_again_is_let_go_and_not_replaced(ready):
    assert ready.handle(Unwanted(OTHER), 1.0) == [LetGo(OTHER)]
    assert died(OTHER, ready, 1.1, 0) == []
    assert ready.handle(Wanted(OTHER), 2.0) == [Start(OTHER)]


# --- signals and the end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_passed_on_and_the_workers_outlive_the_drain(ready, number):
    assert ready.handle(Signalled(number), 1.0) == [Send(SIGNALLING, number)]
    assert ready.next_deadline() is None
    assert deeds(died(WORKER, ready, 5.0)) == [Start(WORKER)]
    assert ready.handle(Ended(SIGNALLING, 100, 0), 60.0) == [LetGo(WORKER), LetGo(OTHER)]
    assert ready.handle(Ended(OTHER, 102, 0), 60.1) == []
    assert ready.handle(Ended(WORKER, 101, 0), 60.1) == [Exit(0)]


def test_signalling_that_drains_of_itself_is_not_started_again(ready):
    assert ready.handle(Stops(), 1.0) == []
    assert ready.handle(Ended(SIGNALLING, 100, 1), 2.0) == [LetGo(WORKER), LetGo(OTHER)]


def test_workers_that_do_not_end_are_killed(ready):
    ready.handle(Signalled(signal.SIGTERM), 1.0)
    ready.handle(Ended(SIGNALLING, 100, 0), 2.0)
    ready.handle(Ended(WORKER, 101, 0), 2.1)
    assert ready.next_deadline() == 2.0 + WORKERS_SECONDS
    assert ready.tick(2.0 + WORKERS_SECONDS) == [Send(OTHER, signal.SIGKILL)]
    assert ready.next_deadline() is None
    assert died(OTHER, ready, 4.1) == [Exit(0)]


def test_a_second_stop_is_passed_on_and_a_stuck_signalling_is_killed(ready):
    ready.handle(Signalled(signal.SIGINT), 1.0)
    assert ready.handle(Signalled(signal.SIGTERM), 2.0) == [Send(SIGNALLING, signal.SIGTERM)]
    assert ready.tick(2.0 + STOP_NOW_SECONDS) == [Send(SIGNALLING, signal.SIGKILL)]
    assert died(SIGNALLING, ready, 17.0) == [LetGo(WORKER), LetGo(OTHER)]


def test_a_stop_while_signalling_waits_for_its_next_start_ends_at_once():
    children = Children()
    children.handle(Began(), 0.0)
    died(SIGNALLING, children, 0.5)
    assert children.handle(Signalled(signal.SIGTERM), 0.55) == [Exit(0)]


def test_a_stop_before_the_first_ready_ends_as_signalling_does():
    children = Children()
    children.handle(Began(), 0.0)
    assert children.handle(Signalled(signal.SIGTERM), 0.1) == [Send(SIGNALLING, signal.SIGTERM)]
    assert children.handle(Ended(SIGNALLING, 100, -signal.SIGTERM), 0.2) == [Exit(-signal.SIGTERM)]


def test_a_reload_is_passed_on_and_one_that_comes_too_early_waits(ready):
    assert ready.handle(Signalled(signal.SIGHUP), 1.0) == [Send(SIGNALLING, signal.SIGHUP)]
    died(SIGNALLING, ready, 2.0)
    assert ready.handle(Signalled(signal.SIGHUP), 2.1) == []
    assert ready.handle(Runs(SIGNALLING), 3.0) == [Send(SIGNALLING, signal.SIGHUP)]


def test_nothing_is_asked_for_any_more_once_signalling_has_ended(ready):
    ready.handle(Signalled(signal.SIGTERM), 1.0)
    ready.handle(Ended(SIGNALLING, 100, 0), 2.0)
    assert ready.handle(Wanted(Child(2)), 2.0) == []
    assert ready.handle(Signalled(signal.SIGTERM), 2.0) == []


# --- leaving the calls as they are ------------------------------------------------------------------------------------

RESTART = Signalled(signal.SIGUSR2)
LEAVE = Signalled(signal.SIGUSR1)
STOP = Signalled(signal.SIGTERM)


def test_a_restart_is_rehearsed_then_signalling_leaves_then_we_become_the_next_program(ready):
    assert ready.handle(RESTART, 1.0) == [Rehearse()]
    assert ready.handle(RESTART, 1.0) == []  # one at a time
    assert ready.handle(Rehearsed(), 2.0) == [Send(SIGNALLING, LEAVES)]
    assert died(SIGNALLING, ready, 2.1, status=0) == [Become()]


def test_a_program_that_would_not_start_changes_nothing(ready):
    ready.handle(RESTART, 1.0)
    [refused] = ready.handle(Rehearsed("no such module"), 2.0)
    assert (refused.event, refused.fields["reason"]) == ("restart.refused", "no such module")
    assert ready.next_deadline() is None
    assert ready.handle(RESTART, 3.0) == [Rehearse()]


def test_signalling_that_does_not_leave_is_killed_and_the_restart_goes_on(ready):
    ready.handle(RESTART, 1.0)
    ready.handle(Rehearsed(), 2.0)
    assert ready.tick(2.0 + LEAVE_SECONDS) == [Send(SIGNALLING, signal.SIGKILL)]
    assert died(SIGNALLING, ready, 6.0) == [Become()]


def test_signalling_that_cannot_start_is_what_a_restart_may_repair(ready):
    for _ in range(QUICK_DEATHS + 1):
        died(SIGNALLING, ready, 0.1, status=1)
    assert ready.handle(RESTART, 0.2) == [Rehearse()]
    assert ready.handle(Rehearsed(), 0.3)[-1] in (Become(), Send(SIGNALLING, LEAVES))


def test_a_program_that_could_not_be_executed_leaves_us_what_we_were(ready):
    ready.handle(RESTART, 1.0)
    ready.handle(Rehearsed(), 2.0)
    died(SIGNALLING, ready, 2.1, status=0)
    log, start = ready.handle(NotBecome("no such file"), 2.2)
    assert (log.event, start) == ("restart.refused", Start(SIGNALLING))
    assert deeds(died(WORKER, ready, 9.0)) == [Start(WORKER)]


def test_who_takes_over_goes_on_with_the_workers_and_never_ends_because_signalling_does_not_start():
    children = Children()
    assert children.handle(Took((WORKER,), was_ready=True), 5.0) == []
    assert children.handle(Began(), 5.0) == [Start(SIGNALLING)]
    assert children.handle(Wanted(WORKER), 5.0) == []
    for _ in range(20):
        assert Exit not in {type(command) for command in died(SIGNALLING, children, 5.1, status=1)}
    assert deeds(died(WORKER, children, 9.0)) == [Start(WORKER)]


def test_a_first_start_with_what_systemd_kept_may_fail():
    children = Children()
    children.handle(Took((), was_ready=False), 5.0)
    children.handle(Began(), 5.0)
    assert died(SIGNALLING, children, 5.1, status=1) == [Exit(1)]


def test_a_stop_while_signalling_leaves_is_heard_by_the_next_one_when_it_can_end_the_calls(ready):
    ready.handle(RESTART, 1.0)
    ready.handle(Rehearsed(), 2.0)
    assert ready.handle(STOP, 2.05) == []
    [become] = died(SIGNALLING, ready, 2.1, status=0)
    assert become == Become((signal.SIGTERM,))

    after = Children()
    after.handle(Took((WORKER,), True, become.stops), 2.2)
    after.handle(Began(), 2.2)
    assert after.handle(Runs(SIGNALLING), 3.0) == [Send(SIGNALLING, signal.SIGTERM)]
    assert died(SIGNALLING, after, 4.0, status=0) == [LetGo(WORKER)]


def test_who_stops_does_not_restart(ready):
    ready.handle(STOP, 1.0)
    [refused] = ready.handle(RESTART, 1.1)
    assert refused.event == "restart.refused"
    assert ready.handle(LEAVE, 1.2) == []


def test_a_rehearsal_that_ends_while_we_stop_restarts_nothing(ready):
    ready.handle(RESTART, 1.0)
    ready.handle(STOP, 1.1)
    [refused] = ready.handle(Rehearsed(), 1.2)
    assert refused.event == "restart.refused"


def test_leaving_ends_everything_and_no_call_and_systemds_stop_behind_it_is_no_second_one(ready):
    assert ready.handle(LEAVE, 1.0) == [Send(SIGNALLING, LEAVES)]
    for _ in range(3):
        assert ready.handle(STOP, 1.0) == []
    assert died(SIGNALLING, ready, 1.1, status=0) == [LetGo(WORKER), LetGo(OTHER)]
    died(WORKER, ready, 1.2, status=0)
    assert died(OTHER, ready, 1.2, status=0) == [Exit(0, leaves=True)]


def test_leaving_while_a_restart_is_under_way_leaves(ready):
    ready.handle(RESTART, 1.0)
    ready.handle(Rehearsed(), 2.0)
    assert ready.handle(LEAVE, 2.05) == []
    assert died(SIGNALLING, ready, 2.1, status=0) == [LetGo(WORKER), LetGo(OTHER)]
