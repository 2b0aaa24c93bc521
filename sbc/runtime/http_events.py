"""The event stream on a connection: one picture of the running program a second, shared by all who read.

Taken only while somebody reads, and so seldom that pictures never cost more than a fiftieth of the engine's time. What
each reader is told is `sbc.admin.stream`'s to know; one that does not read is dropped by `http_clients`. Used by
`http`.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import structlog
import trio
from starlette.types import Receive, Send

from sbc.admin.state import AdminState
from sbc.admin.stream import KEEP_ALIVE, Picture, Told, take_picture
from sbc.core import limits

PICTURE_SECONDS: Final = 1.0
KEEP_ALIVE_SECONDS: Final = 15.0
_SHARE: Final = 50  # a picture that took a second of the loop's time would be the only one for so many

log = structlog.get_logger("admin")


class Pictures:
    """The newest picture, and whoever waits for the next one."""

    def __init__(self, state: AdminState) -> None:
        self._state = state
        self._readers = 0
        self._wanted = trio.Event()
        self._taken = trio.Event()
        self._picture: Picture | None = None

    @property
    def is_full(self) -> bool:
        return self._readers >= limits.EVENT_READERS

    async def run(self) -> None:
        """Takes them, until it is cancelled."""
        while True:
            if not self._readers:
                self._picture = None
                self._wanted = trio.Event()
                await self._wanted.wait()
            begun = trio.current_time()
            try:
                self._picture = take_picture(self._state)
            except Exception:
                log.exception("admin.failed", path="/api/v1/events")
            self._taken.set()
            self._taken = trio.Event()
            await trio.sleep(max(PICTURE_SECONDS, _SHARE * (trio.current_time() - begun)))

    @contextlib.contextmanager
    def reader(self) -> Iterator[None]:
        self._readers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._readers -= 1

    async def after(self, last: Picture | None) -> Picture:
        """The newest one, as soon as it is another than `last`."""
        while self._picture is None or self._picture is last:
            await self._taken.wait()
        return self._picture


async def send_events(pictures: Pictures, receive: Receive, send: Send, is_welcome: Callable[[], bool]) -> None:
    """The body of a reply, until the client goes or is no more welcome: another token is in force.

    Within `pictures.reader()`.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
        await _tell(pictures, send, is_welcome)
        nursery.cancel_scope.cancel()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _tell(pictures: Pictures, send: Send, is_welcome: Callable[[], bool]) -> None:
    told, picture = Told(), None
    said_at = trio.current_time()
    while is_welcome():
        picture = await pictures.after(picture)
        text = told.news(picture)
        if not text and trio.current_time() - said_at >= KEEP_ALIVE_SECONDS:
            text = KEEP_ALIVE
        if text:
            await send({"type": "http.response.body", "body": text, "more_body": True})
            said_at = trio.current_time()


async def _cancel_when_gone(receive: Receive, reading: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reading.cancel()
