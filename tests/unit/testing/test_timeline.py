import pytest

from sbc.testing.timeline import Timeline, run_until


class Doubling:
    """Beats at 1, 3, 7, 15 …"""

    def __init__(self):
        self.at, self.step = 1.0, 2.0

    def next_deadline(self):
        return self.at

    def tick(self, now):
        if now < self.at:
            return []
        self.at, self.step = self.at + self.step, self.step * 2
        return ["beat"]


class Stuck(Doubling):
    def tick(self, now):
        return []


def test_only_time_passes_from_deadline_to_deadline():
    assert run_until(Doubling(), 0.0, 15.0) == [(1.0, "beat"), (3.0, "beat"), (7.0, "beat"), (15.0, "beat")]


def test_a_machine_that_never_moves_its_deadline_is_an_error():
    with pytest.raises(AssertionError, match="ticks before"):
        run_until(Stuck(), 0.0, 15.0)


def test_time_goes_forward_only():
    clock = Timeline(5.0)
    assert clock.advance(1.5) == 6.5
    assert clock.reach(6.0) == 6.5
    assert clock.reach(8.0) == 8.0
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1.0)
