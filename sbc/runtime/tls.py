"""One TLS session over a stream connection: `ssl.SSLObject` and its two buffers, no socket (RFC 8446, RFC 5246).

It is what `trio.SSLStream` is made of, without its waiting: a message goes out at once or into the connection's bounded
outbox, and a peer that reads slowly keeps nobody. `connection` seals and opens with it; the handshake is `shake`'s, its
costly steps in a thread. Who the other side is, it does not judge. Used by `tls_gate` and `connection`.
"""

import contextlib
import ssl
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from sbc.core import limits
from sbc.runtime.tls_contexts import Context
from sbc.runtime.tls_proof import Shown, words
from sbc.runtime.tls_records import RecordWatch
from sbc.sip.domain_certificate import read_certificate

_READ_OCTETS: Final = 65_536
_VERSIONS: Final = {"TLSv1.2": "1.2", "TLSv1.3": "1.3"}

Receive = Callable[[], Awaitable[bytes]]  # octets as they come; none: the end
Send = Callable[[bytes], Awaitable[None]]


class TlsError(Exception):
    """The session cannot go on; its text says why, for people."""


class CutOffError(TlsError):
    """The stream has ended, and nobody had declared it."""


class SmallRecordsError(TlsError):
    """It would be much work for nothing."""


class TlsSession:
    """`server_name` (of a server that we call, else None): what we ask it to be; it has no part in who it is."""

    def __init__(self, context: Context, *, server_name: str | None, is_server: bool) -> None:
        self._context = context
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._records = RecordWatch(trio.current_time())
        self._failure: TlsError | None = None  # to be raised when what came before it was taken
        try:
            self._object = context.made.wrap_bio(
                self._incoming, self._outgoing, server_side=is_server, server_hostname=server_name
            )
        except (ValueError, UnicodeError, ssl.SSLError) as error:
            raise TlsError(f"the name {server_name} cannot be asked for: {error}") from None

    # --- the handshake --------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Whether the handshake is done. Takes up to some milliseconds. Raises TlsError."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise TlsError(words(error)) from None
        return True

    def feed(self, octets: bytes) -> None:
        """What came over the stream; nothing: its end. Raises SmallRecordsError; then it was not looked at."""
        if not self._records.allows(octets, trio.current_time()):
            raise SmallRecordsError("it sends many records that hold next to nothing")
        if octets:
            self._incoming.write(octets)
        else:
            self._incoming.write_eof()

    def take(self) -> bytes:
        """What is to go out over the stream."""
        return self._outgoing.read()

    def shown(self, lists: frozenset[str]) -> Shown:
        """After the handshake. `lists`: those that its context looks revocation up in. Raises TlsError."""
        version = _VERSIONS.get(self._object.version() or "", "")
        der = self._object.getpeercert(binary_form=True)
        if der is None:
            return Shown(version)
        try:
            certificate = read_certificate(der)
            chain = frozenset(print_ for one in self._verified() for print_ in _prints(one))
        except ValueError:
            raise TlsError("its certificate cannot be read") from None
        return Shown(version, certificate, self._context.chain_of(certificate.fingerprint, chain), lists)

    def _verified(self) -> list[bytes]:
        """Certificates in DER, as OpenSSL has verified them; Python has a public name for it from 3.13 on."""
        found = getattr(self._object, "get_verified_chain", None)
        if found is not None:
            return list(found())
        chain = self._object._sslobj.get_verified_chain() or []  # type: ignore[attr-defined]
        return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in chain]

    # --- afterwards -----------------------------------------------------------------------------------------------

    def seal(self, data: bytes | memoryview) -> bytes:
        """Raises TlsError."""
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise TlsError(words(error)) from None
        return self.take()

    def open(self) -> bytes | None:
        """What can be read of what was fed: some octets; none at the end that the other side has declared; None where
        more must come first. Raises TlsError; CutOffError, for somebody on the way may have cut the stream.
        """
        if self._failure is not None:
            raise self._failure
        found: list[bytes] = []
        try:
            # All of it: who sends records of one octet each shall not cost a turn of the reader for each.
            while octets := self._object.read(_READ_OCTETS):
                found.append(octets)
        except ssl.SSLWantReadError:
            return b"".join(found) or None
        except ssl.SSLEOFError:
            self._failure = CutOffError("the connection was cut off")
        except ssl.SSLError as error:
            self._failure = TlsError(words(error))
        if self._failure is not None and not found:
            raise self._failure
        return b"".join(found)

    def end(self) -> bytes:
        """Our close_notify (RFC 8446 §6.1)."""
        with contextlib.suppress(ssl.SSLError):  # the other side's may never come: ours is written all the same
            self._object.unwrap()
        return self.take()


async def shake(session: TlsSession, receive: Receive, send: Send, turn: trio.CapacityLimiter) -> None:
    """The handshake. `turn` bounds how many are worked on at once; in a thread, for OpenSSL lets go of the interpreter
    while it reckons. Raises TlsError, OSError.
    """
    with trio.move_on_after(limits.HANDSHAKE_SECONDS) as patience:
        while True:
            try:
                is_done = await trio.to_thread.run_sync(session.step, limiter=turn)
            except TlsError:
                await _farewell(session, send)
                raise
            octets = session.take()
            if octets:
                await send(octets)
            if is_done:
                return
            session.feed(await receive())
    if patience.cancelled_caught:
        raise TlsError(f"the handshake was not finished within {limits.HANDSHAKE_SECONDS:g} s")


async def _farewell(session: TlsSession, send: Send) -> None:
    """The alert that says why; whether it arrives does not matter."""
    octets = session.take()
    if not octets:
        return
    try:
        await send(octets)
    except (OSError, trio.ClosedResourceError):
        return


def _prints(der: bytes) -> tuple[str, ...]:
    one = read_certificate(der)
    return one.fingerprint, one.key_fingerprint, one.serial
