"""Where the servers of a peer are, as far as it may speak by the transport that leads there."""

from sbc.core.address import Address, Flow, Transport
from sbc.peering.whereabouts import Whereabouts
from sbc.policy.model import Peer, Server

HERE = Address("203.0.113.1", 5060)
BY_UDP = Flow(Transport.UDP, "outside", HERE, Address("198.51.100.7", 5060))
BY_TLS = Flow(Transport.TLS, "outside", HERE, Address("198.51.100.7", 5061))
SERVER = Server("sip.example.net")


def hops(*transports):
    peer = Peer("x", "trunk", "outside", (SERVER,), transports=frozenset(transports))
    return [hop.flow for _, hop in Whereabouts(lambda *_: (BY_UDP, BY_TLS)).hops(peer, 0.0) if hop is not None]


def test_where_the_dns_offers_more_transports_only_those_of_the_policy_are_tried():
    assert hops(*Transport) == [BY_UDP, BY_TLS]
    assert hops(Transport.TLS) == [BY_TLS]
    assert hops(Transport.UDP, Transport.TCP) == [BY_UDP]
