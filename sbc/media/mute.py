"""What a media socket that no session uses may hear: nothing, or its former remote (a filter in the kernel, socket(7)).

A muted port cannot be filled by strangers, so nothing stale is heard when a call gets it. While a port rests, its
former remote alone may be let in, so that it is known when that is silent; a stranger reaches nobody. The filter
belongs to the socket and not to the process that set it: while a worker is started again, the ports of running
sessions, which are not muted, go on queueing what is then relayed. Used by the runtime, which opens ports muted, and by
the media worker.
"""

import array
import errno
import socket
import struct
from functools import lru_cache
from typing import Final, Protocol

_SO_ATTACH_FILTER: Final = 26  # the socket module does not name them
_SO_DETACH_FILTER: Final = 27

# Instructions of the classic packet filter: code, jump where true, jump where false, operand (linux/filter.h).
_LOAD_WORD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K: let so many octets of the packet in
_NETWORK_HEADER: Final = 0xFFF0_0000  # SKF_NET_OFF: a UDP socket's own view begins behind it
_SOURCE_OF_IPV4: Final = _NETWORK_HEADER + 12  # RFC 791 §3.1
_SOURCE_OF_IPV6: Final = _NETWORK_HEADER + 8  # RFC 8200 §3
_WHOLE: Final = 0xFFFF_FFFF

Instruction = tuple[int, int, int, int]

_NOTHING: Final[tuple[Instruction, ...]] = ((_RETURN, 0, 0, 0),)


class Muteable(Protocol):
    def setsockopt(self, level: int, option: int, value: bytes | int, /) -> None: ...


def mute(port: Muteable) -> None:
    """From now on everything that comes is dropped; what is queued stays queued."""
    port.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _muting.program)


def listen_to(port: Muteable, host: str) -> None:
    """From now on only this host is heard, from any port. `host`: an IP literal of the socket's family.

    Raises OSError where it is none.
    """
    listening = _listening(host)
    port.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, listening.program)


def unmute(port: Muteable) -> None:
    """Everything is heard. Harmless where it was already."""
    try:
        port.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def only_from(host: str) -> tuple[Instruction, ...]:
    """Compare each word of a packet's source with this address, and let the packet in where all are alike."""
    family, at = (socket.AF_INET6, _SOURCE_OF_IPV6) if ":" in host else (socket.AF_INET, _SOURCE_OF_IPV4)
    octets = socket.inet_pton(family, host)
    words = [int.from_bytes(octets[n : n + 4]) for n in range(0, len(octets), 4)]
    program: list[Instruction] = []
    for n, word in enumerate(words):
        to_the_end = 2 * (len(words) - n) - 1  # instructions to pass over, to the one that lets nothing in
        program += (_LOAD_WORD, 0, 0, at + 4 * n), (_JUMP_IF_EQUAL, 0, to_the_end, word)
    return (*program, (_RETURN, 0, 0, _WHOLE), (_RETURN, 0, 0, 0))


class Filter:
    """A program as the kernel takes it: `program` is a struct sock_fprog, good for as long as this object lives."""

    __slots__ = ("_instructions", "program")

    def __init__(self, instructions: tuple[Instruction, ...]) -> None:
        self._instructions = array.array("B", b"".join(struct.pack("=HBBI", *one) for one in instructions))
        self.program = struct.pack("@HP", len(instructions), self._instructions.buffer_info()[0])


@lru_cache(maxsize=256)
def _listening(host: str) -> Filter:
    """Kept, because a PBX or a carrier is one host, or a few."""
    return Filter(only_from(host))


_muting: Final = Filter(_NOTHING)
