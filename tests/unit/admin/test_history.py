"""What the page shows of the last day."""

from sbc.admin.history import KEPT_MINUTES, History, history_object
from sbc.b2bua.snapshot import LoadView

AT = 1_738_310_400.0  # 2025-01-31T08:00:00Z


def fed(*loads, every=10.0):
    history = History()
    for n, load in enumerate(loads):
        history.take(load, AT + n * every)
    return history


def test_a_minute_has_the_most_calls_and_paths_of_it_and_what_was_counted_in_it():
    loads = [
        LoadView(begun=5, answered=4, calls=1, packets=1000, lost=7, mos=(4.0, 1), paths=(("a", 1),)),
        LoadView(begun=7, answered=4, calls=3, packets=1900, lost=107, mos=(8.0, 2), paths=(("a", 3),)),
        LoadView(begun=9, answered=6, calls=2, packets=1900, lost=107, mos=(11.0, 3), paths=(("a", 2),)),
    ]
    history = fed(*loads, every=20.0)
    history.take(loads[-1], AT + 60.0)
    minute = history.samples(2)[0]
    assert (minute.at, minute.calls, minute.attempts, minute.answered) == (AT, 3, 4, 2)
    assert (minute.mos, minute.lost_percent, minute.jitter_ms, minute.paths) == (3.5, 10.0, None, (("a", 3),))


def test_what_was_counted_before_the_first_look_is_in_no_minute():
    assert fed(LoadView(begun=1_000, answered=900)).samples(1)[0].attempts == 0


def test_minutes_neither_overlap_nor_leave_anything_out():
    history = fed(*(LoadView(begun=n) for n in range(31)))
    assert sum(sample.attempts for sample in history.samples(60)) == 30


def test_the_last_minutes_the_running_one_at_the_end():
    history = fed(*(LoadView(calls=n) for n in range(5)), every=60.0)
    assert [sample.calls for sample in history.samples(2)] == [3, 4]
    assert [sample.calls for sample in history.samples(60)] == [0, 1, 2, 3, 4]
    assert [sample.calls for sample in history.samples(1)] == [4]


def test_a_day_is_kept_and_no_more():
    history = fed(*(LoadView(calls=1) for _ in range(KEPT_MINUTES + 50)), every=60.0)
    assert len(history.samples(10_000)) == KEPT_MINUTES + 1


def test_rates_are_of_the_last_ten_seconds():
    history = fed(*(LoadView(begun=100 * n, answered=n) for n in range(4)), every=5.0)
    assert history.rates == (20.0, 0.2)
    assert History().rates == (0.0, 0.0)


def test_a_clock_that_is_set_back_gives_no_minute_twice_and_none_that_has_not_come():
    history = fed(*(LoadView(begun=n) for n in range(20)), every=60.0)
    history.take(LoadView(begun=30), AT + 600.0)
    history.take(LoadView(begun=31), AT + 660.0)
    times = [sample.at for sample in history.samples(60)]
    assert times == [AT + 60.0 * n for n in range(12)]
    assert history.rates == (0.0, 0.0)


def test_a_clock_that_is_set_back_by_a_second_loses_nothing():
    history = fed(LoadView(begun=1), LoadView(begun=3), every=60.0)
    for begun, at in ((4, 59.5), (6, 61.0), (7, 121.0)):
        history.take(LoadView(begun=begun), AT + at)
    assert [(sample.at - AT, sample.attempts) for sample in history.samples(60)] == [(0.0, 2), (60.0, 4), (120.0, 0)]


def test_a_clock_that_is_set_forward_hides_no_rate_for_long():
    history = fed(LoadView(), LoadView(begun=10), every=5.0)
    history.take(LoadView(begun=20), AT + 3_600.0)
    history.take(LoadView(begun=30), AT + 3_605.0)
    assert history.rates == (2.0, 0.0)


def test_what_the_api_shows():
    shown = history_object(fed(LoadView(calls=2, paths=(("a", 2),))).samples(1))
    assert shown == {
        "step_seconds": 60,
        "samples": [
            {
                "at": "2025-01-31T08:00:00.000Z",
                "calls": 2,
                "attempts": 0,
                "answered": 0,
                "mos": None,
                "lost_percent": None,
                "jitter_ms": None,
                "paths": {"a": 2},
            }
        ],
    }
