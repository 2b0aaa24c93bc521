"""Many calls at once with RTP both ways, from one process: a PBX and a carrier that only know how a plain call goes.

Each packet names its call and direction (SSRC) and its place (sequence number), so that a lost one, a doubled one and
one that went to somebody else are known. For networks without loss: nothing is sent twice here.
"""

import re
import selectors
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Literal, Self

import pytest

from .node import Node

Side = Literal["pbx", "carrier"]
SIDES: tuple[Side, Side] = ("pbx", "carrier")
PACKET_SECONDS = 0.02
_SLICES = 4  # a call's packets leave in one of so many moments of the 20 ms
_RTP = struct.Struct("!BBHII")
_PAYLOADS = tuple(bytes([n]) * 160 for n in range(256))  # by the packet's place
_SO_TIMESTAMPNS = 35  # socket(7); a struct timespec comes with each packet
_STAMP_OCTETS = socket.CMSG_SPACE(16)
_PORTS = cycle(range(6000, 60000, 2))
_SETTLE_SECONDS = 0.5
_PICK_UP_SECONDS = 0.1  # nobody talks within a millisecond of the INVITE, when the ports do not hear yet
_batches = count(1)  # Call-IDs and branches of one batch are not those of another


@dataclass
class End:
    """One end of one call: where its RTP comes in, where it must send to, what it sent and heard."""

    ssrc: int
    expects: int  # the SSRC of the other end
    sock: socket.socket
    first: int = 0  # the sequence number that both ends begin with
    to: tuple[str, int] | None = None  # the SBC's media address, by its SDP
    sent: int = 0
    sent_at: list[float] = field(default_factory=list)
    heard: list[int] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)  # by the kernel's clock: when it came, not when it was read
    foreign: list[str] = field(default_factory=list)

    def send(self) -> None:
        self.send_as(self.sent)

    def send_as(self, number: int) -> None:
        """In its place of the stream, whenever that is."""
        assert self.to is not None
        self.sent_at.append(time.time())
        self.sock.sendto(self.leaves(self._packet(number, self.ssrc)), self.to)
        self.sent += 1

    def leaves(self, packet: bytes) -> bytes:
        """What goes over the cable for a packet; see `secured_talking`."""
        return packet

    def arrived(self, data: bytes) -> bytes:
        """The packet that came over the cable; empty: it is none."""
        return data

    def drain(self) -> None:
        while True:
            try:
                data, ((_, _, stamp),), _, source = self.sock.recvmsg(2048, _STAMP_OCTETS)
            except BlockingIOError:
                return
            packet = self.arrived(data)
            number = int.from_bytes(packet[2:4]) - self.first & 0xFFFF
            if (
                source == self.to
                and packet[12:] == _PAYLOADS[number & 0xFF]
                and packet[8:12] == self.expects.to_bytes(4)
            ):
                self.heard.append(number)
                seconds, nanoseconds = struct.unpack("@qq", stamp)
                self.heard_at.append(seconds + nanoseconds / 1e9)
            else:
                self.foreign.append(f"{data[:16].hex()} from {source}; expected {self.expects} from {self.to}")

    def _packet(self, number: int, ssrc: int) -> bytes:
        header = _RTP.pack(0x80, 0, self.first + number & 0xFFFF, number * 160 & 0xFFFFFFFF, ssrc)
        return header + _PAYLOADS[number & 0xFF]

    def longest_gap(self) -> float:
        return max(later - earlier for earlier, later in zip(self.heard_at, self.heard_at[1:], strict=False))


@dataclass
class Call:
    call_id: str
    ends: dict[Side, End]
    answer: str = ""  # the 200 that the PBX got: the dialog


class TalkingCalls:
    """`with TalkingCalls(node, 50) as calls: calls.talk(30)`; on leaving, the PBX hangs up.

    `inside`: where sockets of a side are made, as `Namespaces.inside`.
    """

    def __init__(
        self, node: Node, count: int, *, inside: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()
    ) -> None:
        self._node = node
        self._inside = inside
        self._batch = next(_batches)
        self._addresses: dict[Side, str] = {"pbx": node.pbx, "carrier": node.carrier}
        self._sip = {side: self._socket(side, 5060) for side in SIDES}
        self.calls = [self._call(n) for n in range(count)]
        self._by_id = {call.call_id: call for call in self.calls}
        self._selector = selectors.DefaultSelector()
        for call in self.calls:
            for end in call.ends.values():
                self._selector.register(end.sock, selectors.EVENT_READ, end)
        self._ended: set[str] = set()
        self._hung_up: set[str] = set()  # Call-IDs of the carrier's side

    def __enter__(self) -> Self:
        try:
            for call in self.calls:
                self._say("pbx", self._invite(call))
                self._handle_sip(until=lambda call=call: call.answer, what=f"the answer to {call.call_id}")
            self._handle_sip(until=self._all_know_where_to_send, what="every SDP")
            time.sleep(_PICK_UP_SECONDS)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for call in self.calls:
                self._say("pbx", self._in_dialog(call, "BYE", 2))
            self._handle_sip(until=self._all_have_ended, what="200 to every BYE, and every BYE on the other side")
        finally:
            self.close()

    @property
    def ends(self) -> list[End]:
        return [end for call in self.calls for end in call.ends.values()]

    # --- RTP ------------------------------------------------------------------------------------------------------

    def talk(
        self,
        seconds: float,
        *,
        meanwhile: Mapping[float, Callable[[], None]] = {},
        settle: float = _SETTLE_SECONDS,
    ) -> None:
        """`meanwhile`: what happens so many seconds later, while all go on talking: only what it does makes a gap."""
        ends = self.ends
        start = time.monotonic()
        happens = sorted(meanwhile.items())
        for n in range(round(seconds / PACKET_SECONDS * _SLICES)):
            at = n * PACKET_SECONDS / _SLICES
            self.listen_until(start + at)
            if happens and happens[0][0] <= at:
                happens.pop(0)[1]()
            for end in ends[n % _SLICES :: _SLICES]:
                end.send()
        self.listen_until(time.monotonic() + settle)

    def sent(self) -> int:
        return sum(end.sent for end in self.ends)

    def longest_wait(self) -> float:
        """Seconds that a packet was under way at most: the gap that a stop of the relay made, and nobody else."""
        return max(
            at - call.ends[a].sent_at[n]
            for call in self.calls
            for a, b in (SIDES, SIDES[::-1])
            for n, at in zip(call.ends[b].heard, call.ends[b].heard_at, strict=True)
        )

    def lost(self) -> int:
        return len(self.missing())

    def missing(self) -> list[tuple[str, Side, int]]:
        """Packets that were sent and not heard, over all calls and directions: the call, who sent, which one."""
        return [
            (call.call_id, a, n)
            for call in self.calls
            for a, b in (SIDES, SIDES[::-1])
            for n in sorted(set(range(call.ends[a].sent)) - set(call.ends[b].heard))
        ]

    def doubled(self) -> int:
        return sum(len(end.heard) - len(set(end.heard)) for end in self.ends)

    def astray(self) -> list[str]:
        return [line for end in self.ends for line in end.foreign]

    def disordered(self) -> int:
        """Packets that were heard behind a later one."""
        return sum(
            later < earlier for end in self.ends for earlier, later in zip(end.heard, end.heard[1:], strict=False)
        )

    def listen_until(self, moment: float) -> None:
        while True:
            left = moment - time.monotonic()
            for key, _ in self._selector.select(max(0.0, left)):
                key.data.drain()
            if left <= 0:
                return

    # --- SIP ------------------------------------------------------------------------------------------------------

    def _handle_sip(self, *, until, what: str) -> None:
        end = time.monotonic() + 15
        with selectors.DefaultSelector() as selector:
            for side, sock in self._sip.items():
                selector.register(sock, selectors.EVENT_READ, side)
            while not until():
                if time.monotonic() > end:
                    pytest.fail(f"waited 15 s for {what}")
                for key, _ in selector.select(0.1):
                    text = self._sip[key.data].recv(65535).decode()
                    (self._heard_by_pbx if key.data == "pbx" else self._heard_by_carrier)(text)

    def _heard_by_pbx(self, text: str) -> None:
        call = self._by_id[_header(text, "Call-ID")]
        status, method = text.split(" ")[1], _header(text, "CSeq").split()[1]
        if (status, method) == ("200", "INVITE"):
            call.answer = text
            self.described("pbx", call.ends["pbx"], text)
            self._say("pbx", self._in_dialog(call, "ACK", 1))
        elif method == "BYE":
            self._ended.add(call.call_id)
            assert status == "200", text
        else:
            assert status in ("100", "180"), text

    def _heard_by_carrier(self, text: str) -> None:
        method = text.partition(" ")[0]
        if method == "INVITE":
            called = re.search(r"sip:\+1415555(\d{4})@", text)
            assert called, text
            end = self.calls[int(called[1]) - 2000].ends["carrier"]
            self.described("carrier", end, text)
            self._reply(text, "180 Ringing", "")
            self._reply(text, "200 OK", self.sdp("carrier", end))
        elif method == "BYE":
            self._hung_up.add(_header(text, "Call-ID"))
            self._reply(text, "200 OK", "")
        else:
            assert method == "ACK", text

    def _all_have_ended(self) -> bool:
        return min(len(self._ended), len(self._hung_up)) >= len(self.calls)

    def _all_know_where_to_send(self) -> bool:
        return all(end.to for end in self.ends)

    def _invite(self, call: Call) -> str:
        uri = f"sip:+1415555{2000 + self.calls.index(call)}@{self._node.inside}"
        return self._request("INVITE", uri, call, f"<{uri}>", 1, self.sdp("pbx", call.ends["pbx"]))

    def _in_dialog(self, call: Call, method: str, number: int) -> str:
        target = re.search(r"<([^>]+)>", _header(call.answer, "Contact"))
        assert target, call.answer
        return self._request(method, target[1], call, _header(call.answer, "To"), number, "")

    def _request(self, method: str, uri: str, call: Call, to: str, number: int, body: str) -> str:
        here = self._addresses["pbx"]
        branch = f"z9hG4bK-{call.call_id}-{method}"
        return _message(
            f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {here}:5060;branch={branch}", "Max-Forwards: 70",
            f"From: <sip:+14155550100@{here}>;tag=t{call.call_id}", f"To: {to}", f"Call-ID: {call.call_id}",
            f"CSeq: {number} {method}", f"Contact: <sip:pbx@{here}:5060>", body=body,
        )  # fmt: skip

    def _reply(self, request: str, status: str, body: str) -> None:
        to = _header(request, "To")
        to += "" if ";tag=" in to else ";tag=carrier"
        lines = [f"{name}: {_header(request, name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
        here = self._addresses["carrier"]
        self._say(
            "carrier", _message(f"SIP/2.0 {status}", *lines, f"To: {to}", f"Contact: <sip:{here}:5060>", body=body)
        )

    def described(self, _side: Side, end: End, text: str) -> None:
        """The SBC has said where this end sends to."""
        end.to = _media_of(text)

    def sdp(self, side: Side, end: End) -> str:
        here, port = end.sock.getsockname()
        return f"v=0\r\no={side} 1 1 IN IP4 {here}\r\ns=-\r\nc=IN IP4 {here}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"

    def _say(self, side: Side, text: str) -> None:
        to = self._node.inside if side == "pbx" else self._node.outside
        self._sip[side].sendto(text.encode(), (to, 5060))

    # --- sockets --------------------------------------------------------------------------------------------------

    def _call(self, n: int) -> Call:
        port = next(_PORTS)
        ends = {
            side: self.end(side, 2 * n + 1 + i, 2 * n + 2 - i, self._socket(side, port)) for i, side in enumerate(SIDES)
        }
        return Call(f"talk{self._batch}-{n}", ends)

    def end(self, _side: Side, ssrc: int, expects: int, sock: socket.socket) -> End:
        return End(ssrc, expects, sock)

    def _socket(self, side: Side, port: int) -> socket.socket:
        with self._inside(side):
            return _socket(self._addresses[side], port)

    def close(self) -> None:
        """Without a word to the other side."""
        self.close_sip()
        self._selector.close()
        for end in self.ends:
            end.sock.close()

    def close_sip(self) -> None:
        """Other calls may use the port."""
        for sock in self._sip.values():
            sock.close()


def _socket(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock


def _header(text: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*)\r$", text, re.MULTILINE)
    assert found, f"no {name} in {text}"
    return found[1]


def _media_of(text: str) -> tuple[str, int]:
    host, port = re.search(r"^c=IN IP4 (\S+)", text, re.MULTILINE), re.search(r"^m=audio (\d+)", text, re.MULTILINE)
    assert host, text
    assert port, text
    return host[1], int(port[1])


def _message(start: str, *lines: str, body: str) -> str:
    described = ("Content-Type: application/sdp",) if body else ()
    return "\r\n".join([start, *lines, *described, f"Content-Length: {len(body)}", "", body])
