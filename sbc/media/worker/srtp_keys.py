"""The session keys that a master key gives (RFC 3711 §4.3).

The key derivation rate is 0: session keys last as long as their master key, "in this case the key derivation is applied
exactly once" (§4.3.1). Used by `srtp`.
"""

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from msgspec import Struct

from sbc.media.worker.srtp_suite import Suite

# Labels, RFC 3711 §4.3.1 and §4.3.2: encryption key, authentication key, salt. SRTCP's are 3 higher.
_ENCRYPTION: Final = 0
_AUTHENTICATION: Final = 1
_SALT: Final = 2
_SRTCP: Final = 3

_AUTHENTICATION_OCTETS: Final = 20  # HMAC-SHA1, RFC 3711 §5.2
_CM_SALT_OCTETS: Final = 14


class SessionKeys(Struct, frozen=True):
    """What one protocol, SRTP or SRTCP, works with. `authentication` is empty with AEAD."""

    encryption: bytes
    authentication: bytes
    salt: bytes

    def __repr__(self) -> str:
        return "SessionKeys(***)"


def session_keys(suite: Suite, master: bytes, *, is_rtcp: bool) -> SessionKeys:
    """`master`: key and salt in one piece. Raises ValueError where its length is not the suite's."""
    if len(master) != suite.key + suite.salt:
        raise ValueError("a master key of another length")
    key, salt = master[: suite.key], master[suite.key :]
    first = _SRTCP if is_rtcp else 0
    return SessionKeys(
        derived(key, salt, first + _ENCRYPTION, suite.key),
        b"" if suite.is_aead else derived(key, salt, first + _AUTHENTICATION, _AUTHENTICATION_OCTETS),
        derived(key, salt, first + _SALT, suite.salt),
    )


def derived(key: bytes, salt: bytes, label: int, octets: int) -> bytes:
    """AES-CM as pseudo-random function, RFC 3711 §4.3.3; with a key of 32 octets RFC 6188 §3.

    A salt of 96 bits has 16 zero bits behind it (RFC 7714 §11, as everybody reads it).
    """
    # x = (label || index DIV kdr) XOR salt; the 48 bits of the index, and 16 of the block counter, are zero
    x = (int.from_bytes(salt.ljust(_CM_SALT_OCTETS, b"\0")) ^ label << 48) << 16
    stream = Cipher(algorithms.AES(key), modes.CTR(x.to_bytes(16))).encryptor()
    return stream.update(bytes(octets))
