"""Certificates, keys, authorities and revocation lists in PEM: read, and told what is wrong with them.

RFC 5280 for certificates, RFC 7468 for their text. Nothing is verified here that a connection verifies: only what the
operator gave, so that a mistake is met by `check`, with its place, and not by the first handshake. No message of this
module repeats a key. Pure; used by `tls`.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from sbc.policy.problems import UnfitError

_FEWEST_RSA_BITS: Final = 2048  # OpenSSL refuses shorter ones at the level that Debian sets
_FEWEST_CURVE_BITS: Final = 256
_WEAK_HASHES: Final = (hashes.MD5, hashes.SHA1)
_CLIENTS, _SERVERS = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_CRL: Final = re.compile(r"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_UNREADABLE: Final = (ValueError, UnsupportedAlgorithm)


def read_chain(text: str, what: str) -> tuple[x509.Certificate, ...]:
    """A certificate and those between it and its authority, in this order. Raises UnfitError."""
    chain = read_certificates(text, what)
    for below, above in itertools.pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (TypeError, InvalidSignature, *_UNREADABLE):
            raise UnfitError(
                f"{what}: `{_subject(below)}` is not signed by `{_subject(above)}`, which follows it",
                "expected the certificate, then each authority's between it and the root",
            ) from None
    _check_strength(chain, what)
    return chain


def read_certificates(text: str, what: str) -> tuple[x509.Certificate, ...]:
    """One at least, as they come. Raises UnfitError."""
    try:
        return tuple(x509.load_pem_x509_certificates(text.encode()))
    except _UNREADABLE:
        raise UnfitError(f"{what} holds no certificate in PEM", "expected -----BEGIN CERTIFICATE-----") from None


def check_crls(text: str, what: str, now: float | None) -> list[str]:
    """Raises UnfitError where it holds no list; else what is doubtful about those that it holds."""
    blocks = _CRL.findall(text)
    if not blocks:
        raise UnfitError(f"{what} holds no revocation list in PEM", "expected -----BEGIN X509 CRL-----")
    try:
        lists = [x509.load_pem_x509_crl(block.encode()) for block in blocks]
    except _UNREADABLE:
        raise UnfitError(f"{what} holds a revocation list that cannot be read", "expected one in PEM") from None
    return [
        f"the list of `{_name(one.issuer)}` in {what} should have been renewed on {one.next_update_utc:%Y-%m-%d}"
        for one in lists
        if now is not None and one.next_update_utc is not None and one.next_update_utc.timestamp() < now
    ]


def ends_of_lists(text: str) -> list[tuple[str, float, float]]:
    """Of each revocation list that says it: whose it is, when it was made, and when the next one has to be there, in
    seconds since 1970. `text`: PEM that `check_crls` has taken.
    """
    lists = [x509.load_pem_x509_crl(block.encode()) for block in _CRL.findall(text)]
    return [
        (_name(one.issuer), one.last_update_utc.timestamp(), one.next_update_utc.timestamp())
        for one in lists
        if one.next_update_utc is not None
    ]


def check_key(text: str, leaf: x509.Certificate, what: str) -> None:
    """Whether it is the key of this certificate. Raises UnfitError."""
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise UnfitError(f"{what} has a passphrase", "expected a key without; its file's mode keeps it") from None
    except _UNREADABLE:
        raise UnfitError(f"{what} holds no private key in PEM", "expected -----BEGIN PRIVATE KEY-----") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise UnfitError(
            f"{what} is not the key of `{_subject(leaf)}`", "expected that of the first certificate in the file"
        )


def doubts(chain: Sequence[x509.Certificate], now: float | None, *, as_client: bool) -> list[str]:
    """What stops nothing, but will be refused by the other side. `as_client`: it is a peer's own, shown above all where
    we connect; else it is an interface's, for whoever connects to us.
    """
    found = []
    for one in chain:
        if now is not None and one.not_valid_after_utc.timestamp() < now:
            found.append(f"`{_subject(one)}` expired on {one.not_valid_after_utc:%Y-%m-%d}")
        elif now is not None and one.not_valid_before_utc.timestamp() > now:
            found.append(f"`{_subject(one)}` is valid from {one.not_valid_before_utc:%Y-%m-%d} only")
    use, users = (_CLIENTS, "clients") if as_client else (_SERVERS, "servers")
    if not _is_for(use, chain[0]):
        found.append(f"`{_subject(chain[0])}` is not for TLS {users} (its extended key usage)")
    return found


def described(chain: str) -> str:
    """For people: whose it is, and until when. `chain`: PEM that `read_chain` has taken."""
    leaf = x509.load_pem_x509_certificate(chain.encode())
    return f"{_subject(leaf)}, until {leaf.not_valid_after_utc:%Y-%m-%d}"


def _is_for(use: x509.ObjectIdentifier, leaf: x509.Certificate) -> bool:
    """RFC 5280 §4.2.1.12: where there is no extended key usage, it may serve for everything."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return True
    return use in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage


def _check_strength(chain: Sequence[x509.Certificate], what: str) -> None:
    """OpenSSL loads no weaker ones, and says so less clearly."""
    for one in chain:
        weakness = _weakness(one, is_root=one.issuer == one.subject and len(chain) > 1)
        if weakness:
            raise UnfitError(f"{what}: `{_subject(one)}` {weakness}", "expected RSA of 2048 bits, or a curve of 256")


def _weakness(certificate: x509.Certificate, *, is_root: bool) -> str:
    try:
        key = certificate.public_key()
    except _UNREADABLE:
        return "has a key that we cannot read"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _FEWEST_RSA_BITS:
        return f"has a weak key: RSA of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < _FEWEST_CURVE_BITS:
        return f"has a weak key: a curve of {key.curve.key_size} bits"
    if not isinstance(
        key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    ):
        return "has a key of a kind that TLS does not use"
    try:
        signed = certificate.signature_hash_algorithm
    except _UNREADABLE:
        return "is signed in a way that we cannot read"
    if not is_root and isinstance(signed, _WEAK_HASHES):
        return f"has a weak signature: {signed.name}"
    return ""


def _subject(certificate: x509.Certificate) -> str:
    """For people: what it names first."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
        if found:
            return _shown(found[0])
    except (x509.ExtensionNotFound, ValueError):
        pass
    return _name(certificate.subject)


def _name(name: x509.Name) -> str:
    return _shown(name.rfc4514_string() or "a certificate without a name")


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:100]
