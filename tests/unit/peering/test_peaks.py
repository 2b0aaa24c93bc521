"""The day's most call paths, over a restart."""

import pytest

from sbc.peering.paths import PathLedger
from sbc.peering.peaks import KEY, DayPeaks
from sbc.policy.model import PathRules

DAY = 86_400.0
NOON = 1000 * DAY + DAY / 2


def ledger(now=100.0, wall=NOON - 100.0):
    made = PathLedger()
    made.set_rules({"a": PathRules(pool="acme"), "b": PathRules(total=9)}, {"acme": 9})
    made.today.set_wall(wall, now)
    return made


def stored(made, now):
    (command,) = made.today.tick(now)
    assert command.key == KEY
    return command.value


def test_a_peak_is_stored_once_some_seconds_after_it_has_risen():
    made = ledger()
    for n in range(3):
        assert made.take("a", f"call-{n}", 1, "outbound", 100.0 + n)
    assert made.today.tick(109.9) == []
    assert made.today.next_deadline() == 110.0
    assert stored(made, 110.0)
    assert made.today.next_deadline() is None


def test_nothing_is_stored_where_no_peak_has_risen():
    made = ledger()
    made.take("a", "one", 1, "outbound", 100.0)
    stored(made, 110.0)
    made.give_back_all("one")
    made.take("a", "two", 1, "outbound", 120.0)
    assert made.today.next_deadline() is None


def test_a_restart_on_the_same_day_knows_the_peaks():
    made = ledger()
    for n in range(3):
        made.take("a", f"call-{n}", 1, "outbound", 100.0)
    again = ledger(now=5.0, wall=NOON + 60.0)
    again.take("a", "one", 1, "inbound", 5.0)
    again.today.restore(stored(made, 110.0), 5.0)
    peaks = {view.trunk: view.peak_today for view in again.views(6.0)}
    assert peaks == {"a": 3, "b": 0, "acme": 3}


def test_a_restart_on_another_day_begins_anew():
    made = ledger()
    made.take("a", "one", 1, "outbound", 100.0)
    again = ledger(now=5.0, wall=NOON + DAY)
    again.today.restore(stored(made, 110.0), 5.0)
    assert again.peaks(6.0) == {}


@pytest.mark.parametrize(
    "saved", [b"", b"{}", b"[]", b'{"day": "x"}', b"\xff", b'{"day":1,"trunks":{"a":"9"},"pools":{}}']
)
def test_what_cannot_be_read_counts_as_nothing(saved):
    peaks = DayPeaks()
    peaks.restore(saved, 0.0)
    assert not peaks.trunks


def test_a_leg_that_moves_into_another_call_raises_no_peak():
    made = ledger()
    made.take("a", "child", 1, "outbound", 100.0)
    made.move("child", 1, "call", 3)
    assert [view.peak_today for view in made.views(101.0)] == [1, 0, 1]
