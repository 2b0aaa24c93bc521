"""What it costs an overloaded engine to refuse a call: CPU per INVITE that gets its 503, and per ACK of that.

The same INVITE as the bench's other figures. Used by `sbc bench`.
"""

import time

from msgspec import Struct

from sbc.b2bua.events import QueueAged
from sbc.b2bua.overload import LATE
from sbc.b2bua.steering import INTERVAL
from sbc.cli.bench_engine import PBX, EngineBench, bench_invite
from sbc.sip.commands import SendMessage

_OFFERED = 500  # calls in each interval, before anything is measured


class ShedCost(Struct, frozen=True):
    """CPU microseconds."""

    invite_us: float
    ack_us: float

    @property
    def both_us(self) -> float:
        return self.invite_us + self.ack_us


def shed_cost(rounds: int = 3_000) -> ShedCost:
    """The best of five."""
    bench = _overloaded()
    best_invite = best_ack = float("inf")
    for turn in range(1, 6):
        invites = [bench_invite(turn * 1_000_000 + n) for n in range(rounds)]
        begun = time.process_time()
        answers = [bench.switch.receive(invite, PBX, bench.now) for invite in invites]
        refused = time.process_time()
        acks = [_ack(out[0].data) for out in answers if out and isinstance(out[0], SendMessage)]
        assert len(acks) == rounds  # noqa: S101  a bench of something else would be worthless
        begun_acks = time.process_time()
        for ack in acks:
            bench.switch.receive(ack, PBX, bench.now)
        acknowledged = time.process_time()
        best_invite = min(best_invite, (refused - begun) / rounds)
        best_ack = min(best_ack, (acknowledged - begun_acks) / rounds)
    return ShedCost(best_invite * 1e6, best_ack * 1e6)


def _overloaded() -> EngineBench:
    """One whose queue has grown older for three intervals, and that lets nothing more in until it is shorter."""
    bench = EngineBench()
    for turn in range(4):
        bench.switch.handle(QueueAged(LATE * (turn + 1) / 4 + 0.01, "udp"), bench.now)
        for n in range(_OFFERED):
            bench.switch.receive(bench_invite(turn * _OFFERED + n), PBX, bench.now)
        bench.now += INTERVAL
    bench.switch.handle(QueueAged(LATE + 0.01, "udp"), bench.now)
    return bench


def _ack(refusal: bytes) -> bytes:
    lines = refusal.split(b"\r\n")
    kept = [line for line in lines[1:] if line.startswith((b"Via", b"From", b"To", b"Call-ID"))]
    start = b"ACK sip:+12125550123@127.0.0.10:5060 SIP/2.0"
    return b"\r\n".join((start, b"Max-Forwards: 70", *kept, b"CSeq: 1 ACK", b"Content-Length: 0\r\n\r\n"))
