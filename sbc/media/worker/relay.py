"""The hot path: one packet in, its source compared, counted, one packet out.

An `Inlet` is one direction of RTP or RTCP: what arrives at one of our sockets and leaves by the socket of the other
end. Sockets are not connected: with `latching: address` the far end may change its source port, and a connected socket
would never show us such a packet, nor a stranger's to count. Measured by `sbc bench`, all this costs at most a quarter
more than bare `recv_into` and `send` on connected sockets. It knows neither sessions nor the poller; what has to be
changed in a packet is an `Edit`, and most streams have none.
"""

from collections import deque
from collections.abc import Callable
from itertools import repeat
from typing import Final

from sbc.media.worker.latch import NOWHERE, Latch
from sbc.media.worker.ports import QUEUED_AT_MOST, Udp

RTP_OCTETS: Final = 12  # fixed header, RFC 3550 §5.1
RTCP_OCTETS: Final = 8  # header and SSRC of the first packet, SR or RR, RFC 3550 §6.4

_CAUGHT_UP: Final = 4  # packets of 20 ms: more than an answer takes, less than an ear minds

# Changes the packet that fills the first octets of a buffer, in place; true where it must not be relayed.
Edit = Callable[[bytearray, int], bool | None]

_buffer = bytearray(65_536)
_view = memoryview(_buffer)


class Inlet:
    """One direction: packets from the latch's source that reach `socket` leave by `outlet` for `target`.

    `least` is how many octets a packet must have to be RTP or RTCP; 0 for an opaque stream, which is not read.
    `edit`: for packets that do not leave as they came. What it keeps back is not counted here.
    """

    __slots__ = ("dropped", "edit", "host", "least", "octets", "packets", "port", "recv", "send", "target")

    def __init__(
        self, socket: Udp, outlet: Udp, source: Latch, target: tuple[str, int], least: int, edit: Edit | None = None
    ) -> None:
        self.recv = socket.recvfrom_into
        self.send = outlet.sendto
        self.host = source.host
        self.port = source.port
        self.target = target
        self.least = least
        self.edit = edit
        self.packets = 0
        self.octets = 0
        self.dropped = 0

    @property
    def has_target(self) -> bool:
        return self.target is not NOWHERE


def relay(inlet: Inlet, budget: int) -> None:
    """Relay what waits at an inlet, `budget` packets at most."""
    recv = inlet.recv
    for _ in repeat(None, budget):
        try:
            size, source = recv(_buffer)
        except BlockingIOError:
            return
        except OSError:
            continue  # an error that the network reported for an earlier packet: reading it has cleared it
        if source[0] != inlet.host or (inlet.port and source[1] != inlet.port):
            inlet.dropped += 1
            continue
        # "Version (V): 2 bits … two (2)" RFC 3550 §5.1, §6.4.1: STUN, DTLS and other guests of the port are not relayed
        if inlet.least and (size < inlet.least or not 128 <= _buffer[0] < 192):
            inlet.dropped += 1
            continue
        edit = inlet.edit
        if edit is not None and edit(_buffer, size):
            continue
        try:
            inlet.send(_view[:size], inlet.target)
        except OSError as error:
            if not _sent_again(inlet, _view[:size], error):
                inlet.dropped += 1
                continue
        inlet.packets += 1
        inlet.octets += size


def catch_up(inlet: Inlet) -> None:
    """Relay the newest few of what waits at an inlet that has just learned its source and target; drop the older."""
    newest: deque[tuple[bytes, tuple[str, int]]] = deque(maxlen=_CAUGHT_UP)
    for _ in repeat(None, QUEUED_AT_MOST):
        try:
            size, source = inlet.recv(_buffer)
        except BlockingIOError:
            break
        except OSError:
            continue
        inlet.dropped += len(newest) == _CAUGHT_UP
        newest.append((bytes(_view[:size]), source))
    for data, source in newest:
        _relay_one(inlet, data, source)


def _relay_one(inlet: Inlet, data: bytes, source: tuple[str, int]) -> None:
    """As `relay` does, for a packet that has been read already."""
    size = len(data)
    is_foreign = source[0] != inlet.host or (inlet.port and source[1] != inlet.port)
    if is_foreign or (inlet.least and (size < inlet.least or not 128 <= data[0] < 192)):
        inlet.dropped += 1
        return
    _buffer[:size] = data
    if inlet.edit is not None and inlet.edit(_buffer, size):
        return
    if not send(inlet, _view[:size]):
        inlet.dropped += 1
        return
    inlet.packets += 1
    inlet.octets += size


def send(inlet: Inlet, data: bytes | memoryview) -> bool:
    """Send one packet where the inlet's packets go; False where it cannot be."""
    try:
        inlet.send(data, inlet.target)
    except OSError as error:
        return _sent_again(inlet, data, error)
    return True


def _sent_again(inlet: Inlet, data: bytes | memoryview, error: OSError) -> bool:
    """A refusal reported on a send concerns an earlier packet: this one was not tried yet. Anything else is final."""
    if not isinstance(error, ConnectionRefusedError):
        return False
    try:
        inlet.send(data, inlet.target)
    except OSError:
        return False
    return True
