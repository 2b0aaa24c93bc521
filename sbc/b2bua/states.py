"""The states of a call. Each has exactly the fields that mean something in it."""

from msgspec import Struct

from sbc.b2bua.account import Ending
from sbc.b2bua.hunt import Attempt, Lead
from sbc.sip.message import Fields


class Asking(Struct, frozen=True):
    """The INVITE is here and policy is being asked; nobody has been dialled."""


class Hunting(Struct, frozen=True):
    """`rang`: a 18x has crossed, so that nobody else is tried any more."""

    attempt: Attempt
    rest: tuple[Lead, ...]
    rang: bool = False


class Recording(Struct, frozen=True):
    """Somebody has answered, with this for the caller; he hears it when that is on the disk (`cdr: strict`)."""

    body: bytes
    fields: Fields


class Talking(Struct, frozen=True):
    answered_at: float


class Ended(Struct, frozen=True):
    ending: Ending
    ended_at: float
    written: bool = False
    durable: bool = False


State = Asking | Hunting | Recording | Talking | Ended
