"""Who is first in a hunt, and which failures let it go on: the contract's rules, one by one."""

from collections import Counter

import pytest

from sbc.b2bua.hunt import Attempt, drawn, goes_on
from sbc.core.address import Address, Flow, Transport
from sbc.peering.hop import Hop, server_uri
from sbc.policy.model import Peer, Route, Server, Target
from sbc.testing.seeds import seeded_ids


def _target(name, weight=None):
    return Target(Peer(name, "trunk", "outside", (Server("192.0.2.1"),)), "+1", "+2", 180.0, weight)


def _flow():
    return Flow(Transport.UDP, "outside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))


def _drawn(*targets, seed=0):
    return [target.peer.name for target in drawn(targets, seeded_ids(seed).number)]


def test_without_weights_the_order_stays():
    assert _drawn(_target("a"), _target("b"), _target("c")) == ["a", "b", "c"]


def test_weighted_targets_are_drawn_among_themselves():
    targets = (_target("first"), _target("a", weight=1), _target("b", weight=1), _target("last"))
    orders = {tuple(_drawn(*targets, seed=seed)) for seed in range(40)}
    assert orders == {("first", "a", "b", "last"), ("first", "b", "a", "last")}


def test_weights_are_shares_of_the_first_place():
    targets = (_target("a", weight=30), _target("b", weight=70))
    number = seeded_ids(7).number
    first = Counter(drawn(targets, number)[0].peer.name for _ in range(2000))
    assert 0.26 < first["a"] / 2000 < 0.34


def test_an_address_is_named_where_the_server_is_a_name():
    hop = Hop("a", Server("sip.example.com"), _flow())
    assert Attempt(_target("a"), Server("sip.example.com", text="sip:sip.example.com"), hop).label == (
        "sip:sip.example.com (udp:192.0.2.9:5060)"
    )
    assert Attempt(_target("a"), Server("192.0.2.9", text="sip:192.0.2.9"), hop).label == "sip:192.0.2.9"
    assert hop.uri == "sip:192.0.2.9:5060;transport=udp"


def test_a_routes_own_lists_know_best():
    rule = Route("r", continue_on=frozenset({486}), stop_on=frozenset({503}))
    assert goes_on(486, 17, rule)
    assert not goes_on(503, 34, rule)
    assert goes_on(500, None, rule)


@pytest.mark.parametrize("status", [401, 403, 407, 408, 430, 500, 502, 503, 504])
def test_a_server_that_cannot_is_passed_over(status):
    assert goes_on(status, None)


@pytest.mark.parametrize("status", [302, 400, 404, 410, 480, 484, 486, 487, 488, 501, 600, 603])
def test_an_answer_about_the_callee_is_final(status):
    assert not goes_on(status, None)


@pytest.mark.parametrize("q850", [1, 17, 18, 19, 20, 21, 22, 28])
def test_q850_says_that_the_callee_was_found(q850):
    assert not goes_on(503, q850)


@pytest.mark.parametrize("q850", [2, 3, 34, 38, 41, 42, 44, 47])
def test_q850_says_that_the_network_failed(q850):
    assert goes_on(480, q850)


def test_another_q850_leaves_it_to_the_status():
    assert goes_on(503, 16)
    assert not goes_on(486, 16)


@pytest.mark.parametrize(
    ("server", "uri"),
    [
        (Server("192.0.2.1"), "sip:192.0.2.1"),
        (Server("2001:db8::1", 5062), "sip:[2001:db8::1]:5062"),
        (Server("sip.example.com", 5060, Transport.TCP), "sip:sip.example.com:5060;transport=tcp"),
        (Server("sip.example.com", names_transport=True), "sip:sip.example.com;transport=udp"),
        (Server("192.0.2.1", 5061, Transport.TLS, is_sips=True), "sips:192.0.2.1:5061"),
        (Server("192.0.2.1", None, Transport.TLS, names_transport=True), "sip:192.0.2.1;transport=tls"),
    ],
)
def test_next_hop_of_a_server(server, uri):
    assert server_uri(server) == uri
