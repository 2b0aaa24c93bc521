"""Which failures let a hunt go on: the contract's rules, one by one."""

import pytest

from sbc.b2bua.hunt import Attempt, goes_on, plan, server_uri
from sbc.core.address import Transport
from sbc.policy.model import Peer, Server, Target


def _target(name, *hosts):
    return Target(Peer(name, "trunk", "outside", tuple(Server(host) for host in hosts)), "+1", "+2", 180.0)


def test_every_server_of_every_target_is_tried_in_order():
    one, two = _target("a", "192.0.2.1", "192.0.2.2"), _target("b", "192.0.2.3")
    assert plan((one, two)) == (
        Attempt(one, Server("192.0.2.1")),
        Attempt(one, Server("192.0.2.2")),
        Attempt(two, Server("192.0.2.3")),
    )


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
    ],
)
def test_next_hop_of_a_server(server, uri):
    assert server_uri(server) == uri
