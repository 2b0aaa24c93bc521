"""RFC 2782: priorities strictly, weights in proportion. RFC 6724: IPv6 before IPv4, mostly."""

from collections import Counter

import pytest

from sbc.sip.events import SrvRecord
from sbc.sip.locate.order import by_preference, by_priority, drawn
from sbc.testing.seeds import seeded_ids

PICKS = 1000


def chi_square(counts, expected):
    return sum((counts[place] - often) ** 2 / often for place, often in expected.items())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weights", [(10, 30, 60), (1, 1), (1, 2, 3, 4), (0, 0, 0), (70, 0, 30), (5, 5, 5, 5, 5, 5)])
def test_a_thousand_first_picks_are_in_proportion_to_the_weights(weights, seed):
    ids = seeded_ids(seed)
    counts = Counter(drawn(weights, ids)[0] for _ in range(PICKS))
    total = sum(weights)
    zeros = weights.count(0)
    # With a weight of 0 among others, RFC 2782 gives it one chance in the sum plus one.
    share = {place: w / (total + bool(zeros)) if w else 1 / (total + 1) / zeros for place, w in enumerate(weights)}
    expected = {place: PICKS * part for place, part in share.items()}
    # The 99.99 % bounds of chi-square with 1 to 5 degrees of freedom are 15.1 to 25.7.
    assert chi_square(counts, expected) < 26, counts


def test_the_second_pick_is_drawn_by_the_weights_that_are_left():
    ids = seeded_ids(7)
    orders = [tuple(drawn((50, 40, 10), ids)) for _ in range(4000)]
    after_first = Counter(order[1] for order in orders if order[0] == 0)
    asked = sum(after_first.values())
    assert chi_square(after_first, {1: asked * 0.8, 2: asked * 0.2}) < 15.2, after_first


@pytest.mark.parametrize("weights", [(), (0,), (5,), (0, 0), (65535,) * 16, (0, 65535, 1)])
def test_every_place_comes_exactly_once(weights, ids):
    for _ in range(50):
        assert sorted(drawn(weights, ids)) == list(range(len(weights)))


def test_a_single_place_costs_no_chance():
    assert drawn((3,), None) == [0]


def test_priorities_are_groups_in_order_of_their_numbers():
    records = [SrvRecord(priority, 1, 5060, f"{n}.example") for n, priority in enumerate((20, 10, 20, 0))]
    assert [[record.target for record in group] for group in by_priority(records)] == [
        ["3.example"], ["1.example"], ["0.example", "2.example"],
    ]  # fmt: skip
    assert by_priority([]) == ()


@pytest.mark.parametrize(
    ("addresses", "locals_", "ordered"),
    [
        (("192.0.2.1", "2001:db8::1"), ("192.0.2.9", "2001:db8::9"), ("2001:db8::1", "192.0.2.1")),
        (("192.0.2.1", "fd00::1"), ("192.0.2.9", "2001:db8::9"), ("192.0.2.1", "fd00::1")),
        (("192.0.2.1", "fd00::1"), ("192.0.2.9", "::"), ("192.0.2.1", "fd00::1")),
        (("192.0.2.1", "2002:c000:201::1"), ("192.0.2.9", "2001:db8::9"), ("192.0.2.1", "2002:c000:201::1")),
        (("2001:db8::1", "192.0.2.1"), ("192.0.2.9", "fd00::9"), ("192.0.2.1", "2001:db8::1")),
        (("192.0.2.2", "192.0.2.1"), ("192.0.2.9",), ("192.0.2.2", "192.0.2.1")),
        (("192.0.2.2", "::1", "192.0.2.1"), ("127.0.0.1", "::1"), ("::1", "192.0.2.2", "192.0.2.1")),
        ((), (), ()),
    ],
)
def test_addresses_of_both_families_are_sorted_as_rfc_6724_sorts_destinations(addresses, locals_, ordered):
    assert by_preference(addresses, locals_) == ordered
