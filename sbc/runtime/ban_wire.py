"""What signalling and the helper that holds the kernel's list of banned sources say to each other.

MessagePack over Unix SOCK_SEQPACKET, one message a packet, one `Answer` for each. It cannot say more than this: so the
helper, which may change the kernel's tables, can be asked for nothing else.
"""

from typing import Final

import msgspec
from msgspec import Struct

from sbc.core import limits

MESSAGE_OCTETS: Final = 131_072
PORTS: Final = 64
LONGEST_SECONDS: Final = 31 * 86_400


class Banned(Struct, frozen=True, array_like=True):
    """An IPv4 address, or an IPv6 network of 64 bits; never a name."""

    source: str
    seconds: int


class Replace(Struct, frozen=True, tag=True):
    """These, and no others; what they send to these ports of ours, by UDP or TCP, is dropped."""

    ports: tuple[int, ...]
    bans: tuple[Banned, ...] = ()


class Change(Struct, frozen=True, tag=True):
    """First those that are lifted, then those that are banned; whoever is banned already has the new time."""

    lifts: tuple[str, ...] = ()
    bans: tuple[Banned, ...] = ()


class Clear(Struct, frozen=True, tag=True):
    """Take everything of ours out of the kernel."""


Message = Replace | Change | Clear


class Answer(Struct, frozen=True):
    """`fault`: why nothing of it was done, for people; empty: all of it was."""

    fault: str = ""


_encoder = msgspec.msgpack.Encoder()
_messages: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_answers = msgspec.msgpack.Decoder(Answer)


def encode(message: Message | Answer) -> bytes:
    return _encoder.encode(message)


def decode_message(data: bytes) -> Message:
    """Raises ValueError for what is none, or is too much."""
    message = _messages.decode(data)  # its errors are ValueErrors
    if not isinstance(message, Clear) and len(message.bans) > limits.BANS_AT_ONCE:
        raise ValueError(f"more than {limits.BANS_AT_ONCE} bans in one message")
    if isinstance(message, Change) and len(message.lifts) > limits.BANS_AT_ONCE:
        raise ValueError(f"more than {limits.BANS_AT_ONCE} lifts in one message")
    return message


def decode_answer(data: bytes) -> Answer:
    """Raises ValueError."""
    return _answers.decode(data)
