import msgspec
import pytest

from sbc.core.errors import TheirFaultError
from sbc.sdp.model import Connection, Media, Origin, SdpError, attribute_values, same_except_origin

from .offers import PHONE, session


def test_an_error_knows_its_status():
    assert SdpError("x").status == 400
    assert SdpError("x", 488).status == 488
    assert isinstance(SdpError("x"), TheirFaultError)


def test_our_origin_names_no_user():
    assert str(Origin(7, 2, "203.0.113.9")) == "- 7 2 IN IP4 203.0.113.9"
    assert str(Origin(7, 2, "2001:db8::1")) == "- 7 2 IN IP6 2001:db8::1"


@pytest.mark.parametrize(
    ("proto", "rtp", "relayable"),
    [
        ("RTP/AVP", True, True),
        ("RTP/AVPF", True, True),
        ("rtp/avp", True, True),
        ("udptl", False, True),
        ("UDPTL", False, True),
        ("udp", False, True),
        ("UDP/BFCP", False, True),
        ("RTP/SAVP", False, False),
        ("RTP/SAVPF", False, False),
        ("UDP/TLS/RTP/SAVPF", False, False),
        ("UDP/TLS/UDPTL", False, False),
        ("UDP/DTLS/SCTP", False, False),
        ("UDP/RTP/SAVP", False, False),
        ("TCP/MSRP", False, False),
        ("TCP/RTP/AVP", False, False),
        ("DTLS/SCTP", False, False),
        ("whatever", False, False),
    ],
)
def test_only_plain_rtp_and_bare_udp_can_be_relayed(proto, rtp, relayable):
    media = Media("audio", 4000, proto, ("0",))
    assert (media.is_rtp, media.is_relayable) == (rtp, relayable)


def test_attribute_values_in_order_without_blanks_around_them():
    lines = ("a=rtcp:1", "a=rtcp-mux", "b=AS:1", "a=rtcp: 2 ")
    assert attribute_values(lines, "rtcp") == ["1", "2"]


def test_another_origin_alone_is_no_change():
    offer = session(PHONE)
    assert same_except_origin(offer, msgspec.structs.replace(offer, origin="- 1 2 IN IP4 192.0.2.10"))


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"connection": Connection("IP4", "192.0.2.11")},
        {"lines": ("t=0 0", "a=x")},
        {"media": ()},
    ],
)
def test_any_other_difference_is_a_change(change):
    offer = session(PHONE)
    assert not same_except_origin(offer, msgspec.structs.replace(offer, **change))
