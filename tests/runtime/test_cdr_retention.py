"""When records are removed, and when the clock is not believed."""

import pytest
import structlog

from sbc.cdr.store import StoreError
from sbc.policy.model import CdrRules, Postgres
from sbc.runtime.cdr_retention import CdrRetention

DAY = 86_400.0


class Clocks:
    def __init__(self):
        self.wall, self.now = 1_738_314_000.0, 500.0

    def pass_(self, seconds):
        self.wall += seconds
        self.now += seconds


class Store:
    def __init__(self):
        self.asked, self.old, self.error = [], 0, None

    def forget(self, before, destination, limit):
        self.asked.append((before, destination))
        if self.error:
            raise self.error
        gone = min(limit, self.old)
        self.old -= gone
        return gone


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def retention(store, clocks):
    return CdrRetention(store, CdrRules(keep=30 * DAY), wall=lambda: clocks.wall, now=lambda: clocks.now)


def hours_pass(retention, clocks, hours):
    for _ in range(int(hours * 60)):
        clocks.pass_(60)
        retention.step()


def test_nothing_is_removed_in_the_first_hour_and_then_what_is_too_old(retention, store, clocks):
    hours_pass(retention, clocks, 0.98)
    assert store.asked == []

    hours_pass(retention, clocks, 0.1)
    assert store.asked[-1] == (clocks.wall - 30 * DAY, None)


def test_a_clock_that_was_set_is_not_believed_for_an_hour(retention, store, clocks):
    hours_pass(retention, clocks, 2)
    store.asked.clear()
    clocks.wall += 365 * DAY
    hours_pass(retention, clocks, 0.98)
    assert store.asked == []

    hours_pass(retention, clocks, 0.1)
    assert store.asked


def test_a_clock_that_is_drawn_slowly_is_believed(retention, store, clocks):
    for _ in range(200):
        clocks.pass_(60)
        clocks.wall += 0.03
        retention.step()
    assert store.asked


def test_forever_removes_nothing(store, clocks):
    retention = CdrRetention(store, CdrRules(), wall=lambda: clocks.wall, now=lambda: clocks.now)
    hours_pass(retention, clocks, 2)
    assert store.asked == []


def test_a_reload_counts_and_names_who_must_have_them(retention, store, clocks):
    hours_pass(retention, clocks, 2)
    retention.change(CdrRules(keep=DAY, postgres=Postgres("postgresql://x@y/z")))
    retention.step()

    assert store.asked[-1] == (clocks.wall - DAY, "postgresql://x@y/z")


def test_many_are_removed_in_small_steps_close_together_and_said_once(retention, store, clocks):
    hours_pass(retention, clocks, 2)
    store.old = 120
    with structlog.testing.capture_logs() as logs:
        assert [retention.step() for _ in range(5)] == [0.1, 0.1, 0.1, 0.1, 60.0]
    assert [(line["event"], line["records"]) for line in logs] == [("cdr.removed", 120)]


def test_what_is_in_the_way_is_said_once(retention, store, clocks):
    store.error = StoreError("the disk is full")
    with structlog.testing.capture_logs() as logs:
        hours_pass(retention, clocks, 2)
    assert [line["event"] for line in logs] == ["cdr.not_removed"]
