"""What a call costs inside the engine: CPU per message and per complete call, memory per established call.

The peers' messages are made outside the measured spans; only time spent in the engine counts. Used by `sbc bench`.
"""

import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import TypeVar

from sbc.b2bua.commands import AskMedia, Command, OpenPorts, WriteCdr
from sbc.b2bua.events import CdrDurable, Event, MediaReplied, PortsOpened
from sbc.b2bua.switch import Switch
from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import IdSource
from sbc.media import wire
from sbc.policy.engine import Policy
from sbc.policy.load import Source, parse_policy
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request, Response
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize

POLICY = """
sbc: {name: bench}
interfaces:
  inside: {sip: ["udp:127.0.0.10:5060"], media: 127.0.0.10}
  outside: {sip: ["udp:127.0.0.20:5060"], media: 127.0.0.20}
media: {ports: 10000-65535}
pbxs:
  office: {interface: inside, address: "sip:127.0.0.30:5060", dids: ["+14155550100-+14155550199"]}
trunks:
  carrier: {interface: outside, servers: ["sip:127.0.0.40:5060"]}
routes:
  - {name: outbound, from: office, to: ["+1."], via: [carrier]}
  - {name: inbound, from: carrier, to: dids}
"""

SDP = (
    b"v=0\r\no=pbx 2890844526 2890844526 IN IP4 127.0.0.30\r\ns=call\r\nc=IN IP4 127.0.0.30\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
)

PBX = Flow(Transport.UDP, "inside", Address("127.0.0.10", 5060), Address("127.0.0.30", 5060))
CARRIER = Flow(Transport.UDP, "outside", Address("127.0.0.20", 5060), Address("127.0.0.40", 5060))


def bench_invite(n: int = 0) -> bytes:
    """An INVITE as a PBX sends it: 14 header fields and a session description."""
    return (
        b"INVITE sip:+12125550123@127.0.0.10:5060 SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 127.0.0.30:5060;branch=z9hG4bKbench%d;rport\r\n"
        b"Max-Forwards: 70\r\n"
        b'From: "Reception" <sip:+14155550100@127.0.0.30>;tag=f%d\r\n'
        b"To: <sip:+12125550123@127.0.0.10>\r\n"
        b"Call-ID: bench-%d@127.0.0.30\r\n"
        b"CSeq: 1 INVITE\r\n"
        b"Contact: <sip:reception@127.0.0.30:5060>\r\n"
        b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\n"
        b"Supported: replaces, timer\r\n"
        b"User-Agent: Bench PBX 1.0\r\n"
        b"Session-Expires: 1800\r\n"
        b"P-Asserted-Identity: <sip:+14155550100@127.0.0.30>\r\n"
        b"Content-Type: application/sdp\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (n, n, n, len(SDP), SDP)
    )


_M = TypeVar("_M", Request, Response)


def parse_and_print(rounds: int = 4000) -> tuple[float, float]:
    """CPU microseconds to parse the bench INVITE, and to print it again; the best of five."""
    texts = [bench_invite(n) for n in range(rounds)]
    best_parse = best_print = float("inf")
    for _ in range(5):
        begun = time.process_time()
        messages = [parse_message(text, stream=False) for text in texts]
        parsed = time.process_time()
        for message in messages:
            serialize(message)
        printed = time.process_time()
        best_parse = min(best_parse, (parsed - begun) / rounds)
        best_print = min(best_print, (printed - parsed) / rounds)
    return best_parse * 1e6, best_print * 1e6


class EngineBench:
    """A Switch with a scripted PBX and carrier around it. `cpu` sums the time spent inside the engine."""

    def __init__(self, make_engine: Callable[[Policy, IdSource], Switch] = Switch) -> None:
        policy = parse_policy([Source("bench.yaml", POLICY.encode())])
        self.switch = make_engine(policy, IdSource(random.Random(1).randbytes))
        self.now = 0.0
        self.cpu = 0.0
        self._next_port: dict[str, int] = {}
        self._perform(self.switch.start(self.now))

    def receive(self, data: bytes, flow: Flow) -> list[SendMessage]:
        begun = time.thread_time()
        commands = self.switch.receive(data, flow, self.now)
        self.cpu += time.thread_time() - begun
        return self._perform(commands)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while (deadline := self.switch.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            begun = time.thread_time()
            commands = self.switch.tick(self.now)
            self.cpu += time.thread_time() - begun
            self._perform(commands)
        self.now = end

    def establish(self, n: int) -> tuple[Request, Response, Request]:
        """A call until its ACK: the egress INVITE, the ingress 200 and the egress ACK."""
        invite = self.ring(n)
        return (invite, *self.answer(n, invite))

    def ring(self, n: int) -> Request:
        """A call until its 180: the egress INVITE."""
        out = self.receive(bench_invite(n), PBX)
        invite = _only(out, CARRIER, Request)
        self.receive(_answer(invite, 100, n), CARRIER)
        self.receive(_answer(invite, 180, n), CARRIER)
        return invite

    def answer(self, n: int, invite: Request) -> tuple[Response, Request]:
        """The ingress 200 and the egress ACK."""
        out = self.receive(_answer(invite, 200, n), CARRIER)
        ok = _only(out, PBX, Response)
        ack = _only(out, CARRIER, Request)
        self.receive(_in_dialog(ok, "ACK", 1, n), PBX)
        return ok, ack

    def hang_up(self, n: int, ok: Response) -> None:
        """The PBX does."""
        out = self.receive(_in_dialog(ok, "BYE", 2, n), PBX)
        bye = _only(out, CARRIER, Request)
        self.receive(_answer(bye, 200, n), CARRIER)

    def complete(self, n: int) -> None:
        """14 messages: INVITE, 100, 180, 200, ACK, BYE, 200 on each leg."""
        _, ok, _ = self.establish(n)
        self.hang_up(n, ok)

    def _perform(self, commands: Sequence[Command]) -> list[SendMessage]:
        sent: list[SendMessage] = []
        for command in commands:
            match command:
                case SendMessage():
                    sent.append(command)
                case OpenPorts(local, pairs):
                    first = self._next_port.get(local, 10000)
                    self._next_port[local] = first + 2 * pairs
                    sent += self._event(PortsOpened(local, tuple(range(first, first + 2 * pairs, 2))))
                case AskMedia(wire.DeleteSession(ref)):
                    sent += self._event(MediaReplied(wire.SessionEnded(ref, (wire.StreamCount(_COUNT, _COUNT),))))
                case WriteCdr(record):
                    sent += self._event(CdrDurable(record.ref))
                case _:
                    pass
        return sent

    def _event(self, event: Event) -> list[SendMessage]:
        begun = time.thread_time()
        commands = self.switch.handle(event, self.now)
        self.cpu += time.thread_time() - begun
        return self._perform(commands)


_COUNT = wire.EndCount(received=50, received_octets=8600, sent=50, sent_octets=8600)


def call_cost(calls: int = 1500) -> float:
    """CPU microseconds in the engine per complete call, timers of dead transactions included."""
    bench = EngineBench()
    for n in range(200):
        bench.complete(n)
    bench.pass_time(60)
    bench.cpu = 0.0
    for n in range(200, 200 + calls):
        bench.complete(n)
        bench.pass_time(0.01)
    bench.pass_time(60)
    assert bench.switch.is_idle  # noqa: S101  a bench of something else would be worthless
    return bench.cpu / calls * 1e6


def memory_per_call(calls: int = 1000) -> float:
    """Octets that one more established call keeps, once the transactions of its set-up are gone."""
    bench = EngineBench()
    for n in range(50):
        bench.establish(n)
    bench.pass_time(60)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for n in range(50, 50 + calls):
        bench.establish(n)
        bench.pass_time(0.01)
    bench.pass_time(60)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / calls


def _only(out: Sequence[SendMessage], flow: Flow, kind: type[_M]) -> _M:
    for command in out:
        if command.flow.remote == flow.remote:
            message = parse_message(command.data, stream=False)
            if isinstance(message, kind) and getattr(message, "status", 200) != 100:
                return message
    raise RuntimeError(f"the engine sent no {kind.__name__} to {flow.remote}")


def _answer(request: Request, status: int, n: int) -> bytes:
    body = SDP if status == 200 and request.method == "INVITE" else b""
    to = request.header("To") or ""
    tag = "" if "tag=" in to else f";tag=t{n}"
    contact = "Contact: <sip:callee@127.0.0.40:5060>\r\n" if request.method == "INVITE" and status > 100 else ""
    kind = "Content-Type: application/sdp\r\n" if body else ""
    head = (
        f"SIP/2.0 {status} Fine\r\nVia: {request.header('Via')}\r\nFrom: {request.header('From')}\r\nTo: {to}{tag}\r\n"
        f"Call-ID: {request.call_id}\r\nCSeq: {request.header('CSeq')}\r\n{contact}Server: Bench Carrier 1.0\r\n"
        f"{kind}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body.replace(b"127.0.0.30", b"127.0.0.40").replace(b"4000", b"5000")


def _in_dialog(ok: Response, method: str, cseq: int, n: int) -> bytes:
    contacts = ok.contacts
    target = str(contacts[0].uri) if isinstance(contacts, tuple) else ""
    return (
        f"{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.30:5060;branch=z9hG4bK{method}{n};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: {ok.header('From')}\r\nTo: {ok.header('To')}\r\nCall-ID: {ok.call_id}\r\n"
        f"CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
    ).encode()
