"""The certificate that the media workers show in DTLS handshakes (RFC 5763): made at the start, known by nobody before.

Whose it is, our session descriptions say, by its fingerprint; so it needs no name and no authority, and lives as long
as this process. It is given to the workers in `Configure` and its fingerprint to the engine. Used by `sbc.app`.
"""

import datetime as dt
import importlib.util
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sbc.core.errors import OperatorError
from sbc.core.ids import IdSource
from sbc.media import wire
from sbc.policy.engine import Policy

_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sbc")])
_BEFORE: Final = dt.timedelta(days=1)  # the peer's clock may be behind
_AFTER: Final = dt.timedelta(days=3650)


def need_dtls(policy: Policy) -> None:
    """Raises OperatorError where a peer's keys come of DTLS, and nothing here can do that."""
    if _can_shake_hands():
        return
    for peer in policy.peers.values():
        if peer.srtp.mode != "off" and "dtls" in peer.srtp.keying:
            raise OperatorError(
                f"{peer.where}: `keying: dtls` of {peer.name} needs pyOpenSSL, which is not installed; "
                "expected the extra `dtls`: pip install 'sbc[dtls]'"
            )


def make_identity(ids: IdSource, wall: float) -> tuple[wire.DtlsIdentity, tuple[str, str]] | None:
    """The identity, and (hash, fingerprint) as they stand in `a=fingerprint` (RFC 8122 §5). `wall`: seconds since 1970.

    None where pyOpenSSL is not installed, which the workers do handshakes with.
    """
    if not _can_shake_hands():
        return None
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.fromtimestamp(wall, dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(1 + ids.number(1 << 48))
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _AFTER)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")
    identity = wire.DtlsIdentity(certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"), pem)
    return identity, ("sha-256", certificate.fingerprint(hashes.SHA256()).hex(":").upper())


def _can_shake_hands() -> bool:
    return importlib.util.find_spec("OpenSSL") is not None
