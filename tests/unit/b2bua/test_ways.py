"""Whose proof a request needs, by the user that it goes out for."""

from types import SimpleNamespace

import pytest

from sbc.b2bua.moved import Moves
from sbc.b2bua.ways import has_tls, proof_of, way_of
from sbc.core.address import Address, Flow, Transport
from sbc.policy.load import Source, parse_policy
from sbc.sip.connections import Way

POLICY = parse_policy([Source("a.yaml", b"""
interfaces:
  inside: {sip: udp:10.0.0.1:5060, media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060, tls:203.0.113.1:5061], media: 203.0.113.1}
pbxs:
  office: {interface: inside, address: sip:10.0.0.5:5060}
trunks:
  carrier: {interface: outside, servers: sip:c.example;transport=tls}
  either: {interface: outside, servers: [sip:e.example;transport=tls, sip:e.example;transport=udp]}
""")])  # fmt: skip
CAME = Flow(Transport.TLS, "outside", Address("203.0.113.1", 5061), Address("192.0.2.9", 40_000), 3)

BY_TLS = Address("192.0.2.9", 5061)


@pytest.fixture
def ask():
    legs = [SimpleNamespace(peer=POLICY.peers["carrier"], reached=SimpleNamespace(came_by=CAME, by_tls=BY_TLS))]
    context = SimpleNamespace(policy=POLICY, moves=Moves(), calls={"ref": SimpleNamespace(legs=legs, policy=POLICY)})
    beside = SimpleNamespace(
        asked=lambda id_, n: POLICY.peers["either"] if (id_, n) == ("x", 1) else None, side=lambda *_: None
    )
    return lambda user: way_of(user, context, beside)


@pytest.mark.parametrize(
    ("user", "way"),
    [
        (("ref", 0, 5), Way("carrier", True, CAME, BY_TLS)),
        ((("ref", 0, 5), "again"), Way("carrier", True, CAME, BY_TLS)),
        (((("ref", 0, 5), "bye"), "again"), Way("carrier", True, CAME, BY_TLS)),
        (("gone", 0, 5), Way()),
        (("health", "carrier", 7), Way("carrier", True)),
        (("register", "either", 7), Way("either")),
        (("register", "gone", 7), Way()),
        (("beside", "x", 1), Way("either")),
        (("beside", "x", 2), Way()),
        (None, Way()),
        ("health", Way()),
    ],
)
def test_the_peer_that_is_asked_must_prove_itself(ask, user, way):
    assert ask(user) == way


def test_a_response_goes_to_who_proves_to_be_the_peer_that_asked():
    assert proof_of("carrier", POLICY) == ("carrier",)
    assert proof_of("gone", POLICY) == ()


def test_nobody_is_asked_where_there_is_no_tls():
    assert has_tls(POLICY)
    plain = parse_policy([Source("a.yaml", b"interfaces: {a: {sip: udp:10.0.0.1:5060, media: 10.0.0.1}}")])
    assert not has_tls(plain)
