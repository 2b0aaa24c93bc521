"""Tells when an address appears on a device: rtnetlink(7), the little of it that is needed, without pyroute2.

An address that moves, or a device that comes back with it, needs the program attached again. Used by `engine`.
"""

import socket
import struct
from collections.abc import Iterator
from typing import Final

_GROUPS: Final = 0x10 | 0x100  # RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_RTM_NEWADDR: Final = 20
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_ADDRESS_OCTETS: Final = 8  # struct ifaddrmsg
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct rtattr
_MESSAGE_OCTETS: Final = 65_536
_MESSAGES_AT_ONCE: Final = 64


class AddressWatch:
    """`fileno`: readable when an address has changed anywhere in this network namespace."""

    __slots__ = ("_socket",)

    def __init__(self) -> None:
        """Raises OSError."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        try:
            self._socket.bind((0, _GROUPS))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def appeared(self) -> set[str] | None:
        """The addresses that were added, as IP literals; None: too much has happened, any may be among them."""
        found: set[str] = set()
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                data = self._socket.recv(_MESSAGE_OCTETS)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: some were lost
                return None
            found.update(added(data))
        return found

    def close(self) -> None:
        self._socket.close()


def added(data: bytes) -> Iterator[str]:
    """The addresses that these netlink messages say were added."""
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        if kind == _RTM_NEWADDR:
            yield from _address(data[_HEADER.size + _ADDRESS_OCTETS : length])
        data = data[_aligned(length) :]


def _address(attributes: bytes) -> Iterator[str]:
    """Our own end of a point-to-point link, where it is one."""
    found: dict[int, bytes] = {}
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if not _ATTRIBUTE.size <= length <= len(attributes):
            return
        found[kind] = attributes[_ATTRIBUTE.size : length]
        attributes = attributes[_aligned(length) :]
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS) or b""
    family = {4: socket.AF_INET, 16: socket.AF_INET6}.get(len(packed))
    if family is not None:
        yield socket.inet_ntop(family, packed)


def _aligned(length: int) -> int:
    return length + 3 & ~3
