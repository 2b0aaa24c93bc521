"""One call as a test phone sees it: the state of its dialog, and what a phone does without being told.

RFC 3261 §12.1 (what makes a dialog). Plain state; `agent` moves it.
"""

import enum

from msgspec import Struct

from sbc.core.address import Address
from sbc.sdp import Direction, Session
from sbc.sip.message import Fields, Request
from sbc.sip.nameaddr import NameAddr


class Stage(enum.StrEnum):
    NEW = "new"  # an INVITE came and nothing was said but perhaps 100
    CALLING = "calling"
    RINGING = "ringing"
    TALKING = "talking"
    ENDED = "ended"


class Script(Struct):
    """What a phone does by itself. Change a field, and it does so from now on."""

    trying: bool = True  # answers an INVITE with 100 at once
    rings: int | None = None  # then with 180, or 183 and SDP
    refuses: int | None = None
    answers_after: float | None = None
    hangs_up_after: float | None = None  # counted from the answer
    patience: float = 180.0  # rings so long, then says 480
    reinvites: int | None = 200  # how a re-INVITE is answered; None: somebody will say
    options: int = 200  # how OPTIONS is answered
    options_fields: Fields = ()
    acks: bool = True  # acknowledges a 2xx
    hears_acks: bool = True
    deaf: bool = False  # hears nothing at all
    ignored: frozenset[str] = frozenset()  # methods that it acts as if it had not heard


class Party(Struct, eq=False):
    """One dialog of one phone, from the first INVITE on. `heard` is what came in it: methods, and statuses as text."""

    n: int
    is_caller: bool
    stage: Stage = Stage.NEW
    status: int = 0  # of the first INVITE's final response
    last_status: int = 0  # of the last INVITE's final response
    answered_at: float | None = None
    cancelled: bool = False
    heard: list[str] = []  # msgspec copies it for each party
    call_id: str = ""
    local: str = ""  # as in From or To, without tag
    remote: str = ""
    local_tag: str = ""
    remote_tag: str | None = None
    local_seq: int = 0
    remote_seq: int = 0
    target: str = ""
    route_set: tuple[str, ...] = ()
    next_hop: Address | None = None  # where its first INVITE went
    invite: Request | None = None  # the last INVITE that came
    invite_key: tuple[str, ...] | None = None  # … while it is not answered and acknowledged
    resend_after: float = 0.0
    direction: Direction = Direction.SENDRECV
    version: int = 1
    local_sdp: Session | None = None
    remote_sdp: Session | None = None
    offered: bool = False  # the last INVITE that came had an offer
    offer_waits: bool = False  # a description came that we have not answered

    def user(self) -> tuple[str, int, int]:
        """What the INVITE's transaction is known by."""
        return ("invite", self.n, self.local_seq)

    def take_invite(self, request: Request, tag: str) -> None:
        """The dialog that this INVITE begins, seen from whom it calls (§12.1.1)."""
        self.call_id = request.call_id
        self.local_tag = tag
        self.local = f"<{request.to.uri}>"
        self.remote = f"<{request.from_.uri}>"
        self.remote_tag = request.from_.tag
        self.remote_seq = request.cseq.number
        self.route_set = tuple([str(route) for route in request.record_routes])

    def refresh_target(self, contacts: object) -> None:
        if isinstance(contacts, tuple) and contacts and isinstance(contacts[0], NameAddr):
            self.target = str(contacts[0].uri)

    def request(self, method: str, number: int, fields: Fields, body: bytes) -> Request:
        """A request within the dialog, or the INVITE that begins it (§12.2.1.1, §8.1.1)."""
        uri, routes = self.target, self.route_set
        if routes and ";lr" not in routes[0].lower():
            # A strict router wants its own URI there, and the target as the last Route.
            uri, routes = routes[0].strip("<>"), (*routes[1:], f"<{self.target}>")
        has_dialog = self.remote_tag is not None and self.answered_at is not None
        base: Fields = (
            *[("Route", route) for route in routes],
            ("Max-Forwards", "70"),
            ("From", f"{self.local};tag={self.local_tag}"),
            ("To", f"{self.remote};tag={self.remote_tag}" if has_dialog else self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{number} {method}"),
        )
        return Request(method, uri, base + fields, body)

    def record_routes(self) -> Fields:
        """What a response that makes a dialog repeats of the INVITE (§12.1.1)."""
        if self.invite is None:
            return ()
        return tuple([("Record-Route", value) for value in self.invite.headers("Record-Route")])

    @property
    def called(self) -> str:
        """The user part of the Request-URI of the INVITE that came."""
        return "" if self.invite is None else self.invite.uri_text.partition(":")[2].partition("@")[0]
