"""A stop waits for calls, their records and last words, no longer than it may; for emergencies as long as they last."""

import pytest
import trio

from sbc.b2bua.snapshot import LoadView
from sbc.runtime.stopping import Stopping

PATIENCE = 30.0


class Node:
    """Calls, transactions and unwritten records until when; `orders`: the drains, as (deadline, is_final)."""

    def __init__(self, calls=0.0, transactions=0.0, records=0.0, emergencies=0.0):
        self.until = {"calls": calls, "transactions": transactions, "records": records, "emergencies": emergencies}
        self.orders = []
        self.stop_now = trio.Event()

    def _left(self, what):
        return int(trio.current_time() < self._begun + self.until[what])

    @property
    def has_emergencies(self):
        return bool(self._left("emergencies"))

    def load(self):
        return LoadView(calls=self._left("calls") or self._left("emergencies"), transactions=self._left("transactions"))

    def obey(self, order):
        self.orders.append((order.deadline - self._begun, order.is_final))
        if order.is_final:
            self.until = dict.fromkeys(self.until, 0.0)

    async def stops(self):
        """Seconds that it takes."""
        self._begun = trio.current_time()
        stopping = Stopping(self, self.obey, lambda: self._left("records"), now=trio.current_time)
        await stopping.run(PATIENCE, self.stop_now)
        return trio.current_time() - self._begun


async def test_with_nothing_to_wait_for_it_is_over_at_once(autojump_clock):
    node = Node(transactions=9.0)

    assert await node.stops() == pytest.approx(0.0)
    assert node.orders == [(PATIENCE, False)]


async def test_after_the_last_call_its_last_transactions_have_two_seconds(autojump_clock):
    assert await Node(calls=4.0, transactions=5.0).stops() == pytest.approx(5.0, abs=0.1)
    assert await Node(calls=4.0, transactions=60.0).stops() == pytest.approx(6.0, abs=0.1)


async def test_a_record_that_is_not_written_is_waited_for_like_its_call(autojump_clock):
    assert await Node(calls=1.0, records=7.0).stops() == pytest.approx(7.0, abs=0.1)


async def test_a_call_that_does_not_end_keeps_nothing_up_for_longer_than_it_may(autojump_clock):
    assert await Node(calls=900.0).stops() == pytest.approx(PATIENCE + 5.0, abs=0.1)


async def test_an_emergency_is_waited_for_as_long_as_it_lasts(autojump_clock):
    assert await Node(emergencies=900.0).stops() == pytest.approx(900.0, abs=0.1)


async def test_a_second_signal_ends_emergencies_too(autojump_clock, nursery):
    node = Node(emergencies=900.0, transactions=900.0)

    @nursery.start_soon
    async def _signal():
        await trio.sleep(100.0)
        node.stop_now.set()

    assert await node.stops() == pytest.approx(100.0, abs=0.1)
    assert node.orders == [(PATIENCE, False), (pytest.approx(100.0), True)]
