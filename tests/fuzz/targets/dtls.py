"""Datagrams of a DTLS handshake: an error for people at most, and no keys for anybody who has not the certificate.

Each input is a list of datagrams: two octets of length, then the octets. The first octet says who begins.
"""

from sbc.media import wire
from sbc.media.worker.dtls import Handshake, Identity
from sbc.testing.certificates import self_signed

INSTRUMENTED = ("sbc.media.worker.dtls",)
ACCEPTS = ()
_ISSUED = self_signed("dtls.example")
IDENTITY = Identity(wire.DtlsIdentity(_ISSUED.pem, _ISSUED.key))


def _dtls(*, active):
    return wire.Dtls(
        active=active, fingerprints=(("sha-256", ":".join(["4A"] * 32)),), suites=("AES_CM_128_HMAC_SHA1_80",)
    )


_HELLO = b"".join(len(one).to_bytes(2) + one for one in Handshake(IDENTITY, _dtls(active=True)).begin())
SEEDS = (b"\0" + _HELLO, b"\1" + _HELLO, b"\0" + _HELLO + _HELLO, b"\1\0\x0f\x15\xfe\xfd" + bytes(10) + b"\2\x02\x28")
WORDS = (b"\x16\xfe\xfd", b"\x16\xfe\xff", b"\x14\xfe\xfd", b"\x15\xfe\xfd", b"\x17\xfe\xfd", b"\xff\xff")


def check(data):
    if not data:
        return
    one = Handshake(IDENTITY, _dtls(active=bool(data[0] & 1)))
    one.begin()
    at = 1
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2])
        sent = one.receive(data[at + 2 : at + 2 + size])
        at += 2 + size
        assert all(len(datagram) <= 1_500 for datagram in sent)
    one.wait()
    one.tick()
    assert one.keys is None
