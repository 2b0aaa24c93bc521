"""The engine's clock over reboots: it goes on, never back, and not by more than anything that is kept can last."""

import pytest

from sbc.core import limits
from sbc.runtime import clock
from sbc.runtime.clock import ClockMark, believed_wall, offset_after, read_mark, write_mark

LAST = ClockMark("boot", 5_000.0, 1_800_000_000.0, 100.0)


@pytest.fixture(autouse=True)
def origin(monkeypatch):
    monkeypatch.setattr(clock, "_origin", clock._Origin())


@pytest.mark.parametrize(
    ("boot", "up", "wall", "engine"),
    [
        ("boot", 4_950.0, 1_800_000_050.0, 5_050.0),  # the same boot, whatever the wall says
        ("boot", 4_950.0, 0.0, 5_050.0),
        ("boot", 10.0, 1_800_000_100.0, 5_100.0),  # a boot id that was copied: its clock is behind ours
        ("next", 10.0, 1_800_000_100.0, 5_100.0),
        ("next", 9_000.0, 1_800_010_000.0, 15_000.0),
        ("next", 10.0, 1_799_999_000.0, 5_010.0),  # a wall that went back: as long as the machine is up
        ("next", 10.0, 0.0, 5_010.0),
        ("next", 10.0, 1_800_000_003.0, 5_010.0),
        ("next", 10.0, 4_000_000_000.0, 5_000.0 + limits.CLOCK_GAP_SECONDS),
        ("next", limits.CLOCK_GAP_SECONDS + 7, 0.0, 5_007.0 + limits.CLOCK_GAP_SECONDS),
        ("", 10.0, 1_800_000_100.0, 5_100.0),  # a machine that does not name its boots
    ],
)
def test_it_goes_on_from_the_last_mark(boot, up, wall, engine):
    assert up + offset_after(LAST, boot, up, wall) == pytest.approx(engine)


# BOUND: CLOCK_GAP_SECONDS
def test_a_wall_from_the_far_future_sets_it_ahead_by_a_month():
    assert 10.0 + offset_after(LAST, "next", 10.0, 9e9) == LAST.engine + limits.CLOCK_GAP_SECONDS


def test_without_a_mark_it_is_the_machines():
    assert offset_after(None, "boot", 7.0, 1.0) == 0.0


@pytest.mark.parametrize("data", [None, b"", b"\xc1", b"\x81\xa4boot\xa1\xff", b"\x80"])
def test_a_mark_that_cannot_be_read_is_none(data):
    assert read_mark(data) is None


def test_a_mark_is_read_as_it_was_written():
    assert read_mark(write_mark(LAST)) == LAST


def test_a_wall_clock_from_before_the_last_mark_is_not_written_down_before_ntp_has_had_time():
    clock.go_on(100.0, LAST)
    assert believed_wall(5_060.0, 0.0, up_seconds=60.0) == LAST.wall + 60.0
    assert believed_wall(5_060.0, LAST.wall + 900.0, up_seconds=60.0) == LAST.wall + 900.0
    assert believed_wall(9_000.0, 3.0, up_seconds=4_000.0) == 3.0


def test_the_clocks_agree():
    clock.go_on(1_000.0)
    mark = clock.mark()
    assert mark.offset == clock.offset() == 1_000.0
    assert mark.engine + clock.wall_at_zero() == pytest.approx(mark.wall, abs=0.5)
