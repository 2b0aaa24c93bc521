import pytest

from sbc.sdp.anchor import anchor
from sbc.sdp.model import Connection, Origin, SdpError, Session

from .offers import PHONE, session, with_media

OURS = Origin(42, 3, "203.0.113.9")


def anchored(offer: Session, *ports: int) -> Session:
    return anchor(offer, OURS, "203.0.113.9", ports)


def audio_lines(*lines: str) -> tuple[str, ...]:
    """What is left of attribute lines below an audio stream."""
    return anchored(with_media("m=audio 4000 RTP/AVP 0", *lines), 20000).media[0].lines


def test_origin_name_address_and_port_are_ours_and_codecs_theirs():
    out = anchored(session(PHONE), 20000)
    assert (out.origin, out.name) == ("- 42 3 IN IP4 203.0.113.9", "-")
    assert out.connection == Connection("IP4", "203.0.113.9")
    assert out.lines == ("t=0 0",)
    assert out.media[0].port == 20000
    assert out.media[0].formats == ("0", "8", "101")
    assert out.media[0].lines == session(PHONE).media[0].lines


def test_an_ipv6_address_of_ours_is_said_to_be_one():
    assert anchor(session(PHONE), OURS, "2001:db8::1", [20000]).connection == Connection("IP6", "2001:db8::1")


def test_addresses_of_single_streams_vanish():
    out = anchored(with_media("m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.11", head="t=0 0"), 20000)
    assert out.media[0].connection is None


def test_every_kind_of_stream_keeps_its_place():
    offer = with_media(
        "m=audio 4000 RTP/AVP 0",
        "m=video 4002 RTP/AVPF 96 97",
        "m=image 4004 udptl t38",
        "a=T38FaxVersion:0",
        "m=application 4006 UDP/BFCP *",
    )
    out = anchored(offer, 20000, 20002, 20004, 20006)
    assert [(m.kind, m.port, m.proto, m.formats) for m in out.media] == [
        ("audio", 20000, "RTP/AVP", ("0",)),
        ("video", 20002, "RTP/AVPF", ("96", "97")),
        ("image", 20004, "udptl", ("t38",)),
        ("application", 20006, "UDP/BFCP", ("*",)),
    ]
    assert out.media[2].lines == ("a=T38FaxVersion:0",)


@pytest.mark.parametrize(
    ("media_line", "port"),
    [
        pytest.param("m=video 0 RTP/AVP 31", 20002, id="refused by the peer"),
        pytest.param("m=video 4002 RTP/AVP 31", 0, id="refused by us"),
        pytest.param("m=video 4002 RTP/SAVP 31", 20002, id="keyed"),
        pytest.param("m=video 4002 TCP/MSRP 31", 20002, id="not on UDP"),
    ],
)
def test_a_refused_stream_stays_in_place_with_port_zero_and_no_attributes(media_line, port):
    offer = with_media("m=audio 4000 RTP/AVP 0", media_line, "a=crypto:1 x", "a=mid:v", "b=AS:1")
    refused = anchored(offer, 20000, port).media[1]
    assert (refused.kind, refused.port, refused.proto) == ("video", 0, media_line.split()[2])
    assert refused.formats == ("31",)
    assert refused.lines == ("a=mid:v",)


@pytest.mark.parametrize("proto", ["RTP/SAVP", "UDP/TLS/RTP/SAVPF", "TCP/MSRP"])
def test_a_description_with_nothing_that_can_cross_is_488(proto):
    with pytest.raises(SdpError) as caught:
        anchored(with_media(f"m=audio 4000 {proto} 0", "m=video 0 RTP/AVP 31"), 20000, 0)
    assert caught.value.status == 488


def test_a_description_in_which_everything_was_refused_crosses():
    assert [m.port for m in anchored(with_media("m=audio 0 RTP/AVP 0"), 0).media] == [0]


def test_a_description_without_streams_crosses():
    assert anchored(with_media(), *()).media == ()


def test_a_port_for_each_stream_is_our_own_duty():
    with pytest.raises(ValueError, match="zip"):
        anchored(session(PHONE), 20000, 20002)


@pytest.mark.parametrize(
    "line",
    [
        "a=rtpmap:0 PCMU/8000",
        "a=fmtp:101 0-16",
        "a=ptime:20",
        "a=maxptime:150",
        "a=recvonly",
        "a=rtcp-fb:96 nack pli",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=silenceSupp:off - - - -",
        "a=mid:1",
        "a=X-vendor:whatever",
        "a=X-vendor",
        "a=T38FaxUdpEC:t38UDPRedundancy",
        "b=AS:64",
        "b=TIAS:64000",
    ],
)
def test_what_describes_the_stream_or_is_unknown_crosses_verbatim(line):
    assert audio_lines(line) == (line,)


@pytest.mark.parametrize(
    "line",
    [
        "a=candidate:1 1 UDP 2130706431 192.168.1.2 4000 typ host",
        "a=CANDIDATE :1 1 UDP 1 host.local 4000 typ host",
        "a=ice-ufrag:8hhY",
        "a=ice-pwd:asd88fgpdd777uzjYhagZg",
        "a=ice-options:trickle",
        "a=end-of-candidates",
        "a=remote-candidates:1 192.168.1.2 4000",
        "a=rtcp:4001 IN IP4 192.168.1.2",
        "a=rtcp-mux",
        "a=rtcp-mux-only",
        "a=bundle-only",
        "a=ssrc:11 cname:alice@pc33",
        "a=msid:a b",
        "a=tool:SuperPhone 1.0",
        "a=altc:1 IP6 2001:db8::1 4000",
        "a=source-filter: incl IN IP4 * 192.168.1.2",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc",
        "a=fingerprint:SHA-1 4A:AD:B9:B1:3F:82",
        "a=setup:actpass",
        "a=acap:1 crypto:1 x",
        "i=Alice's desk",
        "k=clear:secret",
        "q=unknown type",
    ],
)
def test_what_names_the_peer_or_offers_what_we_cannot_do_stays_behind(line):
    assert audio_lines(line) == ()


@pytest.mark.parametrize(
    "line",
    [
        "a=X-nat:192.168.1.2",
        "a=X-nat:inner192.168.1.2:4000",
        "a=X-nat:[2001:db8::7]",
        "a=X-nat:fe80:0:0:1:2:3:4:5",
        "a=X-from:PC33.example.com",
        "b=X-from:pc33.example.com",
    ],
)
def test_unknown_attribute_with_an_address_or_a_host_of_the_description_stays_behind(line):
    offer = with_media("m=audio 4000 RTP/AVP 0", line, head="c=IN IP4 pc33.example.com\nt=0 0")
    assert anchored(offer, 20000).media[0].lines == ()


def test_a_host_name_too_short_to_be_told_from_text_takes_nothing_away():
    offer = with_media("m=audio 4000 RTP/AVP 0", "a=X-a:b", head="c=IN IP4 a\nt=0 0")
    assert anchored(offer, 20000).media[0].lines == ("a=X-a:b",)


def test_session_lines_about_people_stay_behind_and_times_cross():
    offer = session(
        "v=0\no=alice 1 1 IN IP4 192.0.2.10\ns=Secret\ni=x\nu=http://x\ne=a@x\np=+1\nc=IN IP4 192.0.2.10\n"
        "b=CT:128\nt=0 0\nr=7d 1h 0 25h\nz=0 0\nk=prompt\na=sendonly\na=ice-lite\na=group:LS 1 2\na=group:BUNDLE 1 2\n"
    )
    assert anchored(offer).lines == ("b=CT:128", "t=0 0", "r=7d 1h 0 25h", "z=0 0", "a=sendonly", "a=group:LS 1 2")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ((), "a=sendonly"),
        (("a=sendrecv",), "a=sendonly"),
        (("a=sendonly",), "a=sendonly"),
        (("a=recvonly ",), "a=inactive"),
        (("a=inactive",), "a=inactive"),
    ],
)
@pytest.mark.parametrize("head", ["c=IN IP4 0.0.0.0\nt=0 0", "c=IN IP6 ::\nt=0 0"])
def test_the_old_hold_becomes_our_address_and_a_direction(head, stated, said):
    out = anchored(with_media("m=audio 4000 RTP/AVP 0", *stated, "a=ptime:20", head=head), 20000)
    assert out.connection == Connection("IP4", "203.0.113.9")
    assert out.media[0].port == 20000
    assert out.media[0].lines == ("a=ptime:20", said)


def test_the_old_hold_of_a_session_that_states_a_direction():
    out = anchored(with_media("m=audio 4000 RTP/AVP 0", head="c=IN IP4 0.0.0.0\nt=0 0\na=recvonly"), 20000)
    assert out.media[0].lines == ("a=inactive",)
