"""Over TLS for as long as the dialog lasts, where it was set up so."""

from types import SimpleNamespace

import pytest

from sbc.b2bua.leg.reached import Reached
from sbc.core.address import Address, Flow, Transport
from sbc.policy.protection import SrtpRules
from sbc.sip.connections import secured
from sbc.sip.message import Request
from sbc.sip.parse import parse_message

OURS = Address("203.0.113.1", 5061)
TLS = Flow(Transport.TLS, "outside", OURS, Address("192.0.2.9", 40_000), 3)
UDP = Flow(Transport.UDP, "outside", Address("203.0.113.1", 5060), Address("192.0.2.9", 5060))
KEYED = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"


def invite(via="SIP/2.0/TLS 10.1.1.1:5071;branch=z9hG4bKa", method="INVITE", body=b""):
    text = (
        f"{method} sip:a@203.0.113.1 SIP/2.0\r\nVia: {via}\r\nFrom: <sip:b@c>;tag=1\r\nTo: <sip:a@d>\r\nCall-ID: x\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:b@192.0.2.9>\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    message = parse_message(text.encode() + body, stream=True)
    assert isinstance(message, Request)
    return message


def peer(mode, *keying):
    return SimpleNamespace(srtp=SrtpRules(mode, keying or ("sdes",)))


def invited(flow, **options):
    reached = Reached()
    reached.spoke(flow, None)
    reached.invited(invite(**options))
    return reached


# RFC: 3261
def test_who_has_called_over_tls_takes_connections_where_its_via_says():
    """§18.2.2: at the address that it came from, and the port of sent-by."""
    assert invited(TLS).by_tls == Address("192.0.2.9", 5071)
    assert invited(TLS, via="SIP/2.0/TLS 10.1.1.1;branch=z9hG4bKa").by_tls == Address("192.0.2.9", 5061)
    assert invited(UDP).by_tls is None


def test_who_was_called_over_tls_takes_it_where_our_invite_went():
    reached = Reached()
    reached.replied(UDP)
    assert reached.by_tls is None
    reached.replied(Flow(Transport.TLS, "outside", OURS, Address("192.0.2.9", 5081)))
    assert reached.by_tls == Address("192.0.2.9", 5081)
    reached.replied(TLS)  # by a connection of its own, whose port takes none
    assert reached.by_tls == Address("192.0.2.9", 5061)


def test_a_peer_that_has_registered_is_followed_but_not_out_of_tls():
    reached = invited(TLS)
    other = Flow(Transport.TLS, "outside", OURS, Address("192.0.2.9", 40_001), 4)
    assert reached.spoke(other, TLS) == other
    assert reached.spoke(UDP, other) == other
    assert not reached.takes(UDP)
    assert reached.came_by == other
    assert reached.spoke(other, None) is None
    assert invited(UDP).spoke(TLS, UDP) == TLS


@pytest.mark.parametrize(
    ("request_", "mode", "tells"),
    [
        (invite(body=KEYED), peer("optional"), True),
        (invite(body=KEYED, method="UPDATE"), peer("required"), True),
        (invite(body=b"v=0\r\n"), peer("optional"), False),
        (invite(), peer("required"), True),  # our offer would have them
        (invite(), peer("required", "dtls"), False),
        (invite(), peer("off"), False),
        (invite(method="UPDATE"), peer("required"), False),
        (invite(method="BYE"), peer("required"), False),
    ],
)
def test_what_would_be_answered_with_keys(request_, mode, tells):
    reached = invited(TLS)
    assert not reached.would_tell_keys(request_, mode)
    reached.spoke(UDP, None)
    assert reached.would_tell_keys(request_, mode) is tells
    plain = invited(UDP)
    plain.spoke(UDP, None)
    assert not plain.would_tell_keys(request_, mode)


@pytest.mark.parametrize(
    ("hop", "over_tls"),
    [
        ("sip:a@192.0.2.9:5060", "sip:a@192.0.2.9:5071;transport=tls"),
        ("sip:a@192.0.2.9", "sip:a@192.0.2.9:5071;transport=tls"),
        ("sip:a@192.0.2.9:5080;transport=udp", "sip:a@192.0.2.9:5071;transport=tls"),
        ("sip:a@192.0.2.9:5081;transport=tls", "sip:a@192.0.2.9:5081;transport=tls"),
        ("sip:a@192.0.2.10:5060", "sip:a@192.0.2.10:5071;transport=tls"),
        ("sip:a@192.0.2.10:5081", "sip:a@192.0.2.10:5081;transport=tls"),
        ("sip:a@pbx.example", "sip:a@pbx.example;transport=tls"),  # RFC 3263 finds its port
        ("sips:a@192.0.2.9", "sips:a@192.0.2.9"),
    ],
)
def test_at_which_port_a_hop_takes_tls_that_does_not_say_so(hop, over_tls):
    assert secured(hop, Address("192.0.2.9", 5071)) == over_tls
