"""What `wire` says of keys: SRTP's own, those that a DTLS handshake makes, and how far each has come.

Values only; `wire` shows them under its own name, and there everybody takes them from. No `repr` shows a secret.
"""

from msgspec import Struct


class MasterKey(Struct, frozen=True):
    """Master key and salt in one piece, as `inline:` has them (RFC 4568 §6.1), and the MKI that goes with them, if any.

    Their lengths are the suite's: 16 and 14 octets, with AEAD 16 or 32 and 12.
    """

    key: bytes
    mki: bytes = b""

    def __repr__(self) -> str:
        return "MasterKey(***)"


class Crypto(Struct, frozen=True, tag=True):
    """SRTP and SRTCP of one end (RFC 3711, 7714). `suite`: its name in RFC 4568 §6.2 or RFC 7714 §14.2.

    `send` protects what we send to this end; what comes from it must fit one of `receive`, of which several are there
    while it is not known whether the far end has changed over to the last one. Empty: nothing from it is let in yet.
    A key that was there before, in whichever place, keeps its rollover counters and replay list.
    """

    suite: str
    send: MasterKey
    receive: tuple[MasterKey, ...] = ()


class Dtls(Struct, frozen=True, tag=True):
    """SRTP whose keys come of a DTLS handshake on the stream's own port (RFC 5764). `active`: we are the client.

    `fingerprints`: (hash in lower case, "AB:CD:…") of certificates, one of which the far end must show (RFC 8122 §5).
    `suites`: what we agree to, by the names of `Crypto.suite`. `keys`: what came of the handshake, once there was one
    (`Keyed`); it is said again after a worker's death and then needs no new handshake. `rtcp_keys`: the same for RTCP's
    own port, which has its own handshake (RFC 5764 §3), unless it is multiplexed. `media.client` fills in both, nobody
    else does. `association`: counts the handshakes that descriptions ask for; another one begins anew (RFC 8842 §5).
    """

    active: bool
    fingerprints: tuple[tuple[str, str], ...]
    suites: tuple[str, ...]
    association: int = 0
    keys: Crypto | None = None
    rtcp_keys: Crypto | None = None


class DtlsIdentity(Struct, frozen=True):
    """What we show in handshakes: PEM. Its fingerprint stands in our descriptions."""

    certificate: str
    key: str

    def __repr__(self) -> str:
        return "DtlsIdentity(***)"


class KeyState(Struct, frozen=True, array_like=True):
    """How far a source has come under one SRTP key. `owner`: a digest of the key. `source`: SSRC + 1, or 0 for the key
    itself; `index`, `rtcp_index`: the highest, -1 none; `shift`: of its sequence numbers, as we send them.
    """

    owner: int
    source: int
    index: int
    rtcp_index: int
    shift: int
