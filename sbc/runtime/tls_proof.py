"""What the other side of a TLS connection has shown, and which profiles of the policy it satisfies (RFC 5922 §7).

OpenSSL has verified the chain where there is one; here it is asked whether it leads to the authorities of this very
profile, whether the names or the fingerprint are right, and whether the policy has revoked it. Pure, but that it takes
the words of OpenSSL. Used by `tls_gate`.
"""

import ssl
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from sbc.policy.protection import KeyPair, TlsProfile, Trust
from sbc.sip.domain_certificate import DomainCertificate

Authorities = Callable[[Trust], frozenset[str]]

# X509_V_ERR_… of openssl/x509_vfy.h
_NOT_YET, _EXPIRED, _LIST_MISSING, _LIST_EXPIRED, _SELF_SIGNED, _REVOKED, _PURPOSE = 9, 10, 3, 12, 18, 23, 26
_UNKNOWN: Final = frozenset({2, 19, 20, 21, 27})
_VERIFIED_WORDS: Final = {
    _NOT_YET: "its certificate is not valid yet",
    _EXPIRED: "its certificate has expired, or one of those between it and the authority",
    _LIST_MISSING: "there is no revocation list of the authority that signed its certificate",
    _LIST_EXPIRED: "the revocation list of the authority that signed its certificate has expired",
    _SELF_SIGNED: "its certificate is signed by itself and not pinned",
    _REVOKED: "its certificate is revoked",
    _PURPOSE: "its certificate is not for this end of a connection: its extended key usage has no client "
    "authentication, where it connects (`identity: address` does not ask for it), or no server authentication, "
    "where we do",
}
_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has shown no certificate",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "HTTP_REQUEST": "it does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "it speaks no version of TLS that is new enough",
    "VERSION_TOO_LOW": "it speaks no version of TLS that is new enough",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it does not speak our versions of TLS",
    "NO_SHARED_CIPHER": "it has no cipher in common with us",
    "NO_SHARED_SIGNATURE_ALGORITHMS": "it does not take the kind of our certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it has refused the handshake",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority that signed our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it says that our certificate is revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refuses our certificate",
    "TLSV1_ALERT_ACCESS_DENIED": "it refuses our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours",
    "TLSV1_UNRECOGNIZED_NAME": "it does not know the name that we asked for",
}


class Shown(Struct, frozen=True):
    """`certificate` None: no certificate was shown. `chain`: fingerprints of what was verified, and of its keys, and
    `DomainCertificate.serial`, from the certificate up to an authority; empty where nothing was. `lists`: that its
    revocation was looked up in, in PEM. `version`: "1.2" or "1.3". `is_server`: we have connected to it, and have shown
    `ours`.
    """

    version: str
    certificate: DomainCertificate | None = None
    chain: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    is_server: bool = False
    ours: KeyPair | None = None


def refusal(profile: TlsProfile, shown: Shown, authorities: Authorities, wall: float) -> str:
    """Why this profile is not proved, for people; "": it is. `wall`: seconds since 1970."""
    trust, certificate = profile.trust, shown.certificate
    if shown.version < trust.minimum:
        return f"it speaks TLS {shown.version}, and {trust.minimum} is the oldest that is allowed"
    if certificate is None:
        return "it has shown no certificate"
    if is_revoked(profile, shown):
        return "its certificate is revoked"
    if profile.pins:
        # No names and no authorities: the operator has looked at this very certificate.
        pinned = certificate.is_one_of(profile.pins)
        return "" if pinned else f"its certificate, sha256:{certificate.fingerprint}, is not the pinned one"
    if shown.chain.isdisjoint(authorities(trust)):
        return "its certificate is signed by an authority that is not believed"
    if trust.crl and trust.crl not in shown.lists:
        return (
            "whether its certificate is revoked could not be looked up: others at its address have no revocation list"
        )
    if not certificate.begins <= wall <= certificate.ends:
        return _VERIFIED_WORDS[_EXPIRED]
    if not profile.domains:
        return "the policy says neither a domain that its certificate must hold, nor its fingerprint"
    if not certificate.speaks_for(profile.domains):
        return f"its certificate is for {certificate.said()}, not for {' or '.join(profile.domains)}"
    return ""


def knows_us_for(profile: TlsProfile, shown: Shown) -> bool:
    """Whether a server that we have connected to was shown the certificate of ours that this profile has. By another
    one it may take us for another of its customers, whoever it has proved to be itself.
    """
    return not shown.is_server or shown.ours == (profile.pairs[0] if profile.pairs else None)


def is_revoked(profile: TlsProfile, shown: Shown) -> bool:
    """By the policy; what lists say, OpenSSL has looked up. An authority between may be meant as well."""
    revoked = profile.trust.revoked
    if shown.certificate is None or not revoked:
        return False
    return shown.certificate.is_one_of(revoked) or not shown.chain.isdisjoint(revoked)


def can_judge(profile: TlsProfile, authorities: Authorities) -> bool:
    """Whether a client is to be asked for a certificate because of this profile. A pinned one can be verified only
    where it stands among the authorities: `ssl` lets nobody look at a certificate that leads nowhere.
    """
    if profile.identity == "address":
        return False
    if profile.pins and profile.trust.authorities:
        return profile.identity == "certificate" or not authorities(profile.trust).isdisjoint(profile.pins)
    if profile.pins:
        return profile.identity == "certificate"
    return bool(profile.domains) or profile.identity == "certificate"


def words(error: ssl.SSLError) -> str:
    """Why a handshake, or a connection, has failed, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNKNOWN:
            return "its certificate is signed by an authority that is not believed"
        said = str(error.verify_message or "").strip().lower()
        return _VERIFIED_WORDS.get(error.verify_code, f"its certificate is refused: {said}")
    if isinstance(error, ssl.SSLEOFError):
        return "it has closed the connection in the handshake"
    reason = error.reason or ""
    return _REASONS.get(reason, reason.lower().replace("_", " ") or "TLS has failed")
