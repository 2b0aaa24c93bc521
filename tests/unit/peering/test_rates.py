"""Calls per second and minutes a day: exact at the edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.peering.rates import Rate, Usage
from sbc.policy.model import Limits

NOON = 1_738_324_800.0  # 2025-01-31T12:00:00Z
MIDNIGHT = NOON + 43_200.0


def test_an_idle_rate_admits_its_number_at_once_and_then_one_for_each_that_grew_old():
    rate = Rate(2)
    assert [rate.allows(10.0), rate.allows(10.5), rate.allows(10.5)] == [True, True, False]
    assert [rate.allows(10.75), rate.allows(11.0), rate.allows(11.25)] == [False, True, False]
    assert rate.allows(11.5)


def test_asking_does_not_count():
    rate = Rate(1)
    assert [rate.would_allow(0.0) for _ in range(5)] == [True] * 5
    assert rate.allows(0.0)
    assert not rate.would_allow(0.5)


def test_a_rate_of_nothing_admits_nothing():
    assert not Rate(0).allows(5.0)


def test_a_reload_changes_the_rate_and_forgets_nobody_who_was_just_admitted():
    rate = Rate(3)
    assert [rate.allows(0.0) for _ in range(3)] == [True] * 3
    rate.per_second = 4
    assert [rate.allows(0.1), rate.allows(0.1)] == [True, False]
    rate.per_second = 1
    assert not rate.allows(1.05)  # one was admitted at 0.1
    assert rate.allows(1.125)


@given(
    per_second=st.integers(1, 5),
    steps=st.lists(st.floats(0, 0.7, allow_subnormal=False), max_size=120),
)
def test_no_window_of_one_second_holds_more_than_was_allowed(per_second, steps):
    rate, now, admitted = Rate(per_second), 0.0, []
    for step in steps:
        now += step
        before = [at for at in admitted if now - at < 1.0]
        assert rate.would_allow(now) is (len(before) < per_second)  # and not one fewer
        if rate.allows(now):
            admitted.append(now)
    for earlier, later in zip(admitted, admitted[per_second:], strict=False):
        assert later - earlier >= 1.0


@given(per_second=st.integers(1, 50), start=st.floats(0, 1e7), idle=st.floats(1.001, 1e5))
def test_an_idle_rate_admits_all_it_may(per_second, start, idle):
    rate = Rate(per_second)
    for now in (start, start + idle):
        assert [rate.allows(now) for _ in range(per_second + 1)] == [True] * per_second + [False]


def test_without_limits_everything_is_admitted():
    usage = Usage(Limits())
    assert {usage.begin(f"call-{n}", 0.0, NOON) for n in range(200)} == {""}


def test_call_paths_of_a_pbx_are_held_by_calls_and_given_back():
    usage = Usage(Limits(call_paths=2))
    assert [usage.begin(ref, 0.0, NOON) for ref in ("one", "two", "three")] == ["", "", "call_paths"]
    usage.end("three", 1.0, NOON + 1)  # was never admitted
    assert usage.begin("three", 1.0, NOON + 1) == "call_paths"
    usage.end("one", 2.0, NOON + 2)
    usage.end("one", 2.0, NOON + 2)
    assert [usage.begin(ref, 2.0, NOON + 2) for ref in ("three", "four")] == ["", "call_paths"]
    assert usage.running == 2


def test_a_call_that_begins_twice_is_one_call():
    usage = Usage(Limits(call_paths=1, cps=1))
    assert [usage.begin("one", 0.0, NOON), usage.begin("one", 0.1, NOON)] == ["", ""]
    assert usage.running == 1


def test_a_call_that_another_limit_refuses_does_not_use_up_the_rate():
    usage = Usage(Limits(call_paths=1, cps=2))
    assert usage.begin("one", 0.0, NOON) == ""
    assert usage.begin("two", 0.1, NOON) == "call_paths"
    usage.end("one", 0.2, NOON)
    assert usage.begin("two", 0.2, NOON) == ""
    usage.end("two", 0.3, NOON)
    assert usage.begin("three", 0.3, NOON) == "cps"


def test_minutes_of_ended_calls_count_until_the_day_is_over():
    usage = Usage(Limits(minutes_per_day=10))
    _call(usage, "one", 0.0, 300.0)
    assert usage.begin("two", 400.0, NOON + 400) == ""
    usage.answered("two", 400.0, NOON + 400)
    usage.end("two", 700.0, NOON + 700)
    assert usage.minutes(700.0, NOON + 700) == 10.0
    assert usage.begin("three", 800.0, NOON + 800) == "minutes_per_day"
    assert usage.begin("three", 43_199.0, MIDNIGHT - 1) == "minutes_per_day"
    assert usage.begin("three", 43_200.0, MIDNIGHT) == ""


def test_a_running_call_counts_with_its_time_so_far():
    usage = Usage(Limits(minutes_per_day=10))
    _call(usage, "one", 0.0, None)
    assert usage.begin("two", 599.0, NOON + 599) == ""
    assert usage.begin("three", 600.0, NOON + 600) == "minutes_per_day"


def test_ringing_costs_no_minutes():
    usage = Usage(Limits(minutes_per_day=1))
    assert usage.begin("one", 0.0, NOON) == ""
    assert usage.minutes(500.0, NOON + 500) == 0.0
    usage.end("one", 500.0, NOON + 500)
    assert usage.minutes(500.0, NOON + 500) == 0.0


def test_a_call_over_midnight_counts_in_each_day_with_its_part():
    usage = Usage(Limits(minutes_per_day=20))
    start = 43_200.0 - 600.0
    _call(usage, "one", start, None)
    assert usage.minutes(43_199.0, MIDNIGHT - 1) == pytest.approx(599 / 60)
    assert usage.minutes(43_200.0 + 300, MIDNIGHT + 300) == 5.0
    usage.end("one", 43_200.0 + 360, MIDNIGHT + 360)
    assert usage.minutes(43_200.0 + 400, MIDNIGHT + 400) == 6.0


def test_a_call_of_several_days_counts_from_the_last_midnight():
    usage = Usage(Limits(minutes_per_day=2_000))
    _call(usage, "one", 0.0, None)
    assert usage.minutes(43_200.0 + 2 * 86_400 + 60, MIDNIGHT + 2 * 86_400 + 60) == 1.0


def test_a_wall_clock_that_is_set_back_gives_no_minutes_back():
    usage = Usage(Limits(minutes_per_day=10))
    _call(usage, "one", 0.0, 600.0)
    assert usage.begin("two", 700.0, NOON + 700 - 86_400) == "minutes_per_day"
    assert usage.begin("two", 800.0, NOON + 86_400) == ""


def test_a_call_that_is_answered_twice_or_not_admitted_spends_nothing_more():
    usage = Usage(Limits(minutes_per_day=10))
    usage.answered("stranger", 0.0, NOON)
    _call(usage, "one", 0.0, None)
    usage.answered("one", 30.0, NOON + 30)
    assert usage.minutes(60.0, NOON + 60) == 1.0


def test_a_reload_keeps_running_calls_and_spent_minutes():
    usage = Usage(Limits(call_paths=5, minutes_per_day=100))
    _call(usage, "one", 0.0, None)
    usage.limits = Limits(call_paths=1)
    assert usage.begin("two", 60.0, NOON + 60) == "call_paths"
    usage.limits = Limits(minutes_per_day=1)
    assert usage.begin("two", 60.0, NOON + 60) == "minutes_per_day"
    usage.limits = Limits(cps=1)
    assert [usage.begin(ref, 61.0, NOON + 61) for ref in ("two", "three")] == ["", "cps"]
    usage.limits = Limits(cps=2)
    assert [usage.begin(ref, 61.0, NOON + 61) for ref in ("three", "four")] == ["", "cps"]


@given(
    calls=st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 100_000)), max_size=12),
    look=st.integers(0, 400_000),
)
def test_minutes_are_the_overlap_of_every_answered_call_with_the_day(calls, look):
    usage = Usage(Limits(minutes_per_day=1))
    usage.limits = Limits()
    events = [(start, 0, n) for n, (start, _) in enumerate(calls)]
    events += [(start + length, 1, n) for n, (start, length) in enumerate(calls)]
    for at, kind, n in sorted(events):
        if at > look:
            break
        if kind == 0:
            usage.begin(f"call-{n}", at, NOON + at)
            usage.answered(f"call-{n}", at, NOON + at)
        else:
            usage.end(f"call-{n}", at, NOON + at)
    midnight = look - (NOON + look) % 86_400
    spent = sum(max(0.0, min(start + length, look) - max(start, midnight)) for start, length in calls if start <= look)
    assert usage.minutes(look, NOON + look) == pytest.approx(spent / 60)


def _call(usage, ref, answered_at, ended_at):
    assert usage.begin(ref, answered_at, NOON + answered_at) == ""
    usage.answered(ref, answered_at, NOON + answered_at)
    if ended_at is not None:
        usage.end(ref, ended_at, NOON + ended_at)
