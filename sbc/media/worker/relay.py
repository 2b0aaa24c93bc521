"""The hot path: one packet in, its source compared, counted, one packet out.

`relay` itself carries the packet that nearly all are: from the locked source, the next number of the same RTP stream,
of a payload type that leaves as it came. It is told by its first four octets, and counted as `Statistics.take` would,
which is written out here. Everything else is `carry`'s. It knows neither sessions nor the poller.
"""

import struct
from collections import deque
from itertools import repeat
from typing import Final

from sbc.media.worker import slots
from sbc.media.worker.carry import take_in
from sbc.media.worker.inlet import BUFFER, NEVER, RTP_OCTETS, VIEW, Inlet, sent_again
from sbc.media.worker.latch import Source
from sbc.media.worker.ports import QUEUED_AT_MOST
from sbc.media.worker.statistics import FARTHEST, FULL, LONGEST_NS, shifted

__all__ = ["Inlet", "catch_up", "relay"]

_CAUGHT_UP: Final = 4  # packets of 20 ms: more than an answer takes, less than an ear minds
_DRAINED: Final = 64  # packets at once of a way that waits for its socket to be empty
_VIEWS: Final = 1500

_views: Final = tuple(VIEW[:size] for size in range(_VIEWS))  # cutting costs more than looking up
_words = struct.Struct("!III").unpack_from  # version to sequence number, timestamp, SSRC
_write_hot = struct.Struct(slots.HOT).pack_into


def relay(inlet: Inlet, budget: int) -> None:
    """Relay what waits at an inlet, `budget` packets at most."""
    recv = inlet.recv
    statistics = inlet.statistics
    now_ns = int(inlet.clock() * 1e9)
    for _ in repeat(None, budget if inlet.offer is None else _DRAINED):
        try:
            size, source = recv(BUFFER)
        except BlockingIOError:
            if inlet.offer is None or not inlet.offer(now_ns / 1e9):
                return
            continue
        except OSError:
            continue  # an error that the network reported for an earlier packet: reading it has cleared it
        if source != inlet.source or size < RTP_OCTETS:
            take_in(inlet, size, source, now_ns)
            continue
        word, timestamp, ssrc = _words(BUFFER)
        # RFC 3550 §A.8; only where the difference is small do its two sides not have to be compared modulo 2**32
        elapsed = now_ns - statistics.last_ns
        difference = elapsed * inlet.units // inlet.per_ns - timestamp + statistics.timestamp
        if difference < 0:
            difference = -difference
        if (
            word != inlet.following
            or ssrc != statistics.ssrc
            or difference > FARTHEST
            or not 0 <= elapsed <= LONGEST_NS
            or statistics.packets >= inlet.quota
            or size >= _VIEWS
        ):
            take_in(inlet, size, source, now_ns)
            continue
        try:
            inlet.send(_views[size], inlet.target)  # type: ignore[arg-type]  # without one nothing is plain
        except OSError as error:
            if not sent_again(inlet, VIEW[:size], error):
                inlet.following = NEVER
                statistics.take(word & 0xFFFF, timestamp, ssrc, statistics.rate, now_ns)
                statistics.add(slots.DROPPED)
                continue
        statistics.sequence = sequence = word & 0xFFFF
        inlet.following = word + 1 if sequence != 0xFFFF else word - 0xFFFF
        jitter = statistics.jitter
        statistics.jitter = jitter = jitter + difference - ((jitter + 8) >> 4)
        if jitter > statistics.jitter_max:  # noqa: PLR1730 - a call costs more than all of the jitter
            statistics.jitter_max = jitter
        window = statistics.window
        if window is not FULL:
            statistics.window = window = shifted(window, 1)
        statistics.timestamp = timestamp
        statistics.last_ns = now_ns
        statistics.packets = packets = statistics.packets + 1
        statistics.octets = octets = statistics.octets + size
        _write_hot(
            statistics.memory,
            statistics.offset,
            packets,
            octets,
            now_ns,
            window,
            timestamp,
            jitter,
            statistics.jitter_max,
            sequence,
        )
    if inlet.offer is not None and budget < _DRAINED:
        relay(inlet, _DRAINED)  # a packet has brought the way back: it waits for its socket to be empty


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
