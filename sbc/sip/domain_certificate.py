"""Which SIP domains a certificate speaks for, and whether it is the one that was meant (RFC 5922 §7.1, §7.2).

Only what the certificate says of itself: that an authority has signed it, and that it is still good, TLS finds out.
Names are compared whole and as DNS names, without regard to case; no wildcard matches anything but itself, and neither
the common name nor an address is an identity. Pure. Used by `runtime.tls_proof`.
"""

import hashlib
import hmac
import re
import warnings
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Struct

_URI: Final = re.compile(r"sip:([^;?/:]++)(?::\d{1,5})?(?:[;?/].*+)?", re.IGNORECASE | re.DOTALL)
# RFC 1034 §3.5; the underscore because it is used. What has anything else, a NUL above all, is no name of a host.
_HOST: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,126}")
_HARMFUL: Final = re.compile(r"[^ -~]|[\"\\<>,;=+@]")
_HOST_CHARACTERS: Final = 253
_SHOWN_NAMES: Final = 10
_SHOWN_CHARACTERS: Final = 60


class DomainCertificate(Struct, frozen=True):
    """`domains`: lower case. `names`: all that its subjectAltName says, for people. Fingerprints are SHA-256 in
    lower-case hexadecimal digits, of the certificate and of its public key. Times are seconds since 1970. `serial`: by
    which its issuer revokes it, ISSUER/SERIAL, the issuer as `issuer_mark` has it.
    """

    domains: tuple[str, ...]
    names: tuple[str, ...]
    fingerprint: str
    key_fingerprint: str
    begins: float
    ends: float
    serial: str = ""

    def speaks_for(self, domains: Iterable[str]) -> bool:
        """Whether it holds one of these. §7.2: in full, no suffixes, no wildcards."""
        return any(domain.lower() in self.domains for domain in domains)

    def is_one_of(self, fingerprints: Iterable[str]) -> bool:
        """By itself or by its public key. In a time that tells nothing of how much was right."""
        found = False
        for one in fingerprints:
            wanted = one.encode("ascii", "replace")
            found |= hmac.compare_digest(self.fingerprint.encode(), wanted)
            found |= hmac.compare_digest(self.key_fingerprint.encode(), wanted)
        return found

    def said(self) -> str:
        """Its names, for people: `[a.example, b.example]`. What could do harm in a log or a table is a `?`."""
        shown = [_HARMFUL.sub("?", name[:_SHOWN_CHARACTERS]) for name in self.names[:_SHOWN_NAMES]]
        more = len(self.names) - len(shown)
        return f"[{', '.join([*shown, *([f'{more} more'] if more else [])])}]"


def read_certificate(der: bytes) -> DomainCertificate:
    """Raises ValueError where it cannot be read. One whose subjectAltName cannot be read has no names."""
    try:
        with warnings.catch_warnings():  # what is odd about it is no news of ours
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(der)
        begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
    domains, names = _names(certificate)
    return DomainCertificate(
        domains, names, hashlib.sha256(der).hexdigest(), _of_key(certificate), begins, ends, _serial(certificate)
    )


def issuer_mark(issuer: x509.Name) -> str:
    """Equal for equal names."""
    return "issuer " + hashlib.sha256(issuer.public_bytes()).hexdigest()


def _serial(certificate: x509.Certificate) -> str:
    try:
        return f"{issuer_mark(certificate.issuer)}/{certificate.serial_number:x}"
    except ValueError:
        return ""  # an issuer that cannot be read: no list is its


def _of_key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return ""  # of a kind that we do not know: no pin of a key is this one
    return hashlib.sha256(key).hexdigest()


def _names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """SIP domains, and all names as text. §7.1: of dNSNames only where no URI of the scheme sip is an identity."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError, UnsupportedAlgorithm):
        return (), ()
    of_uris: dict[str, None] = {}
    of_dns: dict[str, None] = {}
    for name in found:
        if isinstance(name, x509.UniformResourceIdentifier):
            uri = _URI.fullmatch(name.value)
            if uri is not None and "@" not in name.value and _is_host(uri[1]):
                of_uris[uri[1].lower()] = None
        elif isinstance(name, x509.DNSName) and _is_host(name.value):
            of_dns[name.value.lower()] = None
    return tuple(of_uris or of_dns), tuple(str(name.value) for name in found)


def _is_host(text: str) -> bool:
    """A name, and no address in the place of one."""
    whole = len(text) <= _HOST_CHARACTERS and _HOST.fullmatch(text) is not None
    return whole and not text.rpartition(".")[2].isdigit()
