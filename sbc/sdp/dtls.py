"""Keys by a DTLS handshake in a description: fingerprints and who begins (RFC 5763 §5, RFC 8122 §5, RFC 4145 §4).

They may stand above the m= lines for all of them. Nothing here judges a certificate.
"""

import re
from collections.abc import Iterable
from typing import Final, get_args

from sbc.core.limits import FINGERPRINTS_PER_MEDIA
from sbc.sdp.security import DtlsSetup, Setup

# In the order of preference. MD2 and MD5 "MUST NOT" be used (RFC 8122 §5), and SHA-1 need not be.
_OCTETS: Final = {"sha-512": 64, "sha-384": 48, "sha-256": 32}
_FINGERPRINT: Final = re.compile(r"([A-Za-z0-9-]{1,20})[ \t]+([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)", re.ASCII)
_TLS_ID: Final = re.compile(r"[A-Za-z0-9+/_-]{20,255}", re.ASCII)
_SETUPS: Final = frozenset(get_args(Setup)) - {""}
NAMES: Final = frozenset({"fingerprint", "setup", "tls-id", "connection"})

_Said = dict[str, list[str]]


def read_dtls(of_media: _Said, of_session: _Said) -> DtlsSetup | None:
    """Values by the attribute's name. None where no fingerprint is of a hash that we know, or one is malformed.

    "An endpoint MUST select the set of fingerprints that use its most preferred hash function" (RFC 8122 §5.1).
    """
    fingerprints = _fingerprints(of_media.get("fingerprint") or of_session.get("fingerprint") or ())
    setup = _only(of_media.get("setup") or of_session.get("setup") or [""])
    tls_id = _only(of_media.get("tls-id") or of_session.get("tls-id") or [""])
    if not fingerprints or (setup and setup not in _SETUPS):
        return None
    if tls_id is None or (tls_id and _TLS_ID.fullmatch(tls_id) is None):
        return None
    return DtlsSetup(fingerprints, _setup(setup), tls_id) if setup is not None else None


def write_dtls(dtls: DtlsSetup) -> list[str]:
    """Whole lines of SDP, with what `read_dtls` reads."""
    lines = [f"a=fingerprint:{kind} {value}" for kind, value in dtls.fingerprints]
    if dtls.setup:
        lines.append(f"a=setup:{dtls.setup}")
    if dtls.tls_id:
        lines.append(f"a=tls-id:{dtls.tls_id}")
    return lines


def _only(values: list[str]) -> str | None:
    """None: it is said twice."""
    return values[0] if len(values) == 1 else None


def _setup(text: str | None) -> Setup:
    for setup in get_args(Setup):
        if setup == text:
            return setup  # type: ignore[no-any-return]
    return ""


def _fingerprints(values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, list[tuple[str, str]]] = {}
    for n, value in enumerate(values):
        match = _FINGERPRINT.fullmatch(value)
        if match is None or n >= FINGERPRINTS_PER_MEDIA:
            return ()
        kind, digits = match[1].lower(), match[2].upper()
        if kind in _OCTETS and digits.count(":") + 1 == _OCTETS[kind]:
            found.setdefault(kind, []).append((kind, digits))
    for kind in _OCTETS:
        if kind in found:
            return tuple(dict.fromkeys(found[kind]))
    return ()
