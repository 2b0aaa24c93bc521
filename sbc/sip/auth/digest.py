"""The arithmetic of digest authentication (RFC 7616 §3.4, RFC 8760 §2, RFC 3261 §22.4).

Text is hashed as the octets that it had on the wire (UTF-8, undecodable octets kept). It parses no header and keeps
nothing. Who uses it: `client` and `server`.
"""

import hashlib
from typing import Final, Literal

from msgspec import Struct

Algorithm = Literal["md5", "sha-256", "sha-512-256"]

# As they stand in a challenge (RFC 7616 §6.1).
TOKENS: Final[dict[Algorithm, str]] = {"md5": "MD5", "sha-256": "SHA-256", "sha-512-256": "SHA-512-256"}
_SESSION: Final = "-sess"


class Terms(Struct, frozen=True):
    """All that a response is made of, but for who and the password. `qop` "" is the form of RFC 2069.

    `session`: the variant `<algorithm>-sess`. `nc` and `cnonce` count only with a qop, `body` only with auth-int.
    """

    method: str
    uri: str
    realm: str
    nonce: str
    algorithm: Algorithm = "md5"
    session: bool = False
    qop: Literal["", "auth", "auth-int"] = ""
    nc: str = ""
    cnonce: str = ""
    body: bytes = b""


def algorithm_of(token: str | None) -> tuple[Algorithm, bool] | None:
    """The algorithm that a challenge or credentials name, and whether its session variant; None: we do not know it.

    "If this is not present, it is assumed to be "MD5"", RFC 7616 §3.3. AKA (RFC 3310) is not known: it has no password.
    """
    name = "md5" if token is None else token.lower()
    session = name.endswith(_SESSION)
    name = name.removesuffix(_SESSION)
    for algorithm in TOKENS:
        if name == algorithm:
            return algorithm, session
    return None


def digest_response(terms: Terms, username: str, password: str) -> str:
    """The value of `response`, lower-case hexadecimal. Three hashes; a session or auth-int costs one more each."""
    algorithm = terms.algorithm
    a1 = f"{username}:{terms.realm}:{password}"
    if terms.session:
        a1 = f"{_hash(algorithm, octets(a1))}:{terms.nonce}:{terms.cnonce}"
    a2 = f"{terms.method}:{terms.uri}"
    if terms.qop == "auth-int":
        a2 = f"{a2}:{_hash(algorithm, terms.body)}"
    between = f"{terms.nc}:{terms.cnonce}:{terms.qop}:" if terms.qop else ""
    ha1, ha2 = _hash(algorithm, octets(a1)), _hash(algorithm, octets(a2))
    return _hash(algorithm, octets(f"{ha1}:{terms.nonce}:{between}{ha2}"))


def octets(text: str) -> bytes:
    """What this text was on the wire: the parser keeps octets that are no UTF-8 as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _hash(algorithm: Algorithm, data: bytes) -> str:
    if algorithm == "md5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    if algorithm == "sha-256":
        return hashlib.sha256(data).hexdigest()
    return hashlib.new("sha512_256", data).hexdigest()
