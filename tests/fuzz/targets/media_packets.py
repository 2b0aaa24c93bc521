"""What comes to a media port: RTP, RTCP, STUN, DTLS or anything, by its first octets. One call, the whole relay.

Each input is a list of packets: an octet that says where to and from whom, one for the length, then the octets.
"""

from sbc.media import wire
from tests.machines.worker_subjects import CARRIER, INSIDE, OUTSIDE, PBX, RTCP, RTP, STRANGER, STUN, MemoryService
from tests.machines.worker_subjects import stream as plain_stream

INSTRUMENTED = ("sbc.media.worker",)
ACCEPTS = ()
DTLS = bytes.fromhex("16fefd0000000000000000003001000024000000000000002400") + bytes(20)
ONE_OF_EACH = [
    b"".join(bytes([where, len(packet)]) + packet for where in (0, 1, 2, 3, 8))
    for packet in (RTP, RTCP, STUN, DTLS, b"", b"\x80")
]
A_DIGIT = bytes([0, 172]) + RTP[:3] + b"\2" + RTP[4:] + bytes([4, 16]) + b"\x80\x65\0\3" + bytes(12)
SEEDS = (*ONE_OF_EACH, bytes([0, 172]) + RTP + A_DIGIT)
WORDS = (b"\x80\x00", b"\x80\x65", b"\x80\xc8", b"\x16\xfe\xfd", b"\x00\x01\x00\x00", b"\x21\x12\xa4\x42")


def _worker():
    worker = MemoryService()
    stream = wire.Stream(
        *[getattr(plain_stream(worker), end) for end in ("ingress", "egress")],
        events=(101, 96), report_digits=("ingress",), plays_digits=True, packets_per_second=100,
    )  # fmt: skip
    worker.say(wire.PutSession("fuzz", 1, (stream,), silence_seconds=30.0))
    return worker


def check(data):
    worker = _worker()
    at, sent = 0, 0
    while at + 2 <= len(data):
        where, size = data[at], data[at + 1]
        packet = data[at + 2 : at + 2 + size]
        at += 2 + size
        n, is_outside, is_stranger = where & 1, bool(where & 2), bool(where & 8)
        local, ports = (OUTSIDE, worker.outside) if is_outside else (INSIDE, worker.inside)
        source = STRANGER if is_stranger else CARRIER if is_outside else PBX
        out = worker.send(source, n, local, ports[0] + n, packet)
        worker.now += where / 1000
        sent += 1
        assert len(out) <= 8  # one packet in: one out, or what was kept for the answer
        for _, far, _ in out:
            assert far.host in (CARRIER, PBX)
            assert not is_stranger
    worker.wait(1.0)
    for reply in (*worker.news(), *worker.say(wire.DeleteSession("fuzz"))):
        wire.encode(reply)
