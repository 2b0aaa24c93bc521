"""What holds for every description: the canonical survives, garbage is refused in one way, nothing inner crosses."""
# RFC: 8866

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sbc.sdp.anchor import anchor
from sbc.sdp.direction import Direction
from sbc.sdp.hostile import check_hostile
from sbc.sdp.model import Connection, Media, Origin, SdpError, Session
from sbc.sdp.negotiate import answer, check_answer
from sbc.sdp.parse import parse_sdp
from sbc.sdp.remotes import media_remotes
from sbc.sdp.serialize import serialize_sdp

OURS = Origin(42, 1, "203.0.113.9")

tokens = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20).map(str.rstrip)
ports = st.integers(0, 65535)
addresses = st.one_of(
    st.ip_addresses(v=4).map(lambda ip: Connection("IP4", str(ip))),
    st.ip_addresses(v=6).map(lambda ip: Connection("IP6", str(ip))),
    tokens.map(lambda name: Connection("IP4", name + ".example.com")),
)
attributes = st.one_of(
    st.sampled_from([f"a={direction}" for direction in Direction]),
    st.builds("a={}:{}".format, tokens, texts).map(str.rstrip),
    st.builds("a={}".format, tokens),
    st.builds("b={}:{}".format, tokens, ports),
    st.builds("a=rtpmap:{} {}/{}".format, st.integers(0, 127), tokens, ports),
)
media = st.builds(
    Media,
    kind=st.sampled_from(["audio", "video", "image", "application"]),
    port=ports,
    proto=st.sampled_from(["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "udptl", "TCP/MSRP", "UDP/BFCP"]),
    formats=st.lists(tokens, min_size=1, max_size=5).map(tuple),
    connection=st.none() | addresses,
    lines=st.lists(attributes, max_size=6).map(tuple),
)
sessions = st.builds(
    Session,
    origin=st.builds("{} {} {} IN IP4 {}".format, tokens, ports, ports, tokens),
    name=texts,
    connection=addresses,
    lines=st.lists(attributes, max_size=4).map(lambda lines: ("t=0 0", *lines)),
    media=st.lists(media, max_size=4).map(tuple),
)


def our_ports(session: Session) -> list[int]:
    return [20000 + 2 * i for i in range(len(session.media))]


@given(sessions)
def test_parsing_what_was_printed_gives_it_back(session):
    wire = serialize_sdp(session)
    assert parse_sdp(wire) == session
    assert serialize_sdp(parse_sdp(wire)) == wire


def use(data: bytes) -> None:
    """Everything that is done to a description that came from outside."""
    session = parse_sdp(data)
    assert parse_sdp(serialize_sdp(session)) == session
    media_remotes(session)
    check_answer(session, session)
    check_hostile(session, {"203.0.113.9"}, (20000, 29999))
    answer(session, session)
    anchor(session, OURS, "203.0.113.9", our_ports(session))


pieces = st.sampled_from([
    "v=0", "o=- 1 1 IN IP4 1.2.3.4", "s=", "t=0 0", "c=IN IP4 0.0.0.0", "c=IN IP6 fe80::1%x", "c=IN IP4 9/9",
    "m=a 1 RTP/AVP 0", "m=a 0 RTP/AVP", "m=a 1/2 x 0", "a=rtcp:", "a=rtcp:1 IN IP4 1.2.3.4", "a=rtpmap:0",
    "a=rtpmap:0 /", "a=sendonly", "a=", "=", "a", " ",
])  # fmt: skip


@given(st.binary(max_size=200))
@example(b"v=0\r\n")
@example(b"\xff\xfe")
def test_noise_is_refused_with_sdp_error_and_nothing_else(noise):
    with pytest.raises(SdpError):
        use(noise)


@given(st.lists(pieces | texts, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_near_descriptions_are_used_or_refused_with_sdp_error(lines, line_end):
    head = ["v=0", "o=- 1 1 IN IP4 1.2.3.4", "c=IN IP4 1.2.3.4"]
    for text in (lines, head + lines):
        with contextlib.suppress(SdpError):
            use(line_end.join(text).encode())


INNER = "inner7f3a"  # a marker that stands for the inner network: in every name, user and host below
HOST = f"{INNER}.corp.example"
ADDRESS = "10.77.66.55"
ADDRESS_6 = "fd00:7766::55"

revealing = st.sampled_from(
    [
        f"a=candidate:1 1 UDP 1 {ADDRESS} 4000 typ host",
        f"a=candidate:2 1 UDP 1 {INNER}.local 4000 typ host",
        f"a=Candidate :3 1 UDP 1 {INNER} 4000 typ host",
        f"a=ice-ufrag:{INNER}",
        f"a=ice-pwd:{INNER}",
        f"a=remote-candidates:1 {ADDRESS} 4000",
        f"a=rtcp:4001 IN IP4 {ADDRESS}",
        f"a=rtcp:4001 IN IP6 {ADDRESS_6}",
        f"a=ssrc:1 cname:{INNER}@{HOST}",
        f"a=msid:{INNER} {INNER}",
        f"a=tool:{INNER}",
        f"a=altc:1 IP4 {ADDRESS} 4000",
        f"a=source-filter: incl IN IP4 * {ADDRESS}",
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{INNER}",
        f"a=X-unknown:via {HOST.upper()}",
        f"a=X-unknown:{ADDRESS}:5060",
        f"a=X-unknown:[{ADDRESS_6}]",
        f"a=X-{ADDRESS}",
        f"a=mid:{ADDRESS}",
        f"b=X-{HOST}:1",
        f"k=clear:{INNER}",
        f"i={INNER}",
        f"u=http://{HOST}/",
        f"e={INNER}@{HOST}",
        f"p=+1 {INNER}",
        f"q={INNER}",
    ]
)
inner_connections = st.sampled_from(
    [Connection("IP4", ADDRESS), Connection("IP6", ADDRESS_6), Connection("IP4", HOST), Connection("IP4", "0.0.0.0")]
)
revealing_media = st.builds(
    Media,
    kind=st.just("audio"),
    port=st.sampled_from([0, 4000]),
    proto=st.sampled_from(["RTP/AVP", "udptl", "RTP/SAVP"]),
    formats=st.just(("0",)),
    connection=st.none() | inner_connections,
    lines=st.lists(revealing | st.just("a=ptime:20"), max_size=8).map(tuple),
)
revealing_sessions = st.builds(
    Session,
    origin=st.sampled_from([f"{INNER} 1 1 IN IP4 {host}" for host in (ADDRESS, HOST)]),
    name=st.just(INNER),
    connection=inner_connections,
    lines=st.lists(revealing, max_size=6).map(lambda lines: ("t=0 0", *lines)),
    media=st.lists(revealing_media, max_size=3).map(
        lambda streams: (*streams, Media("audio", 4000, "RTP/AVP", ("0",), Connection("IP4", HOST)))
    ),
)


@given(revealing_sessions)
def test_nothing_of_the_inner_network_crosses(session):
    session = parse_sdp(serialize_sdp(session))
    out = serialize_sdp(anchor(session, OURS, "203.0.113.9", our_ports(session))).lower()
    for secret in (INNER, ADDRESS, ADDRESS_6):
        assert secret.encode() not in out


@given(sessions)
def test_anchoring_keeps_streams_and_formats_and_is_stable(session):
    try:
        out = anchor(session, OURS, "203.0.113.9", our_ports(session))
    except SdpError:
        return
    assert [(m.kind, m.proto, m.formats) for m in out.media] == [(m.kind, m.proto, m.formats) for m in session.media]
    assert [m.port != 0 for m in out.media] == [m.port != 0 and m.is_relayable for m in session.media]
    assert anchor(out, OURS, "203.0.113.9", our_ports(session)) == out
    assert parse_sdp(serialize_sdp(out)) == out
    kept = [remote.direction for remote in media_remotes(out) if not remote.refused]
    assert kept == [remote.direction for remote in media_remotes(session) if not remote.refused]


@given(sessions, sessions)
def test_an_answer_matches_its_offer(offer, ours):
    try:
        reply = answer(offer, ours)
    except SdpError:
        return
    check_answer(offer, reply)
    for offered, answered in zip(media_remotes(offer), media_remotes(reply), strict=True):
        if not answered.refused:
            # Whoever answers sends only to one who receives, and the other way round (RFC 3264 §6.1).
            assert answered.direction.intersect(offered.direction.reversed()) is answered.direction
