"""A change of a session as data: the one that is under way, and what waits for its turn. `modify` moves them."""

from msgspec import Struct

from sbc.b2bua.reports import LegOffered
from sbc.sip.message import Fields


class Change(Struct, frozen=True):
    """`by` is the leg that asked, None where we did; `to` the leg that is asked. `late`: the re-INVITE had no offer, so
    that its ACK will have the answer. `refresh`: it is for a session timer.

    `taken_back`: the asked side has been sent CANCEL, and the asking side gets this status if that was in time.
    `has_news`: the asked side has changed its mind meanwhile; the asking side hears of that with the answer. `fields`:
    what went with an offer of ours, see `Wish`.

    `converted`: the re-INVITE without an offer got one of ours in its 2xx, because the other side makes none.
    """

    by: int | None
    to: int
    late: bool = False
    converted: bool = False
    refresh: bool = False
    taken_back: int | None = None
    has_news: bool = False
    fields: Fields = ()


class Wish(Struct, frozen=True):
    """What waits for its turn: the offer of a peer, or one of our own to the leg `to`. `refresh`: nothing is new.
    `fields`: who its partner is, where that is new.
    """

    to: int
    offered: LegOffered | None = None
    refresh: bool = False
    until: float | None = None
    fields: Fields = ()
