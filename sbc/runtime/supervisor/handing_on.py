"""How descriptors get from one supervisor to the next: by execve of this process, or through systemd's store.

By execve they keep their numbers, and a memfd has the table (`inheritance`). systemd's store (sd_notify(3), FDSTORE=1)
compares each new descriptor with all that it has, which thousands of media sockets would make slow; so it is given one:
the end of a stream socket in whose queue the table and all others wait (unix(7), SCM_RIGHTS). Used by `main`.
"""

import array
import contextlib
import os
import select
import socket
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

import msgspec

from sbc.runtime.notify import notify, send_descriptor
from sbc.runtime.supervisor import inheritance
from sbc.runtime.supervisor.inheritance import Inheritance, UnreadableError

TAKEOVER: Final = "SBC_TAKEOVER"  # of the environment: PID:DESCRIPTOR of the table, across execve
STORED: Final = "sbc"  # FDNAME of what systemd keeps for us
_FIRST: Final = 3  # SD_LISTEN_FDS_START
_AT_ONCE: Final = 253  # SCM_MAX_FD
_TABLE_OCTETS: Final = 4_194_304  # of which 64 workers and 64,000 sockets take a tenth
_QUEUE_OCTETS: Final = 4_194_304
_BARRIER_MILLISECONDS: Final = 1_000


# --- by execve --------------------------------------------------------------------------------------------------------


def become(program: Sequence[str], left: Inheritance) -> None:
    """This process is the next supervisor; `program` are the interpreter's arguments. It returns never: OSError."""
    table = os.memfd_create("sbc-takeover", 0)
    try:
        _write(table, inheritance.encode(left))
        for fd in left.descriptors:
            os.set_inheritable(fd, True)
        environment = os.environ | {TAKEOVER: f"{os.getpid()}:{table}"}
        os.execve(sys.executable, [sys.executable, *program], environment)  # noqa: S606 - ourselves
    except OSError:
        for fd in left.descriptors:
            os.set_inheritable(fd, False)
        raise
    finally:
        os.close(table)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


# --- by systemd -------------------------------------------------------------------------------------------------------


def has_store(environment: Mapping[str, str]) -> bool:
    """Whether somebody is there to ask; what he does with it is his."""
    return bool(environment.get("NOTIFY_SOCKET"))


def store(left: Inheritance) -> None:
    """systemd holds what `left` names from now on. Raises OSError."""
    numbered = msgspec.structs.replace(left, descriptors=tuple(range(len(left.descriptors))))
    table = os.memfd_create("sbc-takeover", os.MFD_CLOEXEC)
    kept, filled = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with kept, filled:
        try:
            _write(table, inheritance.encode(numbered))
            filled.setblocking(False)
            filled.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _QUEUE_OCTETS)
            everything = (table, *left.descriptors)
            for at in range(0, len(everything), _AT_ONCE):
                socket.send_fds(filled, [b"."], everything[at : at + _AT_ONCE])
        finally:
            os.close(table)
        filled.shutdown(socket.SHUT_WR)
        # FDPOLL=0: else systemd lets go what nobody else holds the other end of.
        send_descriptor(f"FDSTORE=1\nFDNAME={STORED}\nFDPOLL=0", kept.fileno())
        _wait_until_it_is_read()


def _wait_until_it_is_read() -> None:
    """systemd closes what comes with BARRIER=1 when it has done what was said before (sd_notify_barrier(3))."""
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    try:
        send_descriptor("BARRIER=1", theirs)
    finally:
        os.close(theirs)
    asking = select.poll()
    asking.register(ours, 0)
    asking.poll(_BARRIER_MILLISECONDS)
    os.close(ours)


# --- what is there for us ---------------------------------------------------------------------------------------------


def take(environment: MutableMapping[str, str]) -> Inheritance | None:
    """What an earlier supervisor has left to this process; None: nothing. Its descriptors are not for children.

    Raises UnreadableError: everything that was left is closed. What leads to it is gone from `environment`.
    """
    words = environment.pop(TAKEOVER, "").split(":")
    names = environment.pop("LISTEN_FDNAMES", "").split(":")
    passed, whose = environment.pop("LISTEN_FDS", ""), environment.pop("LISTEN_PID", "")
    me = str(os.getpid())
    if len(words) == 2 and words[0] == me and words[1].isdecimal():
        return _take_inherited(int(words[1]))
    if whose != me or not passed.isdecimal():
        return None
    taken: Inheritance | None = None
    for n in range(int(passed)):
        if names[n : n + 1] == [STORED] and taken is None:
            notify(f"FDSTOREREMOVE=1\nFDNAME={STORED}")
            taken = _take_stored(_FIRST + n)
        else:
            with contextlib.suppress(OSError):
                os.close(_FIRST + n)
    return taken


def _take_inherited(table: int) -> Inheritance:
    try:
        left = inheritance.decode(os.pread(table, _TABLE_OCTETS, 0))
        for fd in left.descriptors:
            os.set_inheritable(fd, False)
    except OSError as error:
        raise UnreadableError(str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            os.close(table)
    return left


def _take_stored(fd: int) -> Inheritance:
    try:
        with socket.socket(fileno=fd) as kept:
            table, *found = _receive_all(kept)
    except (OSError, ValueError) as error:
        raise UnreadableError(str(error)) from error
    try:
        left = inheritance.decode(os.pread(table, _TABLE_OCTETS, 0))
        if left.descriptors_needed != len(found):
            raise UnreadableError(f"{len(found)} descriptors came of {left.descriptors_needed}")  # noqa: TRY301
    except (OSError, UnreadableError) as error:
        for one in found:
            os.close(one)
        raise error if isinstance(error, UnreadableError) else UnreadableError(str(error)) from error
    finally:
        os.close(table)
    return msgspec.structs.replace(left, descriptors=tuple(found))


def _receive_all(kept: socket.socket) -> list[int]:
    """At least one; more than fit into this process are lost without a word (unix(7))."""
    found = array.array("i")
    kept.setblocking(False)
    while True:
        data, ancillary, _, _ = kept.recvmsg(1, socket.CMSG_SPACE(4 * _AT_ONCE), socket.MSG_CMSG_CLOEXEC)
        if not data:
            break
        for level, kind, octets in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(octets[: len(octets) // 4 * 4])
    if not found:
        raise ValueError("there is nothing in it")
    return found.tolist()
