"""Keys and values of the map `flows`, as relay.bpf.c declares them (struct key, struct flow).

A change here or there that an older program would misread needs a higher LAYOUT: maps of another layout are emptied
and made anew. Used by `engine`; sizes are held against the object by the tests.
"""

import socket
import struct
from functools import lru_cache
from typing import Final

from sbc.media.worker.engine import Flow
from sbc.media.worker.slots import SLOT_OCTETS, SLOTS

LAYOUT: Final = 1
WORKERS: Final = 64  # entries of the map `alive`
ROUTE_OCTETS: Final = 40  # of an entry of the map `routes`, which is the program's alone

# address in network order (IPv4: the first four octets), port in network order, 4 or 6, 0
KEY: Final = struct.Struct("<16s2sBx")
# generation, slot index, SSRC in network order, rate, packets per second, worker, source, out, target, the three ports
# in network order, TOS octet, sums of the changed addresses and ports; 128 payload types; the generation again
FLOW: Final = struct.Struct("<II4sIII16s16s16s2s2s2sHII128sI4x")
_GENERATION_MASK: Final = 0xFFFFFFFF
_WORKER_AT: Final = 20
_FAMILY_AT: Final = 18
_IPV4_OCTETS: Final = 4
_RATE_AT_MOST: Final = 1_000_000  # Hz; the program's product of time and rate stays within 64 bits


class Unfit(Exception):  # noqa: N818 - not an error: the userland engine relays it
    """This flow cannot be relayed by the kernel; the text says why, for people."""


@lru_cache(maxsize=4096)
def key_of(local: str, port: int) -> bytes:
    """Raises OSError where `local` is no IP literal, OverflowError where `port` is no port."""
    packed = _packed(local)
    return KEY.pack(packed, port.to_bytes(2), 4 if len(packed) == _IPV4_OCTETS else 6)


def place_of(key: bytes) -> tuple[str, int]:
    """(local, port): the inverse of `key_of`."""
    address, port, family = KEY.unpack(key)
    return _host(address, family), int.from_bytes(port)


def flow_of(key: bytes, value: bytes) -> Flow:
    """The inverse of `key_of` and `value_of`."""
    local, port = place_of(key)
    family = key[_FAMILY_AT]
    _, slot, ssrc, rate, packets_per_second, _, *rest, tos, _, _, types, _ = FLOW.unpack(value)
    hosts = [_host(packed, family) for packed in rest[:3]]
    source, out, target = ((host, int.from_bytes(number)) for host, number in zip(hosts, rest[3:], strict=True))
    return Flow(
        local,
        port,
        source,
        out,
        target,
        slot * SLOT_OCTETS,
        int.from_bytes(ssrc),
        rate,
        types,
        tos >> 2,
        packets_per_second,
    )


def is_of(value: bytes, number: int, workers: int) -> bool:
    """Whether that worker has to see to it. Those of a worker that there is no longer are the first one's."""
    owner = int.from_bytes(value[_WORKER_AT : _WORKER_AT + 4], "little")
    return owner == number or (number == 0 and owner >= workers)


def value_of(flow: Flow, worker: int, generation: int) -> bytes:
    """Raises Unfit, OSError where a host is no IP literal, OverflowError or struct.error where a number cannot be."""
    local, source, out, target = (_packed(host) for host in (flow.local, flow.source[0], flow.out[0], flow.target[0]))
    if not len(local) == len(source) == len(out) == len(target):
        raise Unfit("address families differ")
    if any(_is_link_local(host) for host in (local, source, out, target)):
        raise Unfit("a link-local address says nothing without its device")
    if len(flow.types) != 128 or not 0 < flow.rate <= _RATE_AT_MOST or not 0 <= flow.dscp < 64:
        raise Unfit("its payload types, clock rate or DSCP cannot be")
    if flow.slot % SLOT_OCTETS or not 0 <= flow.slot < SLOTS * SLOT_OCTETS:
        raise Unfit("it has no counters in the kernel's memory")
    # Deviation: marks of ECN for RTP (RFC 6679) do not pass: both engines send with these two bits 0, as whoever makes
    # a packet anew. Who wants ECN tries the path first, and finds that it has none.
    ports = (flow.source[1].to_bytes(2), flow.out[1].to_bytes(2), flow.target[1].to_bytes(2))
    generation &= _GENERATION_MASK
    return FLOW.pack(
        generation,
        flow.slot // SLOT_OCTETS,
        flow.ssrc.to_bytes(4),
        flow.rate,
        flow.packets_per_second,
        worker,
        source,
        out,
        target,
        *ports,
        flow.dscp << 2,
        _sum_of_change(source + local, out + target),
        _sum_of_change(ports[0] + flow.port.to_bytes(2), ports[1] + ports[2]),
        flow.types,
        generation,
    )


@lru_cache(maxsize=4096)
def _packed(host: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)


def _is_link_local(packed: bytes) -> bool:
    """fe80::/10, RFC 4291 §2.5.6. Those of IPv4 are looked up as any other."""
    return len(packed) != _IPV4_OCTETS and packed[0] == 0xFE and packed[1] >> 6 == 2


def _host(address: bytes, family: int) -> str:
    if family == 4:
        return socket.inet_ntop(socket.AF_INET, address[:_IPV4_OCTETS])
    return socket.inet_ntop(socket.AF_INET6, address)


def _sum_of_change(old: bytes, new: bytes) -> int:
    """What putting `new` for `old` adds to a ones' complement sum of 16-bit words in the machine's order (RFC 1624)."""
    total: int = sum(struct.unpack(f"<{len(new) // 2}H", new))
    total += sum(0xFFFF - word for word in struct.unpack(f"<{len(old) // 2}H", old))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
