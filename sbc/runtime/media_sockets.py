"""Opening media ports: pairs of UDP sockets, even for RTP and odd for RTCP (RFC 3550 §11), at random places of a range.

Random, because a port that can be guessed can be aimed at before the call's first packet. Ports are opened muted (see
`media.mute`) and handed to the media worker as descriptors; we keep ours open, so that they outlive a worker and nobody
else gets the port. Used by both keepers and by the supervisor.
"""

import errno
import math
import os
import resource
import socket
from collections.abc import Callable, Collection
from typing import Final

from msgspec import Struct

from sbc.media.mute import mute
from sbc.runtime.sip_sockets import set_dscp

RECEIVE_BUFFER: Final = 131_072  # doubled by the kernel: 340 packets of G.711, 6.8 s, should a worker start again
_KEPT_FREE: Final = 1_024  # descriptors that are not for media, at most a quarter
_NO_MORE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TAKEN: Final = (errno.EADDRINUSE, errno.EACCES)
NO_DESCRIPTORS: Final = "no descriptors are left; raise the limit (ulimit -n, LimitNOFILE=)"


class Pair(Struct, frozen=True, eq=False):
    """An open pair on `local`: `port` is RTP's, RTCP's is one above."""

    local: str
    port: int
    rtp: socket.socket
    rtcp: socket.socket

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def open_pairs(
    local: str,
    ports: tuple[int, int],
    pairs: int,
    taken: Collection[int],
    number: Callable[[int], int],
    *,
    dscp: int = 0,
    ceiling: float = math.inf,
) -> list[Pair]:
    """Up to `pairs` pairs within the range `ports` (first, last), none of them in `taken`; `number(n)` picks below n.

    Fewer where the range or the descriptors below `ceiling` are used up. Raises OSError where `local` is no address of
    this machine.
    """
    first, last = ports
    free = [port for port in range(first + first % 2, last, 2) if port not in taken]
    opened: list[Pair] = []
    try:
        while free and len(opened) < pairs:
            at = number(len(free))
            free[at], free[-1] = free[-1], free[at]
            pair = _open_pair(local, free.pop(), dscp)
            if pair is None:
                continue
            if pair.rtcp.fileno() >= ceiling:
                pair.close()
                return opened
            opened.append(pair)
    except OSError as error:
        if error.errno in _NO_MORE:
            return opened
        for pair in opened:
            pair.close()
        raise
    return opened


def open_media_socket(local: str, port: int, dscp: int = 0) -> socket.socket:
    """One bound, non-blocking UDP socket, not muted. Raises OSError."""
    is_ipv6 = ":" in local
    one = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if is_ipv6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if dscp:
            set_dscp(one, dscp)
        one.bind((local, port))
    except OSError:
        one.close()
        raise
    return one


def descriptor_ceiling() -> int:
    """Media ports take no descriptor from here up: connections, files and the next media worker need some too."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit - min(limit // 4, _KEPT_FREE)


def pairs_at_most(ceiling: int) -> int:
    """For how many pairs there are descriptors, of which each takes two.

    The kernel gives the lowest free number, so a descriptor's number tells how many there are: exactly none, and some
    too many where others above it are in use.
    """
    free = _lowest_free()
    if len(free) < 2 or free[1] >= ceiling:
        return 0
    return (ceiling - free[0]) // 2


def is_short_of_descriptors(ceiling: int) -> bool:
    return pairs_at_most(ceiling) < 1


def why_short(ceiling: int) -> str:
    """Why media ports could not be opened, where the address is ours."""
    if is_short_of_descriptors(ceiling):
        return NO_DESCRIPTORS
    return "other programs hold the rest of media.ports; stop them or give another range"


def _lowest_free() -> list[int]:
    """The two descriptors that the next pair would get; fewer where there are no more."""
    free: list[int] = []
    try:
        for _ in ("rtp", "rtcp"):
            free.append(os.open("/", os.O_PATH | os.O_CLOEXEC))  # noqa: PERF401 - what is open when one fails is closed
    except OSError as error:
        if error.errno not in _NO_MORE:
            raise
    finally:
        for one in free:
            os.close(one)
    return free


def _open_pair(local: str, port: int, dscp: int) -> Pair | None:
    """None where somebody else has one of the two ports."""
    try:
        rtp = open_media_socket(local, port, dscp)
    except OSError as error:
        if error.errno in _TAKEN:
            return None
        raise
    try:
        rtcp = open_media_socket(local, port + 1, dscp)
    except OSError as error:
        rtp.close()
        if error.errno in _TAKEN:
            return None
        raise
    mute(rtp)
    mute(rtcp)
    return Pair(local, port, rtp, rtcp)
