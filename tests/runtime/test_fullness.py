"""Which tables are an alarm, once, and when that is over."""

import pytest
import trio
from structlog.testing import capture_logs

from sbc.core.tables import Table
from sbc.runtime.fullness import Fullness


@pytest.fixture
def log_lines():
    with capture_logs() as lines:
        yield lines


@pytest.mark.parametrize("used", [80, 100, 1_000])
def test_a_table_that_is_four_fifths_full_is_an_alarm_once(log_lines, used):
    fullness = Fullness()
    for _ in range(3):
        fullness.look([Table("calls", used, 100), Table("names", 10, 100)])
    [line] = log_lines
    assert (line["event"], line["alarm"], line["table"], line["used"], line["most"]) == (
        "table.filling", True, "calls", used, 100,
    )  # fmt: skip


def test_it_is_over_when_there_is_room_for_long(log_lines):
    fullness = Fullness()
    for used in (79, 80, 61, 80, 60, 59, 59, 85):
        fullness.look([Table("calls", used, 100)])
    assert [(line["event"], line["used"]) for line in log_lines] == [
        ("table.filling", 80), ("table.room_again", 59), ("table.filling", 85),
    ]  # fmt: skip


def test_a_ring_is_full_as_it_should_be_and_no_table_divides_by_nothing(log_lines):
    Fullness().look([Table("trace_calls", 100, 100, is_ring=True), Table("media_ports", 0, 0)])
    assert log_lines == []


async def test_a_bug_in_counting_is_said_and_it_is_looked_again(log_lines, autojump_clock, nursery):
    said = []
    found = iter([ZeroDivisionError("a bug"), [Table("calls", 90, 100)]])

    def tables():
        one = next(found, [])
        if isinstance(one, Exception):
            raise one
        return one

    nursery.start_soon(Fullness().run, tables, lambda error, where: said.append((type(error), where)))
    await trio.sleep(12.0)
    assert said == [(ZeroDivisionError, "tables")]
    assert [line["table"] for line in log_lines] == ["calls"]
