"""What one peer may have of a table that all fill."""

from hypothesis import given
from hypothesis import strategies as st

from sbc.core import limits
from sbc.core.shares import Shares


# BOUND: PEER_SHARE
def test_one_peer_may_have_half_and_two_may_fill_it():
    shares = Shares()
    for _ in range(5):
        assert not shares.is_full("a", 10)
        shares.take("a")
    assert shares.is_full("a", 10)
    assert not shares.is_full("b", 10)
    shares.take("b", 5)
    assert shares.is_full("b", 10)
    assert shares.is_full("c", 10), "the table is full"
    shares.give_back("a")
    assert not shares.is_full("a", 10)


def test_a_table_of_one_has_room_for_one():
    shares = Shares()
    assert not shares.is_full("a", 1)
    shares.take("a")
    assert shares.is_full("a", 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=30))
def test_the_sum_is_that_of_its_parts_and_nothing_is_left_of_who_has_nothing(taken):
    shares = Shares()
    for peer, amount in taken:
        shares.take(peer, amount)
    assert shares.total == sum(shares.of(peer) for peer in "abc") == sum(amount for _, amount in taken)
    for peer, amount in taken:
        shares.give_back(peer, amount)
    assert shares.total == 0
    assert shares._of == {}
    assert 0 < limits.PEER_SHARE < 1
