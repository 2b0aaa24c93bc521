"""The certificate that the media workers show in DTLS handshakes (RFC 5763): made once, and kept for the calls.

Whose it is, our session descriptions say, by its fingerprint; so it needs no name and no authority. Calls outlive this
process, and what they were told stays true: another certificate in the middle of a session is another association (RFC
8842 §3.1). So it is kept beside their journal, readable by us alone, and gives way to a fresh one when the program ends
without a call and it has served for KEPT_DAYS. It is given to the workers in `Configure` and its fingerprint to the
engine. Used by `sbc.app`.
"""

import contextlib
import datetime as dt
import importlib.util
import os
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sbc.core.errors import OperatorError
from sbc.core.ids import IdSource
from sbc.media import wire
from sbc.policy.engine import Policy

log = structlog.get_logger("media")

_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sbc")])
FILE: Final = "dtls.pem"
KEPT_DAYS: Final = 30
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


def keep_identity(data_dir: Path, ids: IdSource, wall: float) -> tuple[wire.DtlsIdentity, tuple[str, str]] | None:
    """The one that is kept there, or a fresh one, which is kept from now on: as `make_identity`. It never stops the
    program: one that cannot be kept serves until the end.
    """
    if not _can_shake_hands():
        return None
    path = data_dir / FILE
    kept = _read(path, wall)
    if kept is not None:
        return kept
    made = make_identity(ids, wall)
    if made is not None:
        try:
            _write(path, made[0])
        except OSError as error:
            log.warning("media.identity_not_kept", path=str(path), reason=(error.strerror or str(error)).lower())
    return made


def retire_identity(data_dir: Path, wall: float) -> None:
    """No call needs it: where it has served long enough, the next start makes another one."""
    path = data_dir / FILE
    kept = _read(path, wall) if path.exists() else None
    if kept is None:
        return
    certificate = x509.load_pem_x509_certificate(kept[0].certificate.encode("ascii"))
    served = dt.datetime.fromtimestamp(wall, dt.UTC) - (certificate.not_valid_before_utc + _BEFORE)
    if served.days >= KEPT_DAYS:
        with contextlib.suppress(OSError):
            path.unlink()


def _read(path: Path, wall: float) -> tuple[wire.DtlsIdentity, tuple[str, str]] | None:
    """None: there is none, or none that is good."""
    try:
        text = path.read_text("ascii")
        certificate = x509.load_pem_x509_certificate(text.encode("ascii"))
        key = serialization.load_pem_private_key(text.encode("ascii"), None)
        now = dt.datetime.fromtimestamp(wall, dt.UTC)
        if key.public_key() != certificate.public_key():
            raise ValueError("the key is not the certificate's")  # noqa: TRY301 - as whatever else is wrong with it
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise ValueError("the certificate is out of date")  # noqa: TRY301
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        log.warning("media.identity_not_read", path=str(path), reason=reason.lower())
        return None
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode("ascii")
    return _shown(certificate, pem)


def _write(path: Path, identity: wire.DtlsIdentity) -> None:
    """Whole or not at all, for nobody but us. Raises OSError."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, made with its mode
        file.write(identity.certificate + identity.key)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
    return _shown(certificate, pem)


def _shown(certificate: x509.Certificate, pem: str) -> tuple[wire.DtlsIdentity, tuple[str, str]]:
    identity = wire.DtlsIdentity(certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"), pem)
    return identity, ("sha-256", certificate.fingerprint(hashes.SHA256()).hex(":").upper())


def _can_shake_hands() -> bool:
    return importlib.util.find_spec("OpenSSL") is not None
