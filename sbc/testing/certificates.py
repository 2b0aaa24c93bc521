"""Certificates for tests: an authority, what it issues, and nine that nobody may take for a peer's.

Made with `cryptography`, never read from a file. Their dates are fixed and wide, so that no test depends on the day.
It opens no connection. Used by tests of policy, runtime, flows and interop.
"""

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from sbc.core.secret import Secret
from sbc.policy.protection import KeyPair

BEGINS: Final = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
ENDS: Final = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
LONG_AGO: Final = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
_CURVE: Final = ec.SECP256R1()

Key = ec.EllipticCurvePrivateKey


class Issued(Struct, frozen=True, eq=False):
    """A certificate with its key. `chain`: those between it and its authority, for whoever shows it."""

    certificate: x509.Certificate
    private: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> str:
        return "".join(_pem(one) for one in (self.certificate, *self.chain))

    @property
    def key(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        return self.private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as `sbc.policy.protection` has it: 64 lower-case hexadecimal digits."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def key_fingerprint(self) -> str:
        """SHA-256 of the public key (its SubjectPublicKeyInfo)."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return hashlib.sha256(self.certificate.public_key().public_bytes(serialization.Encoding.DER, form)).hexdigest()

    def pair(self, name: str = "test.pem") -> KeyPair:
        return KeyPair(name, self.pem, Secret(self.key))

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """NAME.pem and NAME.key in this folder."""
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        for path, text in zip(paths, (self.pem, self.key), strict=True):
            path.write_text(text)
        paths[1].chmod(0o600)
        return paths


class Authority:
    """One that issues certificates. `above`: the authority that has issued its own; None: it is a root."""

    def __init__(self, name: str = "Test CA", above: "Authority | None" = None) -> None:
        self.private = ec.generate_private_key(_CURVE)
        self._above = above
        self.certificate: x509.Certificate = _sign(
            _name(name),
            self.private,
            _name(name) if above is None else above.certificate.subject,
            self.private if above is None else above.private,
            (BEGINS, ENDS),
            [(x509.BasicConstraints(ca=True, path_length=None), True)],
        )

    @property
    def pem(self) -> str:
        return _pem(self.certificate)

    def issue(
        self,
        *dns: str,
        uris: Sequence[str] = (),
        ips: Sequence[str] = (),
        cn: str | None = None,
        dates: tuple[dt.datetime, dt.datetime] = (BEGINS, ENDS),
        private: Key | None = None,
        uses: Sequence[x509.ObjectIdentifier] = (),
    ) -> Issued:
        """`dns`, `uris`, `ips`: what its subjectAltName holds, in this order; without any it has none. `cn`: the common
        name; None: one that says nothing. `private`: another key than a new one. `uses`: its extended key usage.
        """
        private = private or ec.generate_private_key(_CURVE)
        names = _names(dns, uris, ips)
        extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=False, path_length=None), True)]
        if names:
            extensions.append((x509.SubjectAlternativeName(names), False))
        if uses:
            extensions.append((x509.ExtendedKeyUsage(uses), False))
        certificate = _sign(_name(cn or "no name"), private, self.certificate.subject, self.private, dates, extensions)
        return Issued(certificate, private, () if self._above is None else (self.certificate,))

    def crl(self, *revoked: Issued, begins: dt.datetime = BEGINS, ends: dt.datetime = ENDS) -> str:
        """A revocation list of this authority, in PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begins)
            .next_update(ends)
        )
        for one in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(BEGINS).build())
        return builder.sign(self.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def self_signed(*dns: str, uris: Sequence[str] = ()) -> Issued:
    """As a PBX makes one for itself."""
    private = ec.generate_private_key(_CURVE)
    name = _name(dns[0] if dns else "pbx")
    extensions: list[tuple[x509.ExtensionType, bool]] = [(x509.SubjectAlternativeName(_names(dns, uris, ())), False)]
    return Issued(_sign(name, private, name, private, (BEGINS, ENDS), extensions), private)


def bad_certificates(authority: Authority, domain: str) -> Mapping[str, Issued]:
    """Nine that prove no right to `domain`, by what is wrong with them. Of `revoked` nothing is wrong until its
    fingerprint stands in a policy's `revoked`, or in a list of `authority.crl`.
    """
    parent = domain.partition(".")[2]
    return {
        "wrong name": authority.issue(f"other.{parent}"),
        "address only": authority.issue(ips=["127.0.0.1", "::1"]),
        "common name only": authority.issue(cn=domain),
        "NUL in the name": authority.issue(f"{domain}\0.evil.example"),
        "wildcard": authority.issue(f"*.{parent}"),
        "expired": authority.issue(domain, dates=(BEGINS, LONG_AGO)),
        "other authority": Authority("Other CA").issue(domain),
        "self-signed": self_signed(domain),
        "revoked": authority.issue(domain),
    }


def _names(dns: Sequence[str], uris: Sequence[str], ips: Sequence[str]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in dns),
        *(x509.UniformResourceIdentifier(uri) for uri in uris),
        *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips),
    ]


def _sign(
    subject: x509.Name,
    private: Key,
    issuer: x509.Name,
    issuer_key: Key,
    dates: tuple[dt.datetime, dt.datetime],
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
