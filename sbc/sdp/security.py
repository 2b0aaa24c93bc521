"""What a description says of a stream's encryption, as values: keys in the description (SDES, RFC 4568), or
fingerprints of the certificates of a DTLS handshake (RFC 5763, RFC 8122).

A stream with it is plain RTP everywhere else in this package: `secured` takes it off what comes, and writes it below
the m= line of what goes out. Nothing here decides anything, and no value shows a key.
"""

from typing import Final, Literal

from msgspec import Struct

Setup = Literal["active", "passive", "actpass", "holdconn", ""]
"""RFC 4145 §4; empty: not said."""

KEY_OCTETS: Final = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}
"""Suites that we know, and how long their master key and salt are together (RFC 4568 §6.2, RFC 7714 §12)."""


class InlineKey(Struct, frozen=True, array_like=True):
    """Master key and salt in one piece, and the master key identifier as it stands in packets; empty: none does."""

    key: bytes
    mki: bytes = b""

    def __repr__(self) -> str:
        return "InlineKey(***)"


class CryptoLine(Struct, frozen=True, array_like=True):
    """A usable `a=crypto`: what its writer sends with. `keys`: several have MKIs of one length."""

    tag: int
    suite: str
    keys: tuple[InlineKey, ...]


class DtlsSetup(Struct, frozen=True, array_like=True):
    """Who may shake hands, and who begins. `fingerprints`: (hash in lower case, "AB:CD:…"), all of one hash.

    `tls_id` (RFC 8842 §4): another one means another association; empty: not said.
    """

    fingerprints: tuple[tuple[str, str], ...]
    setup: Setup = ""
    tls_id: str = ""


class Security(Struct, frozen=True, array_like=True):
    """Of one m= line. `proto`: as that has it; empty: that of plain RTP, with keys beside it (RFC 8643).

    `crypto` and `dtls` are what can be used of it; neither: nothing can.
    """

    proto: str
    crypto: tuple[CryptoLine, ...] = ()
    dtls: DtlsSetup | None = None
