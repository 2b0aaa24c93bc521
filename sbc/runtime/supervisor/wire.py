"""What signalling and the supervisor say to each other.

MessagePack over a Unix SOCK_SEQPACKET pair, one message a packet. Signalling asks, `Asked`, and waits for `Answered`
with the same serial; notices have none. Descriptors travel beside `Opened` and `Pairs` (SCM_RIGHTS): of a pair RTP,
then RTCP, in the order of `ports`. The end of the pair is the end of the other process.
"""

from typing import Final, Literal

import msgspec
from msgspec import Struct

MESSAGE_OCTETS: Final = 16_384
PAIRS_AT_ONCE: Final = 60  # two descriptors each; the kernel passes at most 253 at once (SCM_MAX_FD)
PORTS_AT_ONCE: Final = 4_096  # numbers alone, in one message

# --- questions --------------------------------------------------------------------------------------------------------


class Listen(Struct, frozen=True, tag=True):
    """A SIP socket: answered by `Opened`, with the one that is held for these three already where there is one."""

    kind: Literal["udp", "tcp"]
    host: str
    port: int
    dscp: int


class OpenPairs(Struct, frozen=True, tag=True):
    """New media port pairs in a range, at most PAIRS_AT_ONCE: answered by `Pairs`."""

    local: str
    first: int
    last: int
    pairs: int
    dscp: int


class HeldPairs(Struct, frozen=True, tag=True):
    """Some pairs of an earlier life, on one local address: answered by `Pairs`, without ports when all are told."""


class StartWorker(Struct, frozen=True, tag=True):
    """Answered by `WorkerAt`, once there is something that takes connections."""

    number: int


class JournalMemory(Struct, frozen=True, tag=True):
    """The memory of the memory journal, the same in each life of signalling, and under one name in each life of the
    supervisor: answered by `Opened`.
    """

    name: str = ""


Question = Listen | OpenPairs | HeldPairs | StartWorker | JournalMemory


class Asked(Struct, frozen=True, tag=True):
    serial: int
    question: Question


# --- notices ----------------------------------------------------------------------------------------------------------


class ReplaceWorker(Struct, frozen=True, tag=True):
    """It hangs: kill it."""

    number: int


class CloseListener(Struct, frozen=True, tag=True):
    """A reload has taken it away. Nothing where it is not held."""

    kind: Literal["udp", "tcp"]
    host: str
    port: int


class ClosePairs(Struct, frozen=True, tag=True):
    """A reload has taken their address away. `ports`: of RTP, at most PORTS_AT_ONCE."""

    local: str
    ports: tuple[int, ...]


class Ready(Struct, frozen=True, tag=True):
    """Calls can come. What has not been asked for by now is not needed any more. `admin`: for people."""

    admin: str


class Stopping(Struct, frozen=True, tag=True):
    """No new calls; when signalling ends, so does everything."""


class Restart(Struct, frozen=True, tag=True):
    """An operator wants the program that is installed now to go on with everything; as SIGUSR2 to the supervisor."""


class Beat(Struct, frozen=True, tag=True):
    """The loop of signalling turns. `status`: what it does, for people; empty: as before."""

    status: str = ""


Message = Asked | ReplaceWorker | CloseListener | ClosePairs | Ready | Stopping | Restart | Beat

# --- answers ----------------------------------------------------------------------------------------------------------


class Opened(Struct, frozen=True, tag=True):
    """One descriptor."""


class Pairs(Struct, frozen=True, tag=True):
    """`short`: why there are fewer than were asked for."""

    local: str
    ports: tuple[int, ...]
    short: str = ""


class WorkerAt(Struct, frozen=True, tag=True):
    """A path, or with a leading zero octet an abstract address (unix(7))."""

    address: bytes


class Failed(Struct, frozen=True, tag=True):
    """What the operating system said."""

    errno: int
    text: str


class RestartRefused(Struct, frozen=True, tag=True):
    """Said without being asked, with serial 0: we stay what we are. `reason`: for people."""

    reason: str


class RestartBegins(Struct, frozen=True, tag=True):
    """As `RestartRefused`: we become the next program when signalling has left, which a signal tells it to."""


Answer = Opened | Pairs | WorkerAt | Failed | RestartRefused | RestartBegins


class Answered(Struct, frozen=True):
    serial: int
    answer: Answer


_encoder = msgspec.msgpack.Encoder()
_message_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_answer_decoder: msgspec.msgpack.Decoder[Answered] = msgspec.msgpack.Decoder(Answered)


def encode(message: Message | Answered) -> bytes:
    return _encoder.encode(message)


def decode_message(data: bytes) -> Message:
    """Raises msgspec.DecodeError (or its child ValidationError)."""
    try:
        return _message_decoder.decode(data)
    except UnicodeDecodeError as error:  # which msgspec lets through
        raise msgspec.DecodeError(str(error)) from error


def decode_answer(data: bytes) -> Answered:
    """Raises msgspec.DecodeError (or its child ValidationError)."""
    try:
        return _answer_decoder.decode(data)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error
