"""The port pool: open before use, rest after use, nothing twice."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.commands import ClosePorts, HoldPorts, OpenPorts
from sbc.b2bua.ports import PortPool
from sbc.core.ids import IdSource
from sbc.core.limits import (
    PORT_QUARANTINE_MAXIMUM_SECONDS,
    PORT_QUARANTINE_MINIMUM_SECONDS,
    PORT_QUARANTINE_SECONDS,
)

LOCAL = "127.0.0.10"


def _pool(first=20000, last=20007):
    return PortPool((LOCAL,), first, last, IdSource(random.Random(1).randbytes))


def test_asks_for_as_many_pairs_as_the_range_holds_and_no_more():
    assert _pool(20000, 20007).start() == [OpenPorts(LOCAL, 4)]
    assert _pool(20001, 20007).start() == [OpenPorts(LOCAL, 3)]  # an odd first port is nobody's RTP port


def test_hands_out_nothing_that_is_not_open():
    pool = _pool()
    assert pool.take(LOCAL, 1, 0.0) is None
    pool.opened(LOCAL, (20000, 20002), 0.0)
    assert sorted(pool.take(LOCAL, 2, 0.0)) == [20000, 20002]
    assert pool.take(LOCAL, 1, 0.0) is None
    assert pool.in_use == 2


def test_taking_more_than_there_is_takes_nothing():
    pool = _pool()
    pool.opened(LOCAL, (20000,), 0.0)
    assert pool.take(LOCAL, 2, 0.0) is None
    assert pool.take(LOCAL, 1, 0.0) == [20000]


# BOUND: PORT_QUARANTINE_SECONDS
def test_a_pair_rests_before_it_is_used_again():
    pool = _pool()
    pool.opened(LOCAL, (20000, 20002), 0.0)
    [port] = pool.take(LOCAL, 1, 0.0)
    pool.give_back(LOCAL, [port], 10.0)
    assert pool.take(LOCAL, 1, 10.0 + PORT_QUARANTINE_SECONDS / 2) == [20002 if port == 20000 else 20000]


# BOUND: PORT_QUARANTINE_MINIMUM_SECONDS
def test_when_nothing_else_is_left_the_pair_that_rested_longest_is_taken():
    pool = _pool()
    pool.opened(LOCAL, (20000, 20002), 0.0)
    first, second = pool.take(LOCAL, 2, 0.0)
    pool.give_back(LOCAL, [second], 5.0)
    pool.give_back(LOCAL, [first], 6.0)
    assert pool.take(LOCAL, 1, 5.0 + PORT_QUARANTINE_MINIMUM_SECONDS - 0.1) is None
    assert pool.take(LOCAL, 1, 6.0 + PORT_QUARANTINE_MINIMUM_SECONDS) == [second]


def test_giving_back_twice_changes_nothing():
    pool = _pool()
    pool.opened(LOCAL, (20000,), 0.0)
    [port] = pool.take(LOCAL, 1, 0.0)
    pool.give_back(LOCAL, [port], 1.0)
    pool.give_back(LOCAL, [port], 1.0)
    assert pool.in_use == 0
    assert pool.take(LOCAL, 1, 100.0) == [port]
    assert pool.take(LOCAL, 1, 100.0) is None


def test_an_unknown_address_has_no_ports():
    pool = _pool()
    pool.opened("192.0.2.1", (20000,), 0.0)
    assert pool.take("192.0.2.1", 1, 0.0) is None


def test_asks_for_more_when_few_are_ready_and_not_twice_at_once():
    pool = _pool(20000, 20999)
    [order] = pool.start()
    assert pool.replenish(0.0) == []  # the first order is still on its way
    pool.opened(LOCAL, tuple(range(20000, 20000 + 2 * order.pairs, 2)), 0.0)
    assert pool.replenish(0.0) == []
    pool.take(LOCAL, order.pairs - 10, 0.0)
    assert pool.replenish(0.0) == [OpenPorts(LOCAL, order.pairs)]


# BOUND: PORT_QUARANTINE_SECONDS, PORT_QUARANTINE_MINIMUM_SECONDS
def test_a_former_peer_that_goes_on_sending_prolongs_the_rest():
    pool = _pool(20000, 20003)
    pool.opened(LOCAL, (20000, 20002), 0.0)
    one, other = pool.take(LOCAL, 2, 0.0)
    pool.give_back(LOCAL, [one, other], 10.0)
    pool.heard(LOCAL, one, 35.0)
    assert pool.resting == 2
    assert pool.take(LOCAL, 1, 10.0 + PORT_QUARANTINE_SECONDS) == [other]
    assert pool.resting == 1
    assert pool.take(LOCAL, 1, 35.0 + PORT_QUARANTINE_MINIMUM_SECONDS - 0.1) is None
    assert pool.take(LOCAL, 1, 35.0 + PORT_QUARANTINE_MINIMUM_SECONDS) == [one]  # short of ports


def test_the_pair_that_has_been_silent_longest_goes_first():
    pool = _pool(20000, 20003)
    pool.opened(LOCAL, (20000, 20002), 0.0)
    one, other = pool.take(LOCAL, 2, 0.0)
    pool.give_back(LOCAL, [one], 0.0)
    pool.give_back(LOCAL, [other], 1.0)
    pool.heard(LOCAL, one, 2.0)
    assert pool.take(LOCAL, 1, 5.0) == [other]


# BOUND: PORT_QUARANTINE_MAXIMUM_SECONDS
def test_former_peers_that_never_fall_silent_do_not_take_all_ports_away():
    pool = _pool(20000, 20003)
    pool.opened(LOCAL, (20000, 20002), 0.0)
    one, other = pool.take(LOCAL, 2, 0.0)
    pool.give_back(LOCAL, [one], 10.0)
    pool.give_back(LOCAL, [other], 11.0)
    for second in range(11, 10 + int(PORT_QUARANTINE_MAXIMUM_SECONDS)):
        pool.heard(LOCAL, one, second)
        pool.heard(LOCAL, other, second)
        assert pool.take(LOCAL, 1, second + 0.5) is None
    now = 10 + PORT_QUARANTINE_MAXIMUM_SECONDS
    assert pool.take(LOCAL, 2, now) is None, "both or none"
    assert pool.take(LOCAL, 1, now) == [one]
    pool.heard(LOCAL, other, now + 1)
    assert pool.take(LOCAL, 1, now + 1) == [other]


@pytest.mark.parametrize("port", [20000, 20002, 40000])
def test_what_is_heard_of_a_pair_that_does_not_rest_changes_nothing(port):
    pool = _pool(20000, 20003)
    pool.opened(LOCAL, (20000, 20002), 0.0)
    lent = pool.take(LOCAL, 1, 0.0)
    pool.heard(LOCAL, port, 1.0)
    pool.heard("192.0.2.77", port, 1.0)
    assert (pool.in_use, pool.resting) == (1, 0)
    pool.give_back(LOCAL, lent, 2.0)


def test_a_system_that_had_fewer_is_left_alone_for_a_while():
    pool = _pool(20000, 20999)
    pool.start()
    pool.opened(LOCAL, (20000,), 0.0)
    assert pool.replenish(1.0) == []
    assert pool.replenish(6.0) != []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.floats(0, 5)), max_size=60))
def test_no_port_is_ever_lent_twice_and_none_is_lost(steps):
    pool = _pool(20000, 20039)
    pool.opened(LOCAL, tuple(range(20000, 20040, 2)), 0.0)
    held, now = [], 0.0
    for takes, count, passes in steps:
        now += passes
        if takes:
            taken = pool.take(LOCAL, count, now)
            if taken is not None:
                assert not set(taken) & {port for ports in held for port in ports}
                held.append(taken)
        elif held:
            pool.give_back(LOCAL, held.pop(), now)
        assert pool.in_use == sum(map(len, held))
    for ports in held:
        pool.give_back(LOCAL, ports, now)
    assert len(pool.take(LOCAL, 20, now + PORT_QUARANTINE_SECONDS + 1)) == 20


@pytest.mark.parametrize("pairs", [1, 8])
def test_which_port_comes_next_cannot_be_told(pairs):
    seen = set()
    for seed in range(40):
        pool = PortPool((LOCAL,), 20000, 20999, IdSource(random.Random(seed).randbytes))
        pool.opened(LOCAL, tuple(range(20000, 20000 + 2 * pairs, 2)), 0.0)
        seen.add(pool.take(LOCAL, 1, 0.0)[0])
    assert len(seen) == pairs


def test_what_calls_of_an_earlier_life_hold_nobody_else_is_given():
    pool = _pool()
    pool.hold(LOCAL, (20002, 20004))
    assert pool.in_use == 2
    pool.opened(LOCAL, (20000, 20002, 20004, 20006), 0.0)
    assert sorted(pool.take(LOCAL, 2, 0.0)) == [20000, 20006]
    assert pool.take(LOCAL, 1, 0.0) is None


def test_what_was_held_rests_at_the_end_of_its_call_like_any_other():
    pool = _pool(20000, 20003)
    pool.hold(LOCAL, (20000,))
    pool.opened(LOCAL, (20000, 20002), 0.0)
    assert pool.take(LOCAL, 1, 0.0) == [20002]
    pool.give_back(LOCAL, [20000], 10.0)
    assert pool.take(LOCAL, 1, 10.0) is None
    assert pool.take(LOCAL, 1, 10.0 + PORT_QUARANTINE_SECONDS) == [20000]


def test_what_is_open_already_can_be_held():
    pool = _pool()
    pool.opened(LOCAL, (20000, 20002), 0.0)
    pool.hold(LOCAL, (20000,))
    assert pool.take(LOCAL, 2, 0.0) is None
    assert pool.take(LOCAL, 1, 0.0) == [20002]


def test_calls_keep_their_ports_on_an_address_that_the_policy_has_no_more():
    pool = _pool()
    pool.hold("127.0.0.99", (20000,))
    assert pool.take("127.0.0.99", 1, 0.0) is None
    assert pool.in_all == 4
    pool.opened("127.0.0.99", (20000,), 0.0)
    pool.give_back("127.0.0.99", [20000], 10.0)
    assert pool.close_rested(10.0) == []
    assert pool.close_rested(10.0 + PORT_QUARANTINE_SECONDS) == [ClosePorts("127.0.0.99", (20000,))]


def test_what_is_held_is_opened_before_anything_else_and_so_is_what_rests_of_it():
    pool = _pool()
    pool.hold(LOCAL, (20002, 20004))
    pool.give_back(LOCAL, [20004], 0.0)
    assert pool.start() == [HoldPorts(LOCAL, (20002, 20004)), OpenPorts(LOCAL, 2)]


def test_held_pairs_that_cannot_be_opened_are_nobodys():
    pool = _pool(20000, 20003)
    pool.hold(LOCAL, (20000, 20002))
    pool.give_back(LOCAL, [20002], 0.0)
    pool.lost(LOCAL, (20000, 20002))
    assert (pool.in_use, pool.resting) == (0, 0)
    pool.give_back(LOCAL, [20000], 1.0)
    assert pool.take(LOCAL, 1, 1000.0) is None


def test_a_pair_outside_of_the_range_of_this_life_serves_its_call_and_nobody_elses():
    pool = _pool(20000, 20003)
    pool.hold(LOCAL, (30000,))
    pool.opened(LOCAL, (20000, 20002), 0.0)
    pool.give_back(LOCAL, [30000], 0.0)
    assert sorted(pool.take(LOCAL, 2, 100.0)) == [20000, 20002]
    assert pool.take(LOCAL, 1, 100.0) is None
    assert pool.close_rested(100.0) == [ClosePorts(LOCAL, (30000,))]
    assert pool.close_rested(100.0) == []
