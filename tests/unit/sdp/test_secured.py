"""Secured RTP to plain RTP with its keys beside it, and back (RFC 3711, RFC 5124, RFC 5764 §8, RFC 8643)."""
# RFC: 4568
# RFC: 5764

import pytest

from sbc.core.limits import CRYPTO_LINES_PER_MEDIA
from sbc.sdp.model import SdpError
from sbc.sdp.parse import parse_sdp
from sbc.sdp.secured import plain, secured_proto, unsecured
from sbc.sdp.serialize import serialize_sdp

KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"
CRYPTO = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)


def sdp(*lines, session=()):
    head = ("v=0", "o=- 1 1 IN IP4 10.0.0.5", "s=-", "c=IN IP4 10.0.0.5", "t=0 0")
    return "\r\n".join([*head, *session, *lines, ""]).encode()


@pytest.mark.parametrize(
    ("proto", "inner"),
    [
        ("RTP/SAVP", "RTP/AVP"),
        ("RTP/SAVPF", "RTP/AVPF"),
        ("UDP/TLS/RTP/SAVP", "RTP/AVP"),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVPF"),
    ],
)
def test_each_profile_is_its_plain_one_inside_and_comes_out_as_it_was(proto, inner):
    lines = [FINGERPRINT, "a=setup:actpass"] if proto.startswith("UDP") else [CRYPTO]
    body = sdp(f"m=video 4000 {proto} 96", "a=ptime:20", *lines)
    session = unsecured(parse_sdp(body))
    [media] = session.media
    assert (media.proto, media.is_rtp, media.is_relayable, media.security.proto) == (inner, True, True, proto)
    assert media.lines == ("a=ptime:20",)
    assert serialize_sdp(session) == body
    assert secured_proto(inner, by_handshake=proto.startswith("UDP")) == proto


@pytest.mark.parametrize("proto", ["RTP/SAVPF", "UDP/TLS/RTP/SAVPF"])
def test_sound_crosses_without_a_profile_for_feedback_and_comes_out_with_it(proto):
    lines = [FINGERPRINT, "a=setup:actpass"] if proto.startswith("UDP") else [CRYPTO]
    body = sdp(f"m=audio 4000 {proto} 0", *lines)
    session = unsecured(parse_sdp(body))
    assert session.media[0].proto == "RTP/AVP"
    assert serialize_sdp(session) == body


def test_keys_beside_plain_rtp_leave_the_profile_as_it_is():
    body = sdp("m=audio 4000 RTP/AVP 0", CRYPTO)
    [media] = unsecured(parse_sdp(body)).media
    assert (media.proto, media.security.proto, len(media.security.crypto)) == ("RTP/AVP", "", 1)


def test_a_plain_description_is_the_very_same_stream():
    session = parse_sdp(sdp("m=audio 4000 RTP/AVP 0", "m=image 4002 udptl t38", "m=audio 4004 TCP/RTP/AVP 0"))
    assert all(one is other for one, other in zip(unsecured(session).media, session.media, strict=True))


def test_a_fingerprint_above_the_streams_counts_for_all_and_goes():
    session = unsecured(parse_sdp(sdp("m=audio 4000 UDP/TLS/RTP/SAVP 0", session=[FINGERPRINT, "a=setup:active"])))
    assert session.media[0].security.dtls.setup == "active"
    assert session.lines == ("t=0 0",)


def test_keys_of_other_kinds_are_nobodys():
    """MIKEY (RFC 4567), the key of RFC 2327, and what only looks like keys: unused, and they do not cross."""
    lines = ("k=base64:c2VjcmV0", "a=key-mgmt:mikey AQAFgM0X", "a=CRYPTO:1 X inline:Y", "a=crypto :1 X inline:Y")
    session = unsecured(parse_sdp(sdp("m=audio 4000 RTP/SAVP 0", *lines, session=["a=key-mgmt:mikey AQAF"])))
    assert session.media[0].lines == ()
    assert session.media[0].security.crypto == ()
    assert session.lines == ("t=0 0",)


def test_a_handshake_has_no_use_for_keys_in_the_description():
    [media] = unsecured(parse_sdp(sdp("m=audio 4000 UDP/TLS/RTP/SAVP 0", CRYPTO, FINGERPRINT))).media
    assert media.security.crypto == ()
    assert media.security.dtls is not None


# BOUND: CRYPTO_LINES_PER_MEDIA
def test_too_many_lines_refuse_the_description():
    lines = [CRYPTO.replace("crypto:1", f"crypto:{n}") for n in range(1, CRYPTO_LINES_PER_MEDIA + 2)]
    assert unsecured(parse_sdp(sdp("m=audio 4000 RTP/SAVP 0", *lines[:-1]))).media[0].security.crypto
    with pytest.raises(SdpError) as refused:
        unsecured(parse_sdp(sdp("m=audio 4000 RTP/SAVP 0", *lines)))
    assert refused.value.status == 488


def test_what_crosses_has_no_keys():
    session = unsecured(parse_sdp(sdp("m=audio 4000 RTP/SAVP 0", CRYPTO)))
    assert b"crypto" not in serialize_sdp(plain(session))
    assert KEY not in repr(session)


def test_of_a_refused_stream_only_the_name_of_its_protocol_is_left():
    session = unsecured(parse_sdp(sdp("m=audio 0 RTP/SAVP 0", CRYPTO)))
    assert b"m=audio 0 RTP/SAVP 0\r\n" in serialize_sdp(session)
    assert b"crypto" not in serialize_sdp(session)
