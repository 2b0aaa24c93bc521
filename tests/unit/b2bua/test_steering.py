"""The rate at which a queue stays short: found from its age, given up when nothing asks for more."""

import pytest

from sbc.b2bua.steering import CALM_SECONDS, INTERVAL, TARGET, Steering


def steered(ages, *, served=500.0, is_limit=True):
    """One whose queue had these ages, one in each interval, while so much was served; and its rates since then."""
    steering, now, rates = Steering(0.0), 0.0, []
    steering.queued(2 * TARGET, "udp", now)
    for age in ages:
        steering.queued(age, "udp", now + INTERVAL / 2)
        now += INTERVAL
        steering.steer(served, now)
        steering.is_limit = is_limit and steering.rate is not None
        rates.append(steering.rate)
    return steering, now, rates


def test_it_begins_at_what_was_served_and_goes_down_while_the_queue_grows():
    _, _, rates = steered([2 * TARGET, 3 * TARGET, 4 * TARGET])
    assert 500.0 > rates[0] > rates[1] > rates[2] > 0.0


def test_it_goes_up_while_the_queue_is_shorter_than_is_aimed_at():
    _, _, rates = steered([2 * TARGET, TARGET / 2, TARGET / 2, TARGET / 2])
    assert rates[1] < rates[2] < rates[3]


def test_a_limit_that_nobody_reaches_is_left_where_it_is():
    _, _, rates = steered([2 * TARGET, 0.0, 0.0, 0.0], is_limit=False)
    assert len(set(rates)) == 1


def test_a_queue_whose_age_never_falls_has_the_least_rate_and_no_less():
    _, _, rates = steered([n * INTERVAL for n in range(2, 100)])
    assert rates[-1] == rates[-2] == 40.0


def test_what_was_too_long_for_less_than_an_interval_was_a_burst():
    steering = Steering(0.0)
    steering.queued(2 * TARGET, "tcp:a", 0.95 * INTERVAL)
    steering.steer(500.0, INTERVAL)  # somebody else's interval is over
    steering.queued(0.0, "tcp:a", 1.1 * INTERVAL)
    steering.steer(500.0, 2 * INTERVAL)
    assert steering.rate is None


def test_it_is_over_some_time_after_it_was_a_limit_or_its_queue_long():
    steering, now, _ = steered([2 * TARGET, 0.0])
    assert not steering.is_over(now + CALM_SECONDS / 2)
    assert steering.is_over(now + CALM_SECONDS)
    steering.steer(500.0, now + INTERVAL)  # it is a limit still
    assert not steering.is_over(now + CALM_SECONDS)


def test_of_several_queues_the_longest_counts_and_of_each_the_least_that_was_said():
    steering = Steering(0.0)
    for age, queue in ((0.3, "a"), (0.25, "a"), (0.4, "b"), (0.0, "b")):
        steering.queued(age, queue, 0.0)
    steering.steer(500.0, INTERVAL)
    assert steering.age == pytest.approx(0.25)
    assert steering.last_age == 0.0
