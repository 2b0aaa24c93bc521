"""The hot path: one packet in, its source compared, counted, one packet out.

`relay_ready` itself carries the packet that nearly all are: from the locked source, the next number of the same RTP
stream, of a payload type that leaves as it came. It is told by its first four octets, and counted as `Statistics.take`
would, which is written out here, from slot to slot. Everything else is `carry`'s. It knows neither sessions nor the
poller.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Final

from sbc.media.worker import slots
from sbc.media.worker.carry import take_in
from sbc.media.worker.inlet import BUFFER, RTP_OCTETS, VIEW, Inlet
from sbc.media.worker.lane import Lane
from sbc.media.worker.latch import NOWHERE, Source
from sbc.media.worker.ports import QUEUED_AT_MOST
from sbc.media.worker.statistics import FARTHEST, FULL, LONGEST_NS, shifted

__all__ = ["Inlet", "catch_up", "empty", "relay", "relay_ready"]

_CAUGHT_UP: Final = 4  # packets of 20 ms: more than an answer takes, less than an ear minds
_DRAINED: Final = 64  # packets at once of a way that waits for its socket to be empty
_VIEWS: Final = 1500

_views: Final = tuple(VIEW[:size] for size in range(_VIEWS))  # cutting costs more than looking up
_words = struct.Struct("!III").unpack_from  # version to sequence number, timestamp, SSRC
# The slot up to SSRC, as this machine has it, which is faster than to say how. The window is signed: full, it is -1.
_read_slot = struct.Struct("@QQQqIIIHHI").unpack_from
_write_slot = struct.Struct("@QQQqIIIH").pack_into


def relay_ready(
    events: Iterable[tuple[int, int]],
    lanes: Sequence[Lane | None],
    others: Mapping[int, Callable[[], object]],
    now_ns: int,
    *,
    is_drained: bool = False,
) -> None:
    """Relay one packet for each event of epoll: a descriptor, by which `lanes` are numbered, and what is not looked at.

    `others`: who is told, where there is no lane. `is_drained`: all events are the same socket's; the end is when it
    has nothing more.
    """
    for fd, _ in events:
        lane = lanes[fd]
        if lane is None:
            if fd in others:
                others[fd]()
            continue
        recv, source = lane.recv, None
        try:
            if recv is None:
                size, source = lane.recv_from(BUFFER)
            else:
                size = recv(BUFFER)
        except BlockingIOError:
            if lane.inlet.offer is not None:
                empty(lane.inlet, now_ns)
            if is_drained:
                return
            continue
        except OSError:
            continue  # an error that the network reported for an earlier packet: reading it has cleared it
        memory, offset = lane.memory, lane.offset
        word, timestamp, ssrc = _words(BUFFER)
        packets, octets, last_ns, window, before, jitter, jitter_max, sequence, _, known = _read_slot(memory, offset)
        sequence += 1
        # RFC 3550 §A.8; only where the difference is small do its two sides not have to be compared modulo 2**32
        elapsed = now_ns - last_ns
        difference = elapsed * lane.units // lane.per_ns - timestamp + before
        if difference < 0:
            difference = -difference
        if (
            word != lane.head + sequence
            or ssrc != known
            or difference > FARTHEST
            or not 0 <= elapsed <= LONGEST_NS
            or packets >= lane.quota
            or not RTP_OCTETS <= size < _VIEWS
            or (source is not None and source != lane.inlet.source)
            or sequence > 0xFFFF
        ):
            _take_in(lane, size, source, now_ns)
            continue
        send = lane.send
        try:
            if send is None:
                lane.inlet.send(_views[size], lane.inlet.target or NOWHERE)
            else:
                send(_views[size])
        except OSError:  # the error of an earlier packet, or this one's: the long way tells
            _take_in(lane, size, source, now_ns)
            continue
        jitter += difference - ((jitter + 8) >> 4)
        if jitter > jitter_max:  # noqa: PLR1730 - a call costs more than all of the jitter
            jitter_max = jitter
        if window != -1:
            window = _moved_on(window)
        _write_slot(memory, offset, packets + 1, octets + size, now_ns, window, timestamp, jitter, jitter_max, sequence)


def relay(inlet: Inlet, budget: int) -> None:
    """Relay what waits at an inlet, `budget` packets at most."""
    relay_ready(repeat((0, 0), budget), (inlet.lane,), {}, int(inlet.clock() * 1e9), is_drained=True)


def empty(inlet: Inlet, now_ns: int) -> bool:
    """Relay what waits at an inlet, some packets at most, the long way; and offer it where nothing is left. Returns
    whether nothing is.
    """
    lane = inlet.lane
    for _ in repeat(None, _DRAINED):
        try:
            size, source = lane.recv_from(BUFFER) if lane.recv is None else (lane.recv(BUFFER), None)
        except BlockingIOError:
            if inlet.offer is None or not inlet.offer(now_ns / 1e9):
                return True
            continue
        except OSError:
            continue
        take_in(inlet, size, source or inlet.peer, now_ns)
    return False


def _take_in(lane: Lane, size: int, source: Source | None, now_ns: int) -> None:
    """The packet in the buffer goes the long way."""
    inlet = lane.inlet
    take_in(inlet, size, source or inlet.peer, now_ns)
    if inlet.offer is not None:
        empty(inlet, now_ns)  # the engine may have the way as soon as its socket is empty


def _moved_on(window: int) -> int:
    """The window one number on; both signed."""
    window = shifted(window & FULL, 1)
    return window - FULL - 1 if window >> 63 else window


def catch_up(inlet: Inlet) -> None:
    """Relay the newest few of what waits at an inlet that has just learned who may send, and where to; drop the older.

    Strangers, however many, do not take their place.
    """
    gate, now_ns = inlet.gate, int(inlet.clock() * 1e9)
    newest: deque[tuple[bytes, Source]] = deque(maxlen=_CAUGHT_UP)
    for _ in repeat(None, QUEUED_AT_MOST):
        try:
            size, source = inlet.recv(BUFFER)
        except BlockingIOError:
            break
        except OSError:
            continue
        if gate is not None and not gate.may_hear(source):
            inlet.statistics.add(slots.FOREIGN)
            continue
        if len(newest) == _CAUGHT_UP:
            inlet.statistics.add(slots.DROPPED)
        newest.append((bytes(VIEW[:size]), source))
    for data, sender in newest:
        BUFFER[: len(data)] = data
        take_in(inlet, len(data), sender, now_ns)
