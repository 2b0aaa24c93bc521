"""What servers ask of us is done: as much as they ask, as long as it holds, in their order."""
# RFC: 7339

import random

import pytest

from sbc.core.address import Address
from sbc.peering.throttle import Throttle
from sbc.policy.load import Source, parse_policy
from sbc.sip.overload_params import Asked

POLICY = """
sbc: {name: t}
interfaces:
  inside: {sip: ["udp:10.0.0.1:5060"], media: 10.0.0.1}
pbxs:
  office: {interface: inside, address: "sip:10.0.0.5:5060", dids: ["+14155550100"], overload: OVERLOAD}
routes:
  - {name: inbound, from: office, to: dids}
"""
SERVER, OTHER = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)


def throttle(overload="auto"):
    policy = parse_policy([Source("p.yaml", POLICY.replace("OVERLOAD", overload).encode())])
    return Throttle(policy), policy.peers["office"]


def turned_away(one, now, calls=10_000, at=SERVER):
    number = random.Random(3).randrange
    return sum(one.turns_away(at, now, number) for _ in range(calls)) / calls


def test_of_all_requests_that_percentage_is_left_out_taken_from_new_calls_alone():
    one, _ = throttle()
    one.was_asked(SERVER, Asked(20, 5.0, (1, 0)), 0.0)
    assert turned_away(one, 1.0) == pytest.approx(0.25, abs=0.02)  # 20 % of all, where 80 % may be left out


def test_the_share_of_new_calls_is_counted():
    one, _ = throttle()
    one.was_asked(SERVER, Asked(20, 60.0, (1, 0)), 0.0)
    for _ in range(100):
        one.turns_away(SERVER, 1.0, lambda n: n - 1)
        one.sent(SERVER)
    one.turns_away(SERVER, 7.0, lambda n: n - 1)
    assert turned_away(one, 7.0) == pytest.approx(0.4, abs=0.02)


def test_only_the_address_that_asked_is_spared():
    one, _ = throttle()
    one.was_asked(SERVER, Asked(100, 5.0, (1, 0)), 0.0)
    assert turned_away(one, 1.0, 10) == 1.0
    assert turned_away(one, 1.0, 10, OTHER) == 0.0


def test_it_ends_with_its_validity():
    one, _ = throttle()
    one.was_asked(SERVER, Asked(100, 0.5, (1, 0)), 0.0)
    assert one.loss(SERVER, 0.49) == 100
    assert one.loss(SERVER, 0.5) == 0
    assert turned_away(one, 0.5, 10) == 0.0


def test_a_validity_of_0_ends_it_at_once():
    one, _ = throttle()
    one.was_asked(SERVER, Asked(100, 60.0, (1, 0)), 0.0)
    one.was_asked(SERVER, Asked(100, 0.0, (2, 0)), 1.0)
    assert one.loss(SERVER, 1.0) == 0


def test_a_word_that_comes_late_or_again_changes_nothing():
    one, _ = throttle()
    one.was_asked(SERVER, Asked(50, 5.0, (10, 0)), 0.0)
    one.was_asked(SERVER, Asked(10, 5.0, (9, 99)), 0.1)
    one.was_asked(SERVER, Asked(10, 50.0, (10, 0)), 0.2)
    assert one.loss(SERVER, 0.3) == 50
    assert one.loss(SERVER, 5.1) == 0


def test_a_sequence_that_has_begun_anew_counts():
    one, _ = throttle()
    one.was_asked(SERVER, Asked(50, 5.0, (100_000, 0)), 0.0)
    one.was_asked(SERVER, Asked(10, 5.0, (1, 0)), 0.1)
    assert one.loss(SERVER, 0.2) == 10


def test_whoever_has_shown_it_is_asked_from_then_on():
    one, office = throttle()
    assert not one.speaks(office)
    one.has_shown("office")
    assert one.is_used
    assert one.speaks(office)


def test_policy_may_ask_from_the_first_request_on_or_never():
    one, office = throttle("rfc7339")
    assert one.is_used
    assert one.speaks(office)
    one, office = throttle("off")
    one.has_shown("office")
    assert not one.speaks(office)


# BOUND: THROTTLED_SERVERS
def test_the_words_of_so_many_servers_are_kept_and_no_more():
    one, _ = throttle()
    for n in range(3_000):
        one.was_asked(Address(f"10.1.{n // 250}.{n % 250}", 5060), Asked(1, 60.0, None), 0.0)
        assert len(one) <= 1_000
    assert len(one) == 1_000
