"""What the engine orders the runtime to do, beyond SIP messages. Imperative values."""

from typing import Literal

from msgspec import Struct

from sbc.cdr.record import CallRecord
from sbc.media import wire
from sbc.sip.commands import CloseFlow, Resolve, SendMessage


class AskMedia(Struct, frozen=True):
    """Say this to the media worker (or keep it for when one runs). Never awaited on the way to a 18x or 200."""

    request: wire.PutSession | wire.DeleteSession | wire.Query


class OpenPorts(Struct, frozen=True):
    """Open `pairs` more media port pairs, even and odd, on a media address; answered by `PortsOpened`."""

    local: str
    pairs: int


class WriteCdr(Struct, frozen=True):
    """Store a record durably; answered by `CdrDurable`."""

    record: CallRecord


class Log(Struct, frozen=True):
    """One structured log line. `fields` are key and value pairs; the runtime masks telephone numbers among them."""

    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: tuple[tuple[str, object], ...] = ()


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


Command = SendMessage | CloseFlow | Resolve | AskMedia | OpenPorts | WriteCdr | StoreState | Alert | Log
