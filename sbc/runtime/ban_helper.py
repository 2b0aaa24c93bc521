"""The one process that may tell the kernel whom to drop: it has CAP_NET_ADMIN and nothing else, reads no packet and no
policy, and does what `ban_wire` can say, checked by `nft_rules`, through `nft -j -f -`.

Either systemd starts it (sbc-bans.socket: anybody who may connect there is heard, one after another), or signalling
does, where it may change the kernel's tables itself (as root, without systemd), with `--fd N`; then it ends with
signalling. What stands in the kernel stays there until its time is over or the next signalling has replaced it.
"""

import contextlib
import ctypes
import os
import socket
import struct
import subprocess
import sys
from typing import Final, NoReturn

from sbc.runtime import ban_wire
from sbc.runtime.nft_rules import document

_PLACES: Final = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft")
_SECONDS: Final = 5.0  # for one nft
_FAULT_CHARACTERS: Final = 200
_FIRST_OF_SYSTEMD: Final = 3  # sd_listen_fds(3)
_CAP_NET_ADMIN: Final = 12
_LAST_CAPABILITY: Final = 63
_PR_CAPBSET_DROP: Final = 24
_CAPABILITY_VERSION: Final = 0x20080522  # capget(2), two words for each set


def main() -> NoReturn:
    _keep_net_admin_alone()
    if sys.argv[1:2] == ["--fd"]:
        serve(socket.socket(fileno=int(sys.argv[2])))
        sys.exit(0)
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        sys.exit("sbc: this is started by sbc-bans.socket, or by signalling")
    listener = socket.socket(fileno=_FIRST_OF_SYSTEMD)
    while True:
        connection, _ = listener.accept()
        serve(connection)


def serve(connection: socket.socket) -> None:
    """Until the other end is closed."""
    with connection, contextlib.suppress(OSError):
        while data := connection.recv(ban_wire.MESSAGE_OCTETS):
            connection.send(ban_wire.encode(ban_wire.Answer(perform(data))))


def perform(data: bytes) -> str:
    """Why nothing of this message was done; empty: all of it was."""
    try:
        text = document(ban_wire.decode_message(data))
    except ValueError as error:
        return str(error)[:_FAULT_CHARACTERS]
    nft = next((place for place in _PLACES if os.access(place, os.X_OK)), None)
    if nft is None:
        return "nft is not installed"
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, and a document that we have made
            [nft, "-j", "-f", "-"], input=text.encode(), capture_output=True, timeout=_SECONDS, env={}, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)[:_FAULT_CHARACTERS]
    said = " ".join(done.stderr.decode("utf-8", "replace").split())
    return "" if done.returncode == 0 else (said or f"nft ended with {done.returncode}")[:_FAULT_CHARACTERS]


def _keep_net_admin_alone() -> None:
    """Where root starts us without systemd: neither we nor nft need the rest of what root may."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_LAST_CAPABILITY + 1):
        if capability != _CAP_NET_ADMIN:
            libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused where we have too little to begin with
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    bit = 1 << _CAP_NET_ADMIN
    libc.capset(header, struct.pack("6I", bit, bit, bit, 0, 0, 0))


if __name__ == "__main__":
    main()
