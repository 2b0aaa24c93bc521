"""What a description says of keys: a=crypto, fingerprints. What is read is written and read again alike; no key stays
in what may cross.
"""

from sbc.sdp.anchor import anchor
from sbc.sdp.crypto import read_crypto, write_crypto
from sbc.sdp.dtls import read_dtls, write_dtls
from sbc.sdp.model import Origin, SdpError
from sbc.sdp.parse import parse_sdp
from sbc.sdp.secured import plain, security_lines, unsecured
from sbc.sdp.serialize import serialize_sdp
from tests.fuzz import seeds

INSTRUMENTED = ("sbc.sdp.crypto", "sbc.sdp.dtls", "sbc.sdp.secured", "sbc.sdp.security")
ACCEPTS = (SdpError,)
CRYPTO = b"1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4"
SAVP = seeds.SDP.replace(b"RTP/AVP", b"RTP/SAVP", 1)
SEEDS = (
    CRYPTO + b"\n2 AEAD_AES_256_GCM inline:" + b"A" * 60 + b"== WSH=64\n",
    b"fingerprint sha-256 " + b":".join([b"4A"] * 32) + b"\nsetup actpass\ntls-id " + b"a" * 20,
    SAVP.replace(b"m=image", b"a=crypto:" + CRYPTO + b"\r\nm=image"),
    SAVP.replace(b"RTP/SAVP", b"UDP/TLS/RTP/SAVPF").replace(
        b"m=image", b"a=fingerprint:SHA-256 " + b":".join([b"4A"] * 32) + b"\r\na=setup:actpass\r\nm=image"
    ),
)
WORDS = (
    b"inline:", b"|2^31", b"|1:4", b"WSH=64", b"UNENCRYPTED_SRTP", b"AES_CM_128_HMAC_SHA1_32", b"AEAD_AES_128_GCM",
    b"a=crypto:1 ",
    b"a=fingerprint:sha-256 ", b"a=setup:active", b"a=tls-id:", b"k=clear:x", b"a=key-mgmt:mikey x", b"RTP/SAVP",
    b"UDP/TLS/RTP/SAVP",
)  # fmt: skip


def check(data):
    text = data.decode("latin-1")
    for line in read_crypto(text.split("\n")):
        assert read_crypto([write_crypto(line).partition(":")[2]]) == (line,)
    said = {}
    for line in text.split("\n"):
        name, _, value = line.partition(" ")
        said.setdefault(name, []).append(value)
    found = read_dtls(said, {})
    if found is not None:
        assert write_dtls(found)
    session = unsecured(parse_sdp(data))
    for media in session.media:
        if media.security is not None:
            security_lines(media.security)
    ports = [20000 + 2 * i for i in range(len(session.media))]
    crosses = serialize_sdp(anchor(plain(session), Origin(1, 1, "203.0.113.9"), "203.0.113.9", ports)).lower()
    for line in crosses.split(b"\r\n"):
        name = line.partition(b":")[0]
        assert name not in (b"a=crypto", b"a=fingerprint", b"a=key-mgmt", b"k=clear", b"k=base64", b"k=prompt"), line
