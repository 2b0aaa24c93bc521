"""What the engine orders the runtime to do, beyond SIP messages. Imperative values."""

from msgspec import Struct

from sbc.cdr.record import CallRecord
from sbc.core.commands import Alert, BlockAll, BlockSource, Log, StoreState
from sbc.media import wire
from sbc.sip.commands import CloseFlow, LookUp, SendMessage


class AskMedia(Struct, frozen=True):
    """Say this to the media worker (or keep it for when one runs). Never awaited on the way to a 18x or 200."""

    request: wire.PutSession | wire.DeleteSession | wire.Query | wire.PlayDigit


class OpenPorts(Struct, frozen=True):
    """Open `pairs` more media port pairs, even and odd, on a media address; answered by `PortsOpened`."""

    local: str
    pairs: int


class ClosePorts(Struct, frozen=True):
    """Close these pairs (even ports) of a media address that the policy has no more."""

    local: str
    ports: tuple[int, ...]


class WriteCdr(Struct, frozen=True):
    """Store a record durably; answered by `CdrDurable`."""

    record: CallRecord


Command = (
    SendMessage
    | CloseFlow
    | LookUp
    | AskMedia
    | OpenPorts
    | ClosePorts
    | WriteCdr
    | StoreState
    | BlockSource
    | BlockAll
    | Alert
    | Log
)

__all__ = [
    "Alert",
    "AskMedia",
    "BlockAll",
    "BlockSource",
    "ClosePorts",
    "Command",
    "Log",
    "OpenPorts",
    "StoreState",
    "WriteCdr",
]
