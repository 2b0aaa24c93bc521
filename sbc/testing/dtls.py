"""A far end that keys its SRTP by DTLS, in memory: its certificate, its handshakes, and then `SecuredFar` (RFC 5764).

Whoever drives it passes datagrams both ways. Needs pyOpenSSL, the extra `dtls`. For tests.
"""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sbc.media import wire
from sbc.media.worker.dtls import Handshake, Identity
from sbc.testing.srtp import CM_80, SecuredFar

_BORN = datetime(2026, 1, 1, tzinfo=UTC)


def dtls_identity(name: str = "far") -> wire.DtlsIdentity:
    """A new self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    certificate = (
        made.not_valid_before(_BORN).not_valid_after(_BORN + timedelta(days=36_500)).sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    octets = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return wire.DtlsIdentity(certificate.public_bytes(pem).decode(), octets.decode())


def fingerprint(identity: wire.DtlsIdentity, kind: str = "sha-256") -> tuple[str, str]:
    """As `wire.Dtls.fingerprints` has it."""
    algorithm = {"sha-1": hashes.SHA1(), "sha-256": hashes.SHA256(), "sha-512": hashes.SHA512()}[kind]  # noqa: S303
    certificate = x509.load_pem_x509_certificate(identity.certificate.encode())
    return kind, certificate.fingerprint(algorithm).hex(":").upper()


class DtlsFar:
    """One far end of one port. `ours`: the SBC's identity, whose fingerprint it has been told."""

    def __init__(self, ours: wire.DtlsIdentity, *, active: bool, suites: tuple[str, ...] = (CM_80,)) -> None:
        self.identity = dtls_identity()
        self._ours = ours
        self.active = active
        self.suites = suites
        self.begin_anew()

    def begin_anew(self) -> None:
        """A new association, with the same certificate."""
        asked = wire.Dtls(self.active, (fingerprint(self._ours),), self.suites)
        self.handshake = Handshake(Identity(self.identity), asked)
        self._far: SecuredFar | None = None

    def dtls(self, association: int = 0) -> wire.Dtls:
        """What our end of it is given."""
        return wire.Dtls(not self.active, (fingerprint(self.identity),), self.suites, association)

    def first(self) -> list[bytes]:
        """Its hello, where it has to begin."""
        return self.handshake.begin() if self.active else []

    def receive(self, datagram: bytes) -> list[bytes]:
        return self.handshake.receive(datagram)

    @property
    def far(self) -> SecuredFar:
        """When the handshake has ended. Raises AssertionError before."""
        keys = self.handshake.keys
        assert keys is not None, self.handshake.error
        if self._far is None:
            self._far = SecuredFar(keys.suite, keys.send, keys.receive[0])
        return self._far
