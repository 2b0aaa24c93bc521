"""What a leg reports to its call. Past tense: facts. `leg` is the leg's number within the call, 0 the ingress leg."""

from collections.abc import Hashable

from msgspec import Struct

from sbc.core.cause import Cause
from sbc.sip.message import Request, Response
from sbc.sip.transaction.key import ServerKey


class LegProgressed(Struct, frozen=True):
    """A provisional response beyond 100 came from an egress leg, in the early dialog `tag`.

    `reliable`: by RFC 3262; what it describes is final in its early dialog. Where the INVITE had no offer, a reliable
    one makes it, and waits for `leg.prack(answer)`.
    """

    leg: int
    status: int
    body: bytes
    tag: str = ""
    response: Response | None = None
    reliable: bool = False


class LegPracked(Struct, frozen=True):
    """The PRACK of a provisional of ours; `body` is the answer where that made an offer."""

    leg: int
    body: bytes


class LegTried(Struct, frozen=True):
    """The server answered 100: it is there."""

    leg: int


class LegChallenged(Struct, frozen=True):
    """The first INVITE of an egress leg went out again, with credentials: to that one nobody has said anything yet."""

    leg: int


class LegAnswered(Struct, frozen=True):
    """2xx to the first INVITE of an egress leg, of the fork `tag`; not acknowledged yet."""

    leg: int
    body: bytes
    tag: str = ""
    response: Response | None = None


class LegRefused(Struct, frozen=True):
    """Final failure of the first INVITE of an egress leg. `q850` is what the peer's Reason says, if anything."""

    leg: int
    status: int
    q850: int | None = None
    response: Response | None = None


class LegFailed(Struct, frozen=True):
    """No final response to the first INVITE of an egress leg: silence, or the transport failed."""

    leg: int
    cause: Cause
    detail: str = ""


class LegDisconnected(Struct, frozen=True):
    """The connection on which an egress leg had its 100 is gone; nothing else came. It may still be answered."""

    leg: int
    detail: str


class LegAcknowledged(Struct, frozen=True):
    """The ACK of our 2xx came, with the answer where the 2xx carried the offer. `first`: of the call's INVITE."""

    leg: int
    body: bytes
    first: bool


class LegCancelled(Struct, frozen=True):
    """The peer took its INVITE back: CANCEL, or BYE on the early dialog. `first`: the call's own, which has its 487
    already; a re-INVITE is still to be answered.
    """

    leg: int
    first: bool
    request: Request | None = None


class LegOffered(Struct, frozen=True):
    """An offer came, in a re-INVITE or `by_update`, which stands for UPDATE and PRACK. A re-INVITE with an empty body
    asks us for an offer; an UPDATE with one is answered already, and has only said who is there now.
    """

    leg: int
    body: bytes
    by_update: bool = False
    message: Request | None = None


class LegReanswered(Struct, frozen=True):
    """2xx to a re-INVITE of ours, not acknowledged yet; or `by_update` to an UPDATE of ours."""

    leg: int
    body: bytes
    response: Response | None = None
    by_update: bool = False


class LegRerefused(Struct, frozen=True):
    """Final failure of a re-INVITE or UPDATE of ours. `fatal`: the dialog is gone or silent (RFC 3261 §12.2.1.2)."""

    leg: int
    status: int
    fatal: bool


class LegAsked(Struct, frozen=True, eq=False):
    """A request within the dialog that the call answers, by `leg.reply(key, …)`: INFO, MESSAGE, REFER, NOTIFY …"""

    leg: int
    key: ServerKey
    request: Request


class LegReplied(Struct, frozen=True, eq=False):
    """The final response to what the leg was told to `ask`; None: silence, or the transport failed."""

    leg: int
    token: Hashable
    response: Response | None


class LegRefreshDue(Struct, frozen=True):
    """The session timer wants a re-INVITE: the peer does not know UPDATE."""

    leg: int


class LegExpired(Struct, frozen=True):
    """The session timer of this dialog ran out: its peer has not refreshed, or has not answered our refresh."""

    leg: int


class LegHungUp(Struct, frozen=True):
    leg: int
    q850: int | None = None
    request: Request | None = None


class LegUnacknowledged(Struct, frozen=True):
    """64*T1 passed without an ACK of our 2xx, or without the PRACK of a reliable provisional."""

    leg: int


Report = (
    LegProgressed
    | LegPracked
    | LegTried
    | LegChallenged
    | LegAnswered
    | LegRefused
    | LegFailed
    | LegDisconnected
    | LegAcknowledged
    | LegCancelled
    | LegOffered
    | LegReanswered
    | LegRerefused
    | LegAsked
    | LegReplied
    | LegRefreshDue
    | LegExpired
    | LegHungUp
    | LegUnacknowledged
)
