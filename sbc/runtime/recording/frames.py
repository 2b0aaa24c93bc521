"""The values of a recording, in the order in which they happened: who recorded, policies, and each step of the engine.

A step holds its arguments, `now`, what it drew from the `IdSource`, and what came out: the commands themselves, or a
digest of them. They lie in the file as MessagePack arrays with a tag; who reads them checks them against these types.
Used by `engine` and `writer`, which make them, and by all that reads recordings.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from sbc.b2bua.events import Event, PolicyChanged
from sbc.core.address import Address, Flow, Transport

FORMAT: Final = 1  # of the frames; another one is refused
_DIGEST: Final = 8  # octets
_RAISED: Final = "raised"

Keeps = Literal["commands", "digest"]
Draws = tuple[str, ...]
"""Hexadecimal digits in the order in which they were drawn; of a key with `KEY` before them."""

KEY: Final = "key:"  # before what was drawn for a key of SRTP: nobody echoes it, so that it can be masked


class Life(Struct, frozen=True, array_like=True, tag="life"):
    """The begin of one process. `seed`: its PYTHONHASHSEED, empty where it had none. `at`: UTC seconds."""

    format: int
    number: int
    program: str
    python: str
    seed: str
    at: float
    keeps: Keeps = "commands"
    masked: bool = False


class PolicyRead(Struct, frozen=True, array_like=True, tag="policy"):
    """A policy that the engine gets by its `number`. `texts`: the files that it was read from, by their names."""

    number: int
    parts: bytes
    texts: tuple[tuple[str, bytes], ...] = ()


class Made(Struct, frozen=True, array_like=True, tag="made"):
    """The engine was made of that policy."""

    policy: int
    drawn: Draws = ()


class Shown(Struct, frozen=True, array_like=True, tag="shown"):
    """The fingerprint of the media workers' certificate."""

    fingerprint: tuple[str, str]


class Started(Struct, frozen=True, array_like=True, tag="start"):
    now: float
    drawn: Draws = ()
    outcome: bytes = b""


class Received(Struct, frozen=True, array_like=True, tag="receive"):
    now: float
    data: bytes
    flow: Flow
    drawn: Draws = ()
    outcome: bytes = b""


class BadFrame(Struct, frozen=True, array_like=True, tag="bad_frame"):
    now: float
    data: bytes
    flow: Flow
    reason: str
    drawn: Draws = ()
    outcome: bytes = b""


class Handled(Struct, frozen=True, array_like=True, tag="handle"):
    """`name`: the event's type; `event`: the event itself, in MessagePack."""

    now: float
    name: str
    event: bytes
    drawn: Draws = ()
    outcome: bytes = b""


class PolicyPut(Struct, frozen=True, array_like=True, tag="reload"):
    """`PolicyChanged`: that policy counts from now on."""

    now: float
    policy: int
    drawn: Draws = ()
    outcome: bytes = b""


class Ticked(Struct, frozen=True, array_like=True, tag="tick"):
    now: float
    drawn: Draws = ()
    outcome: bytes = b""


class Asked(Struct, frozen=True, array_like=True, tag="lets_go"):
    """Whether a removed listener may be closed; where it may, it counts as closed from now on."""

    now: float
    transport: Transport
    local: Address
    drawn: Draws = ()
    outcome: bytes = b""


class Ended(Struct, frozen=True, array_like=True, tag="end"):
    """Nothing was kept after this, and why."""

    reason: str


Step = Started | Received | BadFrame | Handled | PolicyPut | Ticked | Asked
Frame = Life | PolicyRead | Made | Shown | Step | Ended

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Frame)
# Sets and mappings in one order, whatever the order in which they are held.
_outcomes: Final = msgspec.msgpack.Encoder(
    order="deterministic", enc_hook=lambda value: f"{type(value).__name__}: {value}"
)
_EVENTS: Final = {kind.__name__: kind for kind in get_args(Event) if kind is not PolicyChanged}
_event_decoders: Final = {name: msgspec.msgpack.Decoder(kind) for name, kind in _EVENTS.items()}


def encode(frame: Frame) -> bytes:
    return _encoder.encode(frame)


def decode(data: bytes) -> Frame:
    """Raises msgspec.DecodeError (a ValueError) for what is no frame."""
    frame: Frame = _decoder.decode(data)
    return frame


def handled(event: Event, now: float, drawn: Draws, outcome: bytes) -> Handled:
    return Handled(now, type(event).__name__, _encoder.encode(event), drawn, outcome)


def event_of(frame: Handled) -> Event:
    """Raises ValueError for what is no event of this version."""
    decoder = _event_decoders.get(frame.name)
    if decoder is None:
        raise ValueError(f"an event {frame.name[:64]!r}, which this version does not know")
    event: Event = decoder.decode(frame.event)
    return event


def outcome_of(came_out: object, keeps: Keeps = "commands") -> bytes:
    """Of the commands of one step, of the exception that it raised, or of its answer."""
    data = _outcomes.encode(_shown(came_out))
    return data if keeps == "commands" else digest_of(data)


def digest_of(outcome: bytes) -> bytes:
    return hashlib.blake2b(outcome, digest_size=_DIGEST).digest()


def _shown(came_out: object) -> object:
    if isinstance(came_out, Exception):
        return (_RAISED, type(came_out).__name__, str(came_out))
    if isinstance(came_out, Sequence):
        return [(type(command).__name__, command) for command in came_out]
    return came_out


def commands_in(outcome: bytes) -> list[Any]:
    """What a kept outcome says, for people: name and fields of each command."""
    found = msgspec.msgpack.decode(outcome)
    return found if isinstance(found, list) else [found]
