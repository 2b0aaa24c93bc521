"""SIP over UDP: drains what has arrived into the driver, sends at once, reports refusals (RFC 3261 §18.1.1, §18.4).

A readable socket is drained by plain non-blocking calls, up to a bound, because a task switch per datagram costs more
than the datagram. A send that would block waits in a short backlog; what does not fit is lost, as datagrams may be.
Where more than a few datagrams wait, the driver is told how long: the kernel stamps each on arrival, and is asked once
a drain. It does not know SIP. Used by `app`, which hands it sockets that are already open.
"""

import errno
import fcntl
import math
import os
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

import structlog
import trio

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport, canonical_ip
from sbc.runtime.sip_sockets import IP_RECVERR, IPV6_RECVERR, socket_address
from sbc.runtime.sockets import OpenSocket
from sbc.sip.events import FlowFailed

_KEEP_ALIVE_OCTETS: Final = 4  # CRLF CRLF (RFC 5626 §3.5.1), or the odd NUL that NAT boxes are fed with
_ERRORS_PER_DRAIN: Final = 64
_EXTENDED_ERROR: Final = struct.Struct("=IBBBBII")  # struct sock_extended_err, linux/errqueue.h
_ORIGIN_ICMP: Final = 2
_ORIGIN_ICMP6: Final = 3
_SAID_AGAIN_SECONDS: Final = 60.0
_LINES: Final = 20  # about remotes that cannot be reached, of one listener in that time
_ICMP_UNREACHABLE: Final = 3
_ICMP_FRAGMENTATION_NEEDED: Final = 4
_ICMP6_UNREACHABLE: Final = 1

# A local firewall dropped it, or memory is short for a moment: the same to us as a loss on the way.
_SIOCGSTAMPNS: Final = 0x8907  # linux/sockios.h: when the datagram that was read last had arrived
_TIMESPEC: Final = struct.Struct("ll")
_A_QUEUE: Final = 3  # datagrams read in one drain; the next one's age is worth asking for
_LONGEST_AGE: Final = 30.0  # seconds; beyond that the wall clock was set, not the datagram late
_LOOKS_AT_CLOCK: Final = 8  # datagrams between two looks
_SO_MEMINFO: Final = 55  # linux/socket.h
_MEMINFO: Final = struct.Struct("9I")
_MEMINFO_USED, _MEMINFO_LIMIT, _MEMINFO_DROPS = 0, 1, 8  # linux/sock_diag.h

_LOST: Final = frozenset({errno.EPERM, errno.ENOBUFS, errno.ENOMEM})

log = structlog.get_logger("udp")


class UdpSocket:
    """One listener. `receive(data, flow)` and `failed(event)` go to the driver."""

    def __init__(
        self,
        opened: OpenSocket,
        receive: Callable[[bytes, Flow], None],
        failed: Callable[[FlowFailed], None],
        drops: Counter[str],
        queued: Callable[[float, str], None] = lambda _, __: None,
    ) -> None:
        self.interface = opened.interface
        self.local = opened.listener.address
        self._socket = opened.socket
        self._receive = receive
        self._failed = failed
        self._drops = drops
        self._queued = queued
        self._name = f"udp:{self.local}"
        self._has_queue = False
        self._overflown = 0
        self._flows: dict[object, Flow] = {}
        self._said_at: dict[Address, float] = {}
        self._lines_from, self._lines = -math.inf, 0
        self._backlog: deque[tuple[bytes, Flow]] = deque()
        self._blocked = trio.Event()
        self._ended = trio.CancelScope()
        self._buffer = memoryview(bytearray(limits.MESSAGE_OCTETS + 1))
        self._reading_since = time.monotonic()

    async def run(self) -> None:
        """Until cancelled, or closed."""
        self._reading_since = time.monotonic()
        with self._ended:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_backlog)
                while not self._ended.cancel_called:
                    await trio.lowlevel.wait_readable(self._socket)
                    self._drain()

    def reopen(self, opened: OpenSocket) -> None:
        """A reload has given the same socket to another interface."""
        self.interface = opened.interface
        self._flows.clear()

    def close(self) -> None:
        self._ended.cancel()
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()

    # --- receiving ------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Ends when there is nothing more, or when others must have their turn."""
        receive_into, buffer, flows = self._socket.recvfrom_into, self._buffer, self._flows
        end = time.monotonic() + limits.DRAIN_SECONDS
        for n in range(limits.DATAGRAMS_PER_WAKEUP):
            try:
                size, source = receive_into(buffer)
            except BlockingIOError:
                if n == 0:  # readable, but no datagram: the error queue wakes us until it is empty
                    self._drain_errors()
                if self._has_queue:
                    self._has_queue = False
                    self._queued(0.0, self._name)
                return
            except OSError:  # an ICMP error's echo; what it means stands in the error queue
                self._drain_errors()
                continue
            if n == _A_QUEUE:
                self._has_queue = True
                self._queued(self._age(), self._name)
            if size > _KEEP_ALIVE_OCTETS:
                flow = flows.get(source) or self._flow(source)
                self._receive(bytes(buffer[:size]), flow)
            if n % _LOOKS_AT_CLOCK == _A_QUEUE and time.monotonic() >= end:
                return

    def _age(self) -> float:
        """Seconds that the datagram that was read last has waited in the kernel since there has been somebody to read
        it: what came while no process of ours was alive says nothing about what this one can serve.
        """
        try:
            stamp = fcntl.ioctl(self._socket, _SIOCGSTAMPNS, bytes(_TIMESPEC.size))
        except OSError:
            return 0.0  # it came before the kernel was asked for the first time: from now on each has its stamp
        seconds, nanoseconds = _TIMESPEC.unpack(stamp)
        age = time.time() - seconds - nanoseconds / 1e9
        return min(age, time.monotonic() - self._reading_since) if 0.0 < age < _LONGEST_AGE else 0.0

    @property
    def waiting(self) -> int:
        """Datagrams that the kernel has not taken yet."""
        return len(self._backlog)

    def look(self) -> tuple[int, int]:
        """Octets of the kernel's buffer that wait in it, and how many fit. Counts what did not fit since the last look.

        The kernel counts its own keeping of each datagram, too.
        """
        try:
            text = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0, 0
        if len(text) < _MEMINFO.size:
            return 0, 0
        info = _MEMINFO.unpack(text)
        lost = (info[_MEMINFO_DROPS] - self._overflown) % 2**32
        if lost:
            self._overflown = info[_MEMINFO_DROPS]
            self._drops["udp_queue_full"] += lost
        return info[_MEMINFO_USED], info[_MEMINFO_LIMIT]

    def _flow(self, source: tuple[str, int]) -> Flow:
        if len(self._flows) >= limits.UDP_FLOWS:
            self._flows.clear()
        host = canonical_ip(source[0]) or source[0]
        flow = self._flows[source] = Flow(Transport.UDP, self.interface, self.local, Address(host, source[1]))
        return flow

    def _drain_errors(self) -> None:
        for _ in range(_ERRORS_PER_DRAIN):
            try:
                _, ancillary, _, destination = self._socket.recvmsg(64, 256, socket.MSG_ERRQUEUE)
            except OSError:
                return
            for level, kind, data in ancillary:
                if (level, kind) in _RECVERR and len(data) >= _EXTENDED_ERROR.size:
                    self._refused(_EXTENDED_ERROR.unpack_from(data), destination)

    def _refused(self, error: tuple[int, ...], destination: tuple[str, int]) -> None:
        """RFC 3261 §18.4: of ICMP errors, only "host, network, port or protocol unreachable" are failures."""
        number, origin, kind, code = error[:4]
        unreachable = (origin == _ORIGIN_ICMP and kind == _ICMP_UNREACHABLE and code != _ICMP_FRAGMENTATION_NEEDED) or (
            origin == _ORIGIN_ICMP6 and kind == _ICMP6_UNREACHABLE
        )
        if not unreachable or not destination:
            return
        self._drops["icmp_unreachable"] += 1
        self._fail(self._flow(destination[:2]), f"ICMP: {_words(number)}")

    def _fail(self, flow: Flow, reason: str) -> None:
        """The engine hears of each failure, the operator of a remote's first one in a while."""
        now = trio.current_time()
        if now - self._said_at.get(flow.remote, -math.inf) >= _SAID_AGAIN_SECONDS:
            if len(self._said_at) >= limits.UDP_FLOWS:
                self._said_at.clear()
            self._said_at[flow.remote] = now
            if now - self._lines_from >= _SAID_AGAIN_SECONDS:
                self._lines_from, self._lines = now, 0
            self._lines += 1
            if self._lines <= _LINES:  # answers to forged sources come back by the hundred
                log.warning("udp.unreachable", interface=self.interface, remote=str(flow.remote), reason=reason)
        self._failed(FlowFailed(flow, reason))

    # --- sending --------------------------------------------------------------------------------------------------

    def send(self, data: bytes, flow: Flow) -> None:
        if self._backlog:
            self._queue(data, flow)
            return
        remote = flow.remote
        try:
            self._socket.sendto(data, (remote.host, remote.port))
        except BlockingIOError:
            self._queue(data, flow)
        except (OSError, ValueError, OverflowError) as error:
            self._send_failed(error, data, flow)

    def _queue(self, data: bytes, flow: Flow) -> None:
        if len(self._backlog) >= limits.UDP_BACKLOG:
            self._drops["udp_backlog_full"] += 1
            return
        self._backlog.append((data, flow))
        self._blocked.set()

    def _send_failed(self, error: Exception, data: bytes, flow: Flow) -> None:
        """An earlier datagram's ICMP error surfaces at the next send, to whomever that goes: look, then send again."""
        if getattr(error, "errno", None) in {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}:
            self._drain_errors()
            try:
                self._socket.sendto(data, socket_address(flow.remote))
            except OSError as second:
                error = second
            else:
                return
        if getattr(error, "errno", None) in _LOST or isinstance(error, BlockingIOError):
            self._drops["udp_send_lost"] += 1
            return
        self._drops["udp_send_failed"] += 1
        self._fail(flow, _words(getattr(error, "errno", None)) or str(error))

    async def _send_backlog(self) -> None:
        while True:
            await self._blocked.wait()
            if self._ended.cancel_called:
                return
            await trio.lowlevel.wait_writable(self._socket)
            while self._backlog:
                data, flow = self._backlog[0]
                try:
                    self._socket.sendto(data, socket_address(flow.remote))
                except BlockingIOError:
                    break
                except (OSError, ValueError, OverflowError) as error:
                    self._send_failed(error, data, flow)
                self._backlog.popleft()
            else:
                self._blocked = trio.Event()


def _words(number: int | None) -> str:
    return os.strerror(number).lower() if number else ""


_RECVERR: Final = frozenset({(socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)})
