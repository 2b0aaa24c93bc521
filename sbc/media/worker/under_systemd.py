"""What systemd gives a media worker that is a unit of its own: sd_listen_fds(3), and its store of descriptors.

The socket that signalling connects to comes from a .socket unit. The memory of the counters is put into the store by a
name (sd_notify(3), FDSTORE=1), and comes back when the unit is started again. Used by `main`.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

_FIRST: Final = 3  # SD_LISTEN_FDS_START
_MEMORY: Final = "memory"


def passed_descriptors(environment: Mapping[str, str]) -> dict[str, int]:
    """By the option of `main` that each stands for. Says that we are ready: signalling may connect already."""
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    count = environment.get("LISTEN_FDS", "")
    found: dict[str, int] = {}
    for n in range(int(count) if count.isdecimal() else 0):
        os.set_inheritable(_FIRST + n, False)
        is_memory = names[n : n + 1] == [_MEMORY]
        found.setdefault("--memory-fd" if is_memory else "--listen-fd", _FIRST + n)
    address = environment.get("NOTIFY_SOCKET", "")
    if address:
        with contextlib.suppress(OSError):
            _tell(address, found)
    return found


def _tell(address: str, found: dict[str, int]) -> None:
    """An address that begins with @ is abstract (sd_notify(3)). Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect("\0" + address[1:] if address.startswith("@") else address)
        if "--memory-fd" not in found:
            memory = os.memfd_create("sbc-media", os.MFD_CLOEXEC)
            socket.send_fds(notify, [f"FDSTORE=1\nFDNAME={_MEMORY}".encode()], [memory])
            found["--memory-fd"] = memory
        notify.send(b"READY=1")
