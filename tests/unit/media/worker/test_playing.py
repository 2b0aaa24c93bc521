import pytest

from sbc.core.limits import DIGITS_WAITING
from sbc.media.worker.playing import Playing


def played(playing: Playing, *, late: float = 0.0) -> list[tuple[float, int, int, str]]:
    """(when, code, milliseconds, flags) of all that is due from now on, each asked for `late`."""
    steps = []
    while playing.due is not None:
        now = playing.due + late
        step = playing.step(now)
        flags = "M" * step.is_first + "E" * step.is_over
        steps.append((round(now, 3), step.code, step.milliseconds, flags))
    return steps


def test_a_digit_grows_every_twenty_milliseconds_and_ends_three_times() -> None:
    playing = Playing()
    assert playing.add(5, 90, 8000, 10.0)
    assert played(playing) == [
        (10.0, 5, 20, "M"),
        (10.02, 5, 40, ""),
        (10.04, 5, 60, ""),
        (10.06, 5, 80, ""),
        (10.08, 5, 90, "E"),
        (10.1, 5, 90, "E"),
        (10.12, 5, 90, "E"),
    ]


def test_digits_follow_one_another_with_a_pause_that_receivers_can_tell() -> None:
    playing = Playing()
    playing.add(1, 100, 8000, 10.0)
    playing.add(1, 100, 8000, 10.0)
    starts = [at for at, _, _, flags in played(playing) if "M" in flags]
    assert starts[1] - (starts[0] + 0.1) >= 0.05, "pauses >= 50 ms, RFC 4733 §3.1"


def test_a_digit_that_comes_just_after_another_waits_for_the_pause() -> None:
    playing = Playing()
    playing.add(1, 100, 8000, 10.0)
    ended = played(playing)[-1][0]
    playing.add(2, 100, 8000, ended)
    assert playing.due == pytest.approx(ended + 0.04)


# BOUND: DIGIT_MILLISECONDS
@pytest.mark.parametrize(
    ("asked", "rate", "lasts"), [(0, 8000, 70), (-5, 8000, 70), (10**9, 8000, 8000), (9999, 48_000, 1365)]
)
def test_the_length_is_cut_to_what_can_be_told(asked: int, rate: int, lasts: int) -> None:
    playing = Playing()
    playing.add(1, asked, rate, 10.0)
    assert played(playing)[-1][2] == lasts


def test_only_so_many_wait() -> None:
    playing = Playing()
    assert [playing.add(1, 100, 8000, 10.0) for _ in range(DIGITS_WAITING + 1)] == [True] * DIGITS_WAITING + [False]


def test_a_loop_that_was_held_up_does_not_send_all_at_once() -> None:
    playing = Playing()
    playing.add(1, 200, 8000, 10.0)
    playing.step(10.0)
    playing.step(10.5)
    assert playing.due == pytest.approx(10.52)


def test_a_loop_that_is_a_little_late_keeps_the_pace() -> None:
    playing = Playing()
    playing.add(1, 100, 8000, 10.0)
    assert [at for at, *_ in played(playing, late=0.004)][:3] == [10.004, 10.024, 10.044]


def test_what_is_stopped_is_over() -> None:
    playing = Playing()
    playing.add(1, 100, 8000, 10.0)
    playing.add(2, 100, 8000, 10.0)
    playing.step(10.0)
    playing.stop()
    assert playing.due is None
    playing.add(3, 100, 8000, 20.0)
    assert {code for _, code, _, _ in played(playing)} == {3}
