"""A PBX that places calls at a rate, whatever comes back, and a carrier that answers them: real sockets, no SIP stack.

Messages are made from templates and read with one expression, so that one core can offer a loaded SBC ten times what it
can serve. It behaves as a client must: an INVITE without any answer is repeated (timer A), a refusal is acknowledged, a
call that is answered is hung up after a while, one whose answer comes too late at once. Calls may be held over a whole
flood, and asked for afterwards. Used by `bench_declared`, and by the test that overloads an SBC.
"""

import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from sbc.cli.bench_engine import SDP
from sbc.cli.bench_messages import Address, headers_of, request_after, response_to

HOLD_SECONDS: Final = 0.5
_T1: Final = 0.5
_REPEATS: Final = 3  # of an INVITE: 0.5, 1.5 and 3.5 seconds after it
_PATIENCE: Final = 4.0  # seconds for what was placed last
_TURN_SECONDS: Final = 0.002
_READS: Final = 256  # datagrams of one socket before the clock is looked at again
_BUFFER: Final = 8 << 20
_CALL_ID: Final = re.compile(rb"^Call-ID: [a-z]+-([0-9]+)@", re.MULTILINE)


class Outcome(Struct):
    """What became of the calls that were placed in one `run`. `delays`: seconds from INVITE to 200."""

    seconds: float = 0.0
    placed: int = 0
    answered: int = 0
    ended: int = 0  # hung up, and that was answered
    refused: int = 0  # 503
    failed: int = 0  # any other refusal
    repeated: int = 0  # INVITEs that were sent again
    answers: list[float] = []  # when each call was answered, seconds since the beginning
    delays: list[float] = []

    @property
    def silent(self) -> int:
        return self.placed - self.answered - self.refused - self.failed

    def delay(self, share: float) -> float:
        return sorted(self.delays)[int(share * (len(self.delays) - 1))] if self.delays else 0.0


class _Call:
    __slots__ = ("invite", "ok", "placed_at", "repeats")

    def __init__(self, invite: bytes, placed_at: float) -> None:
        self.invite = invite
        self.placed_at = placed_at
        self.repeats = 0
        self.ok: dict[bytes, bytes] | None = None


class Load:
    """`inside`, `outside`: the SBC's addresses towards `pbx` and `carrier`, where this listens."""

    def __init__(self, pbx: Address, inside: Address, carrier: Address, outside: Address) -> None:
        self._pbx_at, self._inside, self._carrier_at, self._outside = pbx, inside, carrier, outside
        self._pbx, self._carrier = bound(pbx), bound(carrier)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pbx, selectors.EVENT_READ, self._at_pbx)
        self._selector.register(self._carrier, selectors.EVENT_READ, self._at_carrier)
        self._sequence = 0
        self._asking: dict[int, _Call] = {}  # no final answer yet
        self._talking: dict[int, dict[bytes, bytes]] = {}
        self._due: deque[tuple[float, Callable[[float], None]]] = deque()  # hang-ups, in order
        self._repeats: deque[tuple[float, int]] = deque()
        self._hold = HOLD_SECONDS
        self._begun = 0.0
        self._acks: dict[int, bytes] = {}  # of held calls, for repeated 200s
        self.outcome = Outcome(answers=[], delays=[])
        self.lost: list[int] = []  # calls that somebody else has ended
        self.asked = 0  # requests in held calls that were answered

    def close(self) -> None:
        self._selector.close()
        self._pbx.close()
        self._carrier.close()

    # --- what it does -------------------------------------------------------------------------------------------------

    def run(
        self, rate: float, seconds: float, *, hold: float = HOLD_SECONDS, each: Callable[[float], None] | None = None
    ) -> Outcome:
        """Places `rate` calls a second for so long, on time, and waits for what they become. `each`: called with the
        seconds since the beginning, in every turn.
        """
        self.outcome = out = Outcome(seconds=seconds, answers=[], delays=[])
        self._hold = hold
        begun = self._begun = time.monotonic()
        while (since := time.monotonic() - begun) < seconds:
            for _ in range(min(int(since * rate) - out.placed, _READS)):
                out.placed += 1
                self._place(time.monotonic())
            if each is not None:
                each(since)
            self._turn()
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and (self._asking or (self._due and self._due[0][0] < end)):
            self._turn()
        self._asking.clear()
        self._repeats.clear()
        return out

    def hold(self, calls: int, rate: float) -> list[int]:
        """Sets so many calls up that stay; their numbers."""
        before = set(self._talking)
        self.run(rate, calls / rate + 0.01, hold=3_600.0)
        self._due.clear()
        return [n for n in self._talking if n not in before]

    def ask(self, calls: list[int], seconds: float = 5.0) -> int:
        """An OPTIONS in each of these calls, which goes through to the carrier; how many were answered."""
        self.asked = 0
        waiting = deque(calls)
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.asked < len(calls):
            for _ in range(min(len(waiting), 8)):
                n = waiting.popleft()
                self._pbx.sendto(request_after(self._talking[n], b"OPTIONS", b"7", self._pbx_at), self._inside)
            self._turn()
        return self.asked

    def hang_up(self, calls: list[int]) -> int:
        """How many of these BYEs were answered."""
        end = time.monotonic() + _PATIENCE
        for n in calls:
            self._bye(n)
            self._turn()
        while time.monotonic() < end and any(n in self._talking for n in calls):
            self._turn()
        return sum(n not in self._talking for n in calls)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _place(self, now: float) -> None:
        self._sequence += 1
        n = self._sequence
        call = _Call(self._invite(n), now)
        self._asking[n] = call
        self._repeats.append((now + _T1, n))
        self._pbx.sendto(call.invite, self._inside)

    def _turn(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._due.popleft()[1](now)
        while self._repeats and self._repeats[0][0] <= now:
            self._repeat(self._repeats.popleft()[1], now)
        for key, _ in self._selector.select(_TURN_SECONDS):
            key.data()

    def _repeat(self, n: int, now: float) -> None:
        call = self._asking.get(n)
        if call is None or call.repeats >= _REPEATS:
            return
        call.repeats += 1
        self.outcome.repeated += 1
        self._repeats.append((now + _T1 * 2**call.repeats, n))
        self._pbx.sendto(call.invite, self._inside)

    def _at_pbx(self) -> None:
        for _ in range(_READS):
            try:
                data = self._pbx.recv(65535)
            except BlockingIOError:
                return
            match = _CALL_ID.search(data)
            if match is None:
                continue
            n = int(match[1])
            if data.startswith(b"SIP/2.0 "):
                self._answered(n, int(data[8:11]), data)
            elif data.startswith(b"BYE "):
                if n in self._talking:
                    self.lost.append(n)
                self._pbx.sendto(response_to(headers_of(data), b"200", b"", self._pbx_at), self._inside)

    def _answered(self, n: int, status: int, data: bytes) -> None:
        call = self._asking.get(n)
        if call is None:
            self._answered_later(n, status, data)
            return
        if status < 200:
            call.repeats = _REPEATS
            return
        del self._asking[n]
        now = time.monotonic()
        if status != 200:
            self.outcome.refused += status == 503
            self.outcome.failed += status != 503
            self._pbx.sendto(_ack_of_refusal(call.invite, data), self._inside)
            return
        headers = headers_of(data)
        self._talking[n] = headers
        self.outcome.answered += 1
        self.outcome.answers.append(now - self._begun)
        self.outcome.delays.append(now - call.placed_at)
        self._acks[n] = ack = request_after(headers, b"ACK", b"1", self._pbx_at)
        self._pbx.sendto(ack, self._inside)
        self._due.append((now + self._hold, lambda _: self._bye(n)))

    def _answered_later(self, n: int, status: int, data: bytes) -> None:
        if status == 200 and b"CSeq: 9 BYE" in data:
            if self._talking.pop(n, None) is not None:
                self._acks.pop(n, None)
                self.outcome.ended += 1
        elif b"CSeq: 7 OPTIONS" in data:
            self.asked += status == 200
        elif status == 200 and n in self._acks:
            self._pbx.sendto(self._acks[n], self._inside)  # our ACK was lost
        elif status == 200 and b"CSeq: 1 INVITE" in data:  # nobody waits for it any more
            headers = headers_of(data)
            self._pbx.sendto(request_after(headers, b"ACK", b"1", self._pbx_at), self._inside)
            self._pbx.sendto(request_after(headers, b"BYE", b"9", self._pbx_at), self._inside)
        elif status >= 300 and n not in self._talking:
            self._pbx.sendto(_ack_of_refusal(self._invite(n), data), self._inside)

    def _bye(self, n: int) -> None:
        headers = self._talking.get(n)
        if headers is not None:
            self._pbx.sendto(request_after(headers, b"BYE", b"9", self._pbx_at), self._inside)

    def _at_carrier(self) -> None:
        for _ in range(_READS):
            try:
                data = self._carrier.recv(65535)
            except BlockingIOError:
                return
            headers = headers_of(data)
            if data.startswith(b"INVITE"):
                statuses: tuple[bytes, ...] = (b"180", b"200")
            elif data.startswith((b"BYE", b"OPTIONS")):
                statuses = (b"200",)
            else:
                continue
            for status in statuses:
                body = SDP if status == b"200" and data.startswith(b"INVITE") else b""
                self._carrier.sendto(response_to(headers, status, body, self._carrier_at), self._outside)

    def _invite(self, n: int) -> bytes:
        pbx, inside = self._pbx_at[0].encode(), self._inside[0].encode()
        body = SDP.replace(b"127.0.0.30", pbx)
        return (
            b"INVITE sip:+12125550123@%b:5060 SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP %b:5060;branch=z9hG4bKload%d;rport\r\n"
            b"Max-Forwards: 70\r\n"
            b"From: <sip:+14155550100@%b>;tag=f%d\r\n"
            b"To: <sip:+12125550123@%b>\r\n"
            b"Call-ID: load-%d@%b\r\n"
            b"CSeq: 1 INVITE\r\n"
            b"Contact: <sip:reception@%b:5060>\r\n"
            b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\n"
            b"Supported: replaces\r\n"
            b"User-Agent: Bench PBX 1.0\r\n"
            b"Content-Type: application/sdp\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (inside, pbx, n, pbx, n, inside, n, pbx, pbx, len(body), body)
        )


def _ack_of_refusal(invite: bytes, response: bytes) -> bytes:
    """Of the same transaction (RFC 3261 §17.1.1.3)."""
    asked, told = headers_of(invite), headers_of(response)
    return b"\r\n".join((
        b"ACK " + invite.split(b" ", 2)[1] + b" SIP/2.0",
        b"Via: " + asked[b"Via"],
        b"Max-Forwards: 70",
        b"From: " + asked[b"From"],
        b"To: " + told[b"To"],
        b"Call-ID: " + asked[b"Call-ID"],
        b"CSeq: 1 ACK",
        b"Content-Length: 0\r\n\r\n",
    ))  # fmt: skip


def bound(address: Address) -> socket.socket:
    """A UDP socket with room for a flood's answers. Raises OSError."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one
