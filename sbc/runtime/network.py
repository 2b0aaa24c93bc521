"""Watches the machine's links and addresses, so that the loss of one is known before any call meets it.

A netlink socket says that something has changed; what there is now is read as a whole by pyroute2 in a thread, so that
news that was lost (ENOBUFS) does no harm. pyroute2 is slow to import: that happens there too, when calls are served
already. Where netlink is not permitted, or cannot be read again and again, one line says so, and health checks are all
there is: what was lost counts as well then. Used by `app`.
"""

import errno
import ipaddress
import math
import socket
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import structlog
import trio

from sbc.b2bua.events import InterfaceChanged
from sbc.policy.model import Interface
from sbc.runtime.links import Held, InterfaceWatch, Link, Picture

_GROUPS: Final = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR: linux/rtnetlink.h
_RECEIVE_BUFFER: Final = 1 << 20
_PAUSE_SECONDS: Final = 0.01  # what comes together is read together
_AGAIN_SECONDS: Final = (0.1, 1.0, 10.0, 30.0)  # after a reading that failed: descriptors or memory may have run out
_UP: Final = 0x1  # IFF_*: linux/if.h
_LOOPBACK: Final = 0x8
_RUNNING: Final = 0x40
_NOT_WATCHED: Final = "links and addresses are not watched any more"
_UNUSABLE: Final = 0x08 | 0x40  # IFA_F_DADFAILED, IFA_F_TENTATIVE: linux/if_addr.h

log = structlog.get_logger("network")


class NetworkWatch:
    """`deliver` is told of what changes for these interfaces. `read` gives the machine's state, and may block.
    `were_here`: addresses that are lost, of an earlier life of ours.
    """

    def __init__(
        self,
        interfaces: Mapping[str, Interface],
        deliver: Callable[[InterfaceChanged], None],
        *,
        read: Callable[[], Picture] | None = None,
        were_here: Collection[str] = (),
    ) -> None:
        self._watch = InterfaceWatch(interfaces, were_here)
        self._deliver = deliver
        self._read = read or read_picture
        self._wake = trio.Event()

    def change_interfaces(self, interfaces: Mapping[str, Interface]) -> None:
        """A reload."""
        self._tell(self._watch.change_interfaces(interfaces, trio.current_time()))
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; or it says that it cannot, and returns."""
        try:
            with open_news() as news:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._wait_for_better)
                    while True:
                        self._tell(self._watch.look(await self._picture(), trio.current_time()))
                        await trio.lowlevel.wait_readable(news)
                        await trio.sleep(_PAUSE_SECONDS)
                        drain(news)
        except* (OSError, ImportError, _UnreadableError) as group:
            reasons = "; ".join(str(error) for error in group.exceptions)
            log.warning("network.not_watched", reason=reasons)
            self._tell(self._watch.forget(_NOT_WATCHED))
        except* Exception as group:  # a bug in it is no reason to end calls
            log.exception("engine.failure", alarm=True, where="network", exc_info=group)
            self._tell(self._watch.forget(_NOT_WATCHED))

    async def _picture(self) -> Picture:
        for pause in _AGAIN_SECONDS:
            try:
                return await self._look()
            except (OSError, _UnreadableError) as error:
                if isinstance(error, PermissionError):
                    raise
            await trio.sleep(pause)
        return await self._look()

    async def _look(self) -> Picture:
        try:
            return await trio.to_thread.run_sync(self._read, abandon_on_cancel=True)
        except (OSError, ImportError):
            raise
        except Exception as error:
            raise _UnreadableError(f"netlink: {error!r}") from error

    async def _wait_for_better(self) -> None:
        while True:
            self._wake = trio.Event()
            deadline = self._watch.next_deadline()
            with trio.move_on_at(math.inf if deadline is None else deadline):
                await self._wake.wait()
            self._tell(self._watch.tick(trio.current_time()))

    def _tell(self, changes: list[InterfaceChanged]) -> None:
        self._wake.set()
        for change in changes:
            self._deliver(change)


class _UnreadableError(Exception):
    """pyroute2 has its own errors, and those of a kernel that it does not know."""


def open_news() -> socket.socket:
    """Readable when a link or an address has changed. Raises OSError."""
    news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        news.setblocking(False)
        news.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        news.bind((0, _GROUPS))
    except OSError:
        news.close()
        raise
    return news


def drain(news: socket.socket) -> None:
    """What it says in detail is not needed: all of it is read anew."""
    while True:
        try:
            news.recv(65_536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise


def read_picture() -> Picture:
    """All links and addresses; blocks for some milliseconds, and the first time for the import. An object of pyroute2
    that several threads share leaks descriptors: each reading has its own.
    """
    from pyroute2 import IPRoute  # type: ignore[import-untyped]  # noqa: PLC0415

    with IPRoute() as netlink:
        links = {one["index"]: _link(one) for one in netlink.get_links()}
        held = [_held(one, links) for one in netlink.get_addr()]
    return Picture(tuple(links.values()), tuple([one for one in held if one is not None]))


def _link(message: Any) -> Link:
    flags = message["flags"]
    name = message.get_attr("IFLA_IFNAME") or str(message["index"])
    return Link(name, is_up=bool(flags & _UP and flags & _RUNNING), is_loopback=bool(flags & _LOOPBACK))


def _held(message: Any, links: Mapping[int, Link]) -> Held | None:
    link = links.get(message["index"])
    host = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    if link is None or not host or flags & _UNUSABLE:
        return None
    return Held(ipaddress.ip_interface(f"{host}/{message['prefixlen']}"), link.name)
