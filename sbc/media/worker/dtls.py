"""One DTLS handshake for SRTP keys, by OpenSSL over memory (RFC 5763, 5764): datagrams in, datagrams out, keys at last.

The far end's certificate is judged by its fingerprint alone (RFC 8122 §5), before anything of the handshake is used.
Nothing is resumed, nothing renegotiated, and no data is read. When to send again is OpenSSL's to say, by its own clock:
it has no other; `wait` tells how long, and whoever asks in time has it done. Used by `association`.
Needs pyOpenSSL, the extra `dtls`; nothing else of the worker does.
"""

import contextlib
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import SSL

from sbc.core.limits import DTLS_STRANGERS_PER_SECOND
from sbc.media import wire
from sbc.media.worker.peak import Peak
from sbc.media.worker.srtp_suite import SUITES

DATAGRAM_OCTETS: Final = 1_200  # less than any path is known to break

_DTLS_1_2: Final = 0xFEFD
_NO_RENEGOTIATION: Final = 0x40000000  # SSL_OP_NO_RENEGOTIATION
_LABEL: Final = b"EXTRACTOR-dtls_srtp"  # RFC 5764 §4.2
_READ: Final = 65_536
# No DHE: its group is the server's choice, and one of 8192 bits keeps all calls waiting for 30 ms.
_CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES"
# RFC 5764 §4.1.2, 7714 §14.2, as OpenSSL names them
_PROFILES: Final = {
    "AES_CM_128_HMAC_SHA1_80": "SRTP_AES128_CM_SHA1_80",
    "AES_CM_128_HMAC_SHA1_32": "SRTP_AES128_CM_SHA1_32",
    "AEAD_AES_128_GCM": "SRTP_AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM": "SRTP_AEAD_AES_256_GCM",
}
# The strongest first; MD5 and MD2 are none (RFC 8122 §5).
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha-512": hashes.SHA512(),
    "sha-384": hashes.SHA384(),
    "sha-256": hashes.SHA256(),
    "sha-224": hashes.SHA224(),
    "sha-1": hashes.SHA1(),  # noqa: S303 - to find another certificate with this one's hash is out of reach still
}


class Identity:
    """What we show. Raises ValueError where certificate and key are none, or do not belong together."""

    __slots__ = ("_certificate", "_contexts", "_key", "_strangers", "given", "strangers")

    def __init__(self, given: wire.DtlsIdentity) -> None:
        self.given = given
        self._certificate = x509.load_pem_x509_certificate(given.certificate.encode())
        self._key = serialization.load_pem_private_key(given.key.encode(), None)
        self._contexts: dict[tuple[str, ...], SSL.Context] = {}
        self._strangers = (0.0, 0)
        self.strangers = Peak()  # that wanted a handshake in one second
        self.context(tuple(_PROFILES))

    def may_meet(self, now: float) -> bool:
        """Whether one more handshake may begin that costs, on whatever port, more than it is likely to bring."""
        since, begun = self._strangers
        since, begun = (now, 1) if now - since >= 1 else (since, begun + 1)
        self._strangers = since, begun
        self.strangers.note(begun)
        return begun <= DTLS_STRANGERS_PER_SECOND

    def context(self, suites: tuple[str, ...]) -> SSL.Context:
        context = self._contexts.get(suites)
        if context is None:
            try:
                context = self._contexts[suites] = self._made(suites)
            except (SSL.Error, TypeError) as error:
                raise ValueError("certificate and key of our DTLS identity cannot be used") from error
        return context

    def _made(self, suites: tuple[str, ...]) -> SSL.Context:
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | _NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_cipher_list(_CIPHERS)
        context.set_tlsext_use_srtp(":".join(_PROFILES[suite] for suite in suites).encode())
        context.use_certificate(self._certificate)
        context.use_privatekey(self._key)  # type: ignore[arg-type]
        context.check_privatekey()
        # The certificate is anybody's: `Handshake` looks at its fingerprint.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        return context


class Handshake:
    """`keys`: what came of it; `error`: why nothing will, for people. Both are empty while it goes on."""

    __slots__ = ("_dtls", "_link", "error", "keys")

    def __init__(self, identity: Identity, dtls: wire.Dtls) -> None:
        """Raises ValueError where our identity cannot be used."""
        self._dtls = dtls
        self._link = SSL.Connection(identity.context(dtls.suites), None)
        self._link.set_ciphertext_mtu(DATAGRAM_OCTETS)
        if dtls.active:
            self._link.set_connect_state()
        else:
            self._link.set_accept_state()
        self.keys: wire.Crypto | None = None
        self.error = ""

    def begin(self) -> list[bytes]:
        """What is to be sent first; nothing where the far end has to begin."""
        return self._go_on()

    def receive(self, datagram: bytes) -> list[bytes]:
        """What there is to send when this has come."""
        with contextlib.suppress(SSL.Error):
            self._link.bio_write(datagram)
        return self._go_on()

    def wait(self) -> float | None:
        """Seconds until `tick` has something to send again; None: it has not."""
        return None if self.error else self._link.DTLSv1_get_timeout()

    def tick(self) -> list[bytes]:
        try:
            self._link.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._fail(_words(error))
        return self._written()

    def _go_on(self) -> list[bytes]:
        if not self.error:
            try:
                self._read() if self.keys is not None else self._shake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                self._fail(_words(error))
            except ValueError:  # a certificate that cannot be read
                self._fail("its certificate is none")
        return self._written()

    def _shake(self) -> None:
        self._link.do_handshake()
        self._judge()

    def _read(self) -> None:
        """A far end that has not heard our last words says its own again. Data and farewells mean nothing."""
        self._link.recv(_READ)

    def _written(self) -> list[bytes]:
        """Memory keeps no borders of datagrams: records are put together again, as many as one datagram holds."""
        octets = b""
        with contextlib.suppress(SSL.Error):
            while True:
                octets += self._link.bio_read(_READ)
        return datagrams(octets)

    def _fail(self, why: str) -> None:
        if self.keys is None:
            self.error = self.error or why

    def _judge(self) -> None:
        certificate = self._link.get_peer_certificate(as_cryptography=True)
        if certificate is None or not _is_one_of(certificate, self._dtls.fingerprints):
            return self._fail("its certificate is another than its description says")
        name = self._link.get_selected_srtp_profile().decode()
        suite = next((suite for suite, profile in _PROFILES.items() if profile == name), "")
        if suite not in self._dtls.suites:
            return self._fail("it agreed to no SRTP")
        self.keys = self._exported(suite)
        return None

    def _exported(self, suite: str) -> wire.Crypto:
        """ "client_write_SRTP_master_key, server…, client_write_SRTP_master_salt, server…" RFC 5764 §4.2."""
        one = SUITES[suite]
        octets = self._link.export_keying_material(_LABEL, 2 * (one.key + one.salt))
        salts = octets[2 * one.key :]
        client = wire.MasterKey(octets[: one.key] + salts[: one.salt])
        server = wire.MasterKey(octets[one.key : 2 * one.key] + salts[one.salt :])
        ours, theirs = (client, server) if self._dtls.active else (server, client)
        return wire.Crypto(suite, ours, (theirs,))


def datagrams(octets: bytes) -> list[bytes]:
    """Whole DTLS records (RFC 6347 §4.1), some in each datagram."""
    found: list[bytes] = []
    at = 0
    while at + 13 <= len(octets):
        end = at + 13 + int.from_bytes(octets[at + 11 : at + 13])
        record = octets[at:end]
        if found and len(found[-1]) + len(record) <= DATAGRAM_OCTETS:
            found[-1] += record
        else:
            found.append(record)
        at = end
    return found


def _is_one_of(certificate: x509.Certificate, fingerprints: tuple[tuple[str, str], ...]) -> bool:
    """ "select the set of fingerprints for its most preferred hash function" RFC 8122 §5."""
    for name, algorithm in _HASHES.items():
        some = {value.upper() for kind, value in fingerprints if kind == name}
        if some:
            return certificate.fingerprint(algorithm).hex(":").upper() in some
    return False


def _words(error: SSL.Error) -> str:
    """OpenSSL's, for people."""
    reasons = [part[-1] for part in error.args[0] if part] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(reasons) or "the handshake failed"
