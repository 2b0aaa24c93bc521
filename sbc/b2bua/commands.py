"""What the engine orders the runtime to do, beyond SIP messages. Imperative values."""

from msgspec import Struct

from sbc.cdr.entry import Entry
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


class HoldPorts(Struct, frozen=True):
    """These pairs (even ports) of a media address are of calls that go on from an earlier life of signalling: they are
    to be open, just these, before anybody is told of the calls' sessions. `PortsLost` answers where some cannot be.
    """

    local: str
    ports: tuple[int, ...]


class ClosePorts(Struct, frozen=True):
    """Close these pairs (even ports) of a media address that the policy has no more."""

    local: str
    ports: tuple[int, ...]


class WriteCdr(Struct, frozen=True):
    """Store a record durably; answered by `CdrDurable`."""

    record: CallRecord


class NoteCdr(Struct, frozen=True):
    """Store what is to be known of a call if nothing more is ever heard of it. `tells`: `CdrStarted` is to answer."""

    entry: Entry
    tells: bool = False


Command = (
    SendMessage
    | CloseFlow
    | LookUp
    | AskMedia
    | OpenPorts
    | HoldPorts
    | ClosePorts
    | WriteCdr
    | NoteCdr
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
    "HoldPorts",
    "Log",
    "NoteCdr",
    "OpenPorts",
    "StoreState",
    "WriteCdr",
]
