"""What any machine may order besides messages: a log line, a value kept across restarts, a post to the operator.

In `core`, because peering and the calls both order them; the runtime performs them.
"""

from typing import Literal

from msgspec import Struct


class StoreState(Struct, frozen=True):
    """Keep this value under this key in `data_dir`, so that it survives a restart; None: forget it.

    What is kept is given back once, at the start, by `StateRestored`. Order per key is kept; nothing answers.
    """

    key: str
    value: bytes | None


class Alert(Struct, frozen=True):
    """Post this to the operator's webhook (`sbc.alerts`), with retries. `fields` are shown as they are."""

    event: str
    fields: tuple[tuple[str, object], ...] = ()


class BlockSource(Struct, frozen=True):
    """This source (an address, or the /64 of an IPv6 one) is banned for so many seconds; 0: it is not any more.

    Its connections are closed, and the kernel may drop what it sends. Who performs it keeps the time himself.
    """

    source: str
    seconds: float


class BlockAll(Struct, frozen=True):
    """As `BlockSource`: these are banned, and no others."""

    sources: tuple[tuple[str, float], ...]


class Log(Struct, frozen=True):
    """One structured log line. `fields` are key and value pairs; the runtime masks telephone numbers among them."""

    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: tuple[tuple[str, object], ...] = ()
