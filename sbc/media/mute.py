"""Silence for a media socket that no session uses: a filter in the kernel that drops every packet (Linux, socket(7)).

A muted port cannot be filled by strangers, so nothing stale is heard when a call gets it. The filter belongs to the
socket and not to the process that set it: while a worker is started again, the ports of running sessions, which are
not muted, go on queueing what is then relayed. Used by the runtime, which opens ports muted, and by the media worker.
"""

import array
import errno
import struct
from typing import Final, Protocol

_SOL_SOCKET: Final = 1
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
_RETURN: Final = 0x06  # BPF_RET | BPF_K: let so many octets of the packet in, here none

_program = array.array("B", struct.pack("=HBBI", _RETURN, 0, 0, 0))
_filter: Final = struct.pack("@HP", 1, _program.buffer_info()[0])  # struct sock_fprog: one instruction, at this address


class Muteable(Protocol):
    def setsockopt(self, level: int, option: int, value: bytes | int, /) -> None: ...


def mute(port: Muteable) -> None:
    """From now on everything that comes is dropped; what is queued stays queued."""
    port.setsockopt(_SOL_SOCKET, _SO_ATTACH_FILTER, _filter)


def unmute(port: Muteable) -> None:
    """Harmless where the port is not muted."""
    try:
        port.setsockopt(_SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
