# RFC: 3605
import pytest

from sbc.sdp.direction import Direction
from sbc.sdp.remotes import MediaRemote, media_remotes

from .offers import PHONE, session, with_media


def only(*lines: str, head: str = "c=IN IP4 192.0.2.10\nt=0 0") -> MediaRemote:
    (remote,) = media_remotes(with_media(*lines, head=head))
    return remote


def test_a_phone():
    assert media_remotes(session(PHONE)) == (
        MediaRemote("audio", "RTP/AVP", "192.0.2.10", 49170, 49171, Direction.SENDRECV, False, True, "PCMU", False),
    )


def test_one_for_each_stream_in_order_with_its_own_address():
    remotes = media_remotes(
        with_media(
            "m=audio 4000 RTP/AVP 0",
            "m=image 5000 udptl t38",
            "c=IN IP6 2001:DB8:0::1",
            "m=video 0 RTP/AVP 31",
            "m=audio 6000 RTP/SAVP 0",
        )
    )
    assert [(r.kind, r.host, r.port, r.rtcp_port, r.rtp, r.refused) for r in remotes] == [
        ("audio", "192.0.2.10", 4000, 4001, True, False),
        ("image", "2001:db8::1", 5000, 0, False, False),
        ("video", "192.0.2.10", 0, 0, True, True),
        ("audio", "192.0.2.10", 6000, 0, False, True),
    ]


def test_a_name_has_no_address():
    remote = only("m=audio 4000 RTP/AVP 0", head="c=IN IP4 phone.example.com\nt=0 0")
    assert (remote.host, remote.held) == (None, False)


def test_the_old_hold_has_no_address_and_a_direction_that_says_so():
    remote = only("m=audio 4000 RTP/AVP 0", head="c=IN IP4 0.0.0.0\nt=0 0")
    assert (remote.host, remote.held, remote.direction, remote.refused) == (None, True, "sendonly", False)


def test_a_multicast_lifetime_is_not_part_of_the_address():
    assert only("m=audio 4000 RTP/AVP 0", head="c=IN IP4 224.2.1.1/127\nt=0 0").host == "224.2.1.1"


@pytest.mark.parametrize(
    ("attribute", "port"),
    [
        ("a=rtcp:53020", 53020),
        ("a=rtcp:53020 IN IP4 192.0.2.10", 53020),
        ("a=rtcp:53020 IN IP4 192.0.2.99", 0),
        ("a=rtcp:53020 IN IP4 elsewhere.example.com", 53020),
        ("a=rtcp:4000", 4001),
        ("a=rtcp:0", 4001),
        ("a=rtcp:65536", 4001),
        ("a=rtcp:" + "9" * 5000, 4001),
        ("a=rtcp:x", 4001),
        ("a=rtcp:٢", 4001),
        ("a=rtcp:", 4001),
        ("a=rtcp-mux", 4001),
    ],
)
def test_rtcp_goes_where_rfc_3605_says_or_one_port_up(attribute, port):
    assert only("m=audio 4000 RTP/AVP 0", attribute).rtcp_port == port


def test_above_the_last_port_there_is_no_rtcp():
    assert only("m=audio 65535 RTP/AVP 0").rtcp_port == 0
