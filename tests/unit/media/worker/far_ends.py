"""Who sends to a port, for the tests of who may: the far end of a description, its neighbours, strangers."""

from sbc.media import wire
from sbc.media.worker.latch import Latch, Source

SDP = ("192.0.2.30", 4000)
OTHER_PORT = ("192.0.2.30", 4010)
STRANGER = ("203.0.113.66", 4000)
INSIDE_NAT = ("198.51.100.7", 61000)
NAT = ("198.51.100.0/24",)
OWN = frozenset({"192.0.2.1", "198.51.100.1"})
SSRC = b"ours"


def end(
    latching: wire.Latching = "address",
    remote: tuple[str, int] | None = SDP,
    *,
    epoch: int = 0,
    rtcp: int = 4001,
    mux: bool = False,
) -> wire.End:
    where = None if remote is None else wire.Remote(*remote, rtcp)
    return wire.End("192.0.2.1", 20000, where, latching, NAT if latching == "nat" else (), epoch, mux)


def made(one: wire.End, now: float = 0.0) -> Latch:
    latch = Latch()
    latch.put(one, OWN, now)
    return latch


def rtp(sequence: int, ssrc: bytes = SSRC) -> bytearray:
    return bytearray((0x80, 8)) + (sequence & 0xFFFF).to_bytes(2) + bytes(4) + ssrc + bytes(160)


def hears(latch: Latch, source: Source, *sequences: int, ssrc: bytes = SSRC, now: float = 0.0) -> list[int]:
    return [latch.hears(rtp(n, ssrc), 172, source, int(now * 1e9)) for n in sequences]
