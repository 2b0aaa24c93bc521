"""A session description: refused with SdpError, or everything that we do to one can be done to it."""

from sbc.sdp.allowed import allowed, is_fax, ordered
from sbc.sdp.anchor import anchor
from sbc.sdp.clocks import clocks_of, event_format
from sbc.sdp.codecs import codecs_of, format_name
from sbc.sdp.direction import Direction, directed, direction_of, undirected
from sbc.sdp.events import with_events, without_events
from sbc.sdp.g711 import laws, with_other_law
from sbc.sdp.hostile import check_hostile
from sbc.sdp.model import Origin, SdpError
from sbc.sdp.negotiate import answer, check_answer, check_next_offer
from sbc.sdp.parse import parse_sdp
from sbc.sdp.payload_types import rewriting, translation
from sbc.sdp.remotes import media_remotes
from sbc.sdp.serialize import serialize_sdp
from tests.fuzz import seeds

INSTRUMENTED = ("sbc.sdp",)
ACCEPTS = (SdpError,)
SEEDS = (
    seeds.SDP,
    seeds.SDP.replace(b"IP4 10.0.0.5", b"IP6 2001:db8::5"),
    seeds.SDP.replace(b"RTP/AVP", b"RTP/SAVP")
    + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"
    + b"A" * 40
    + b"|2^31\r\n",
    seeds.SDP.replace(b"m=audio 4000", b"m=audio 4000/2"),
    seeds.SDP.replace(b"\r\n", b"\n"),
)
WORDS = (
    b"v=0\r\n", b"o=- 1 1 IN IP4 ", b"c=IN IP4 0.0.0.0\r\n", b"c=IN IP6 ::1\r\n", b"m=audio 0 RTP/AVP 0\r\n", b"m=",
    b"a=rtpmap:", b"a=fmtp:",
    b"a=rtcp:", b"a=sendonly\r\n", b"a=inactive\r\n", b"a=crypto:1 ", b"a=fingerprint:sha-256 ",
    b"a=setup:actpass\r\n", b"RTP/SAVPF",
    b"telephone-event/8000", b"PCMU/8000", b"224.2.1.1/127", b"/0", b"65536", b"a=rtcp-mux\r\n", b"udptl t38",
)  # fmt: skip
OURS = Origin(42, 1, "203.0.113.9")


def check(data):
    session = parse_sdp(data)
    assert parse_sdp(serialize_sdp(session)) == session
    for media in session.media:
        is_fax(media), clocks_of(media), event_format(media), codecs_of(media), laws(media)
        direction_of(session, media)
        directed(session, media, Direction.SENDONLY)
        with_events(without_events(media), media)
        with_other_law(media)
        ordered(allowed(media, ["PCMU", "PCMA", "telephone-event"]), ["PCMA"])
        for format_ in media.formats:
            format_name(media, format_)
        translation(media, media)
        rewriting(media, media)
    undirected(session)
    media_remotes(session)
    check_answer(session, session)
    check_next_offer(session, session)
    check_hostile(session, {"203.0.113.9"}, (20000, 29999))
    check_answer(session, answer(session, session))
    out = anchor(session, OURS, "203.0.113.9", [20000 + 2 * i for i in range(len(session.media))])
    assert parse_sdp(serialize_sdp(out)) == out
