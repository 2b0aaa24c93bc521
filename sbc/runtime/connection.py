"""One stream connection: reads and frames, writes from a bounded outbox, closes in order (RFC 3261 §18.3, §18.4).

Three ends: `finish` (send what is queued, then close), the peer's end of file, `abort` (now). Nothing is ever read
after a frame that cannot be trusted. Over TLS, what it sends and receives goes through a `TlsSession`, and its end is
a close_notify besides. Used by `tcp`, which owns the table of connections and the tasks.
"""

import contextlib
import math
import os
import socket
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, Protocol

import trio
from msgspec.structs import replace

from sbc.b2bua.events import QueueAged
from sbc.core import limits
from sbc.core.address import Flow
from sbc.runtime.tls import CutOffError, SmallRecordsError, TlsError, TlsSession
from sbc.runtime.tls_proof import Shown
from sbc.sip.events import FlowClosed, FlowFailed, Ponged
from sbc.sip.framing import BadFrame, Ping, StreamFramer

_READ_OCTETS: Final = 65_536
_READ_SEALED_OCTETS: Final = 16_384  # records can be small, and each is work; then it is others' turn
_PIECE_OCTETS: Final = 1_024  # what waits is put together so far: a pong has two octets, and each piece costs 40 more
_RESET_LOOK_SECONDS: Final = 0.05  # how soon a refusal by a peer that had ended its half is noticed
_PING: Final = b"\r\n\r\n"
_PONG: Final = b"\r\n"


class Receiver(Protocol):
    """The driver, as far as streams need it."""

    def receive(self, data: bytes, flow: Flow) -> None: ...
    def bad_frame(self, data: bytes, flow: Flow, reason: str) -> None: ...
    def handle(self, event: FlowFailed | FlowClosed | Ponged | QueueAged) -> None: ...


class Connection:
    """`flow` names it for ever, but that a reload may rename its interface, or take a proof away. `senders` are the
    flows under which the engine has sent here. `is_stranger`: our patience with it is short. `shown`: over TLS;
    `tls_failure`: why that could not go on, for people.
    """

    def __init__(
        self,
        sock: socket.socket,
        flow: Flow,
        driver: Receiver,
        drops: Counter[str],
        now: Callable[[], float],
        *,
        is_stranger: bool = False,
    ) -> None:
        self.socket = sock
        self.flow = flow
        self.shown: Shown | None = None
        self.tls_failure = ""
        self._session: TlsSession | None = None
        self._is_stranger = is_stranger
        self._mute_until = math.inf
        self._driver = driver
        self._drops = drops
        self._now = now
        self._framer = StreamFramer()
        self._senders: dict[Flow, bool] = {}  # whether they have sent since it stands
        self._outbox: deque[bytes | memoryview] = deque()
        self._queued = 0
        self._is_connected = False
        self._is_finishing = False
        self._is_dead = False
        self._has_said_end = False
        self._awaits_pong = False
        self._heard_at = now()
        self._full_since: float | None = None  # every read since then was a full one
        self._asked_at = -math.inf
        self._more = trio.Event()
        self._written = trio.Event()
        self._ended = trio.CancelScope()

    @property
    def queued(self) -> int:
        """Octets that the peer has not taken yet."""
        return self._queued

    @property
    def is_finishing(self) -> bool:
        return self._is_finishing or self._is_dead

    # --- sending --------------------------------------------------------------------------------------------------

    def send(self, data: bytes, flow: Flow | None = None) -> None:
        """Goes out at once where it can. A full outbox closes the connection: a stream cannot leave anything out."""
        if flow is not None:
            self._senders[flow] = self._is_connected
        if self._is_dead or self._is_finishing:
            if flow is not None:
                self._driver.handle(FlowFailed(flow, "the connection is closed", self._is_connected))
            return
        self._awaits_pong = self._awaits_pong or data == _PING
        if self._is_connected and self._session is not None:
            try:
                data = self._session.seal(data)
            except TlsError as error:
                self.abort(str(error))
                return
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        """As it is to be on the wire; but that TLS still has to seal what waits for the connection to stand."""
        rest: bytes | memoryview = data
        if self._is_connected and not self._outbox:
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self.abort(_words(error))
                return
            if sent == len(data):
                return
            rest = memoryview(data)[sent:]
        if self._queued + len(rest) > (limits.STRANGER_OUTBOX_OCTETS if self._is_stranger else limits.OUTBOX_OCTETS):
            self._drops["tcp_outbox_full"] += 1
            self.abort("the peer does not read: outbox full")
            return
        last = self._outbox[-1] if self._outbox else None
        if isinstance(last, bytes) and len(last) + len(rest) <= _PIECE_OCTETS:
            self._outbox[-1] = last + rest
        else:
            self._outbox.append(rest)
        self._queued += len(rest)
        self._more.set()

    def secured(self, session: TlsSession, shown: Shown, proved: tuple[str, ...]) -> None:
        """The handshake is done; `connected` follows."""
        self._session, self.shown = session, shown
        self.flow = replace(self.flow, proved=proved)

    def connected(self) -> None:
        self._is_connected = True
        self._heard_at = self._now()
        if self._is_stranger:
            self._mute_until = self._heard_at + limits.FIRST_MESSAGE_SECONDS
        if self._session is None or not self._outbox:
            return
        try:
            self._outbox = deque(self._session.seal(data) for data in self._outbox)
        except TlsError as error:
            self.abort(str(error))
            return
        self._queued = sum(map(len, self._outbox))

    async def write(self) -> None:
        """The one writer. Ends when everything is out and no more may come."""
        while True:
            while self._outbox:
                if not self._write_some():
                    return
                if self._outbox and not await self._until_writable():
                    return
            if self._is_finishing and self._says_end():
                continue
            if self._is_finishing:
                self._shut_down()
                return
            self._more = trio.Event()
            await self._more.wait()

    async def _until_writable(self) -> bool:
        """False when the connection was ended: by somebody else meanwhile, or because nothing was taken for long."""
        with trio.move_on_after(limits.UNREAD_SECONDS) as patience:
            try:
                await trio.lowlevel.wait_writable(self.socket)
            except trio.ClosedResourceError:
                return False
        if patience.cancelled_caught:
            self._drops["tcp_unread"] += 1
            self.abort(f"the peer does not read: it took nothing for {limits.UNREAD_SECONDS:g} s")
        return not self._is_dead

    def _says_end(self) -> bool:
        """Whether there is still something to write before the end: over TLS, once, that it is the end."""
        if self._session is None or self._has_said_end:
            return False
        self._has_said_end = True
        octets = self._session.end()
        if octets:
            self._outbox.append(octets)
            self._queued += len(octets)
        return bool(octets)

    def _write_some(self) -> bool:
        """False when the connection died of it."""
        while self._outbox:
            data = self._outbox[0]
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                return True
            except OSError as error:
                self.abort(_words(error))
                return False
            self._queued -= sent
            if sent == len(data):
                self._outbox.popleft()
            else:
                self._outbox[0] = memoryview(data)[sent:]
        return True

    # --- ends -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """No more may be sent; what is queued still goes, then the connection closes."""
        if self._is_finishing or self._is_dead:
            return
        self._is_finishing = True
        self._more.set()
        self._ended.deadline = trio.current_time() + limits.FLUSH_SECONDS

    def _shut_down(self) -> None:
        self._ended.deadline = trio.current_time() + limits.LINGER_SECONDS
        self._written.set()
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.abort(_words(error))

    def abort(self, reason: str) -> None:
        """Close now. With a reason, or with octets unsent, whoever sent here learns of it."""
        if self._is_dead:
            return
        self._is_dead = True
        unsent = bool(self._outbox)
        if not unsent and self._session is not None and not self._has_said_end:
            with contextlib.suppress(OSError):  # that it is no cut is worth a try
                self.socket.send(self._session.end())
        self._outbox.clear()
        self._queued = 0
        self._ended.cancel()
        trio.lowlevel.notify_closing(self.socket)
        self.socket.close()
        if reason or unsent:
            # Those without a number first: what is sent again on hearing of the others may have none.
            told = sorted((self._senders or {self.flow: False}).items(), key=lambda one: one[0].connection != 0)
            for flow, was_open in told:
                self._driver.handle(FlowFailed(flow, reason or "the connection was closed", was_open))

    def _nameless(self) -> tuple[Flow, ...]:
        return tuple(flow for flow, was_open in self._senders.items() if was_open and not flow.connection)

    # --- receiving ------------------------------------------------------------------------------------------------

    async def read(self, stop_reuse: Callable[[], None]) -> None:
        """Until either side ends it, an incomplete message is overdue, or nothing has come for long."""
        with self._ended:
            try:
                await self._read_messages()
                stop_reuse()
                self._driver.handle(FlowClosed(self.flow, self._nameless()))
                await self._read_nothing()
            except trio.ClosedResourceError:
                self.abort("")
            except TlsError as error:
                self._tls_failed(error)
            except OSError as error:
                self.abort(_words(error))
            finally:
                if self._full_since is not None:
                    self._tell_queue(is_full=False)  # nothing of it waits any more

    def _tls_failed(self, error: TlsError) -> None:
        """Of a stream that was cut nothing is lost that was whole; but who waits for an answer waits in vain."""
        if isinstance(error, CutOffError):
            self._drops["tls_cut_off"] += 1
        else:
            self._drops["tls_small_records"] += isinstance(error, SmallRecordsError)
            self.tls_failure = str(error)
        self.abort(str(error))

    async def _read_messages(self) -> None:
        while not self._is_finishing:
            data = await self._receive()
            if data is None:
                self._drops["tcp_timed_out"] += 1
                self.abort("")
                return
            if not data:
                self._peer_ended()
                return
            if not self._feed(data):
                return

    def _peer_ended(self) -> None:
        """It may have closed one half only and wait for answers; half a message will never be whole."""
        patience = self._asked_at + limits.HALF_CLOSED_SECONDS - self._now()
        if self._framer.deadline is not None:
            self.abort("")
        elif patience > 0:
            self._ended.deadline = trio.current_time() + patience
        else:
            self.finish()

    async def _receive(self) -> bytes | None:
        """Some octets; none at the end of the stream; None when a deadline passed."""
        deadline = min(self._heard_at + limits.IDLE_CONNECTION_SECONDS, self._mute_until)
        if self._framer.deadline is not None:
            deadline = min(deadline, self._framer.deadline)
        with trio.move_on_after(max(0.0, deadline - self._now())):
            while True:
                opened = None if self._session is None else self._open(self._session)
                if opened is not None:
                    return opened
                await trio.lowlevel.wait_readable(self.socket)
                try:
                    size = _READ_OCTETS if self._session is None else _READ_SEALED_OCTETS
                    octets = self.socket.recv(size)
                except BlockingIOError:
                    continue
                if len(octets) == size or self._full_since is not None:
                    self._tell_queue(is_full=len(octets) == size)
                if self._session is None:
                    return octets
                self._session.feed(octets)
        return None

    def _tell_queue(self, *, is_full: bool) -> None:
        """More waits than one read takes: how long that has been so is how long what comes next has waited, at most."""
        if self._full_since is None:
            self._full_since = self._now()
            return
        age = self._now() - self._full_since if is_full else 0.0
        if not is_full:
            self._full_since = None
        self._driver.handle(QueueAged(age, f"{self.flow.transport}:{self.flow.remote}", self.flow))

    def _open(self, session: TlsSession) -> bytes | None:
        """None where more must come first. What TLS itself has to answer goes out, in the same bounds as all else."""
        try:
            opened = session.open()
        finally:
            answer = session.take()
            if answer and not self._is_dead:
                self._pass_on(answer)
        return opened

    def _feed(self, data: bytes) -> bool:
        """False after a frame that leaves no way to find the next one."""
        now = self._heard_at = self._now()
        for item in self._framer.feed(data, now):
            match item:
                case BadFrame(data=bad, reason=reason):
                    self._driver.bad_frame(bad, self.flow, reason)
                    self.finish()
                    return False
                case Ping():
                    self.send(_PONG)
                case _:
                    self._asked_at = now
                    self._mute_until = math.inf
                    self._driver.receive(item, self.flow)
            if self._is_dead:
                return False
        if self._awaits_pong and self._framer.take_pong():
            self._awaits_pong = False
            self._driver.handle(Ponged(self.flow))
        return True

    async def _read_nothing(self) -> None:
        """Discard what still comes, so that closing does not destroy what the peer has yet to read."""
        while not self._is_dead:
            await trio.lowlevel.wait_readable(self.socket)
            try:
                at_end = not self.socket.recv(_READ_OCTETS)
            except BlockingIOError:
                continue
            if at_end:
                await self._until_written()
                return

    async def _until_written(self) -> None:
        """The end of a stream is always readable, so that a reset after it shows in no other way than by asking."""
        while not self._written.is_set():
            with trio.move_on_after(_RESET_LOOK_SECONDS):
                await self._written.wait()
            number = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))


def _words(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
