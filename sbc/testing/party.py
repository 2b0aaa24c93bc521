"""One call as a test phone sees it: the state of its dialog, its descriptions and what hangs on it.

RFC 3261 §12.1 (what makes a dialog), §12.2.1.1 (requests within it). Plain state; the parts of the agent move it.
"""

import enum

from msgspec import Struct, field

from sbc.core.address import Address
from sbc.sdp import Direction, Session
from sbc.sip.commands import SendMessage
from sbc.sip.message import Fields, Request, Response
from sbc.sip.nameaddr import NameAddr


class Stage(enum.StrEnum):
    NEW = "new"  # an INVITE came and nothing was said but perhaps 100
    CALLING = "calling"
    RINGING = "ringing"
    TALKING = "talking"
    ENDED = "ended"


class Wish(Struct, frozen=True):
    """What a phone's next offer says. `kinds`: streams that are to be alive: audio, video, image (a fax by T.38).

    `old_hold`: c=0.0.0.0 as in RFC 2543. `beside`: a fax gets an m= line of its own instead of that of the voice.
    """

    direction: Direction = Direction.SENDRECV
    kinds: tuple[str, ...] = ("audio",)
    codecs: tuple[str, ...] = ()  # empty: all that the phone knows
    old_hold: bool = False
    beside: bool = False


class Talk(Struct, eq=False):
    """Offer and answer of one dialog (RFC 3264, 6337). "Ours" is the phone's."""

    wish: Wish = Wish()
    version: int = 1
    sent: Session | None = None  # the last description of ours that went out
    local: Session | None = None  # … that is in force or proposed
    remote: Session | None = None  # the last of theirs
    our_offer: Session | None = None  # not answered yet
    their_offer: Session | None = None  # not answered yet
    exchanged: bool = False  # the INVITE that is under way has had its offer and its answer
    before: "tuple[Wish, Session | None] | None" = None  # what counts again if our offer is refused
    remote_before: Session | None = None  # … if we refuse theirs
    remote_sent: Session | None = None  # the last that came, refused or not: versions count from it
    may_skip: bool = False  # … but not from all that was sent: we have refused it, or were deaf, or it may be lost
    lossy: bool = False  # what is said may be lost on its way
    keys_made: int = 0  # how often the phone has taken new keys for SRTP
    meanings: dict[tuple[int, str, str], str] = {}  # (m= line, its kind, payload type): encoding


class Unacked(Struct, frozen=True, eq=False):
    """A reliable provisional response of ours that waits for its PRACK."""

    rseq: int
    cseq: int
    message: SendMessage
    has_sdp: bool
    has_offer: bool  # the INVITE had none: the answer comes in the PRACK


class Referral(Struct, eq=False):
    """A REFER of ours. `status` of its response, 0 before; `progress` as the NOTIFYs told it."""

    cseq: int
    status: int = 0
    progress: list[int] = []
    is_over: bool = False


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
    invite_seq: int = 0  # of our last INVITE
    remote_seq: int = 0
    target: str = ""
    route_set: tuple[str, ...] = ()
    next_hop: Address | None = None  # where its first INVITE went
    allowed: tuple[str, ...] = ()  # what the other side's Allow said last
    invite: Request | None = None  # the last INVITE that came
    invite_key: tuple[str, ...] | None = None  # … while it is not answered and acknowledged
    last_key: tuple[str, ...] | None = None  # of the last INVITE that we accepted
    has_final: bool = False  # … and whether it has had its final response
    owes_answer: bool = False  # our 200 to it had an offer: the answer comes in the ACK
    inviting: bool = False  # an INVITE of ours has no final response yet
    acks: dict[int, tuple[Request, bytes]] = {}  # our INVITEs that were accepted, by CSeq, and what their ACKs say
    resend_after: float = 0.0
    talk: Talk = field(default_factory=Talk)
    # reliable provisional responses, RFC 3262
    rseq: int = 0
    unacked: Unacked | None = None
    heard_rseqs: dict[str, int] = {}  # by To tag
    prack_due: Response | None = None
    prack_offer: int = 0  # CSeq of the PRACK of ours that had an offer
    # offers that met another one
    retry: tuple[str, Wish | None] | None = None  # method, and the wish of its offer
    retries: int = 0
    # session timer, RFC 4028; interval None: none runs
    interval: int | None = None
    refreshes: bool = False  # the refresher is this phone
    min_se: int = 0  # of a 422
    has_missed: bool = False  # a request that was overtaken was turned away
    # transfer
    referrals: list[Referral] = []
    referred: tuple[int, int] | None = None  # the party whose REFER made this call, and the CSeq of that REFER

    @property
    def remote_sdp(self) -> Session | None:
        return self.talk.remote

    @property
    def local_sdp(self) -> Session | None:
        return self.talk.local

    @property
    def version(self) -> int:
        return self.talk.version

    @property
    def progress(self) -> list[int]:
        """What the NOTIFYs of the last REFER have told."""
        return self.referrals[-1].progress if self.referrals else []

    def user(self) -> tuple[str, int, int]:
        """What the INVITE's transaction is known by."""
        return ("invite", self.n, self.invite_seq)

    def take_invite(self, request: Request, tag: str) -> None:
        """The dialog that this request begins, seen from whom it calls (§12.1.1)."""
        self.call_id = request.call_id
        self.local_tag = tag
        self.local = f"<{request.to.uri}>"
        self.remote = f"<{request.from_.uri}>"
        self.remote_tag = request.from_.tag
        self.remote_seq = request.cseq.number
        self.route_set = tuple([str(route) for route in request.record_routes])

    def take_dialog(self, response: Response) -> None:
        """The dialog that this response makes or confirms, seen from the caller (§12.1.2)."""
        self.remote_tag = response.to.tag
        self.route_set = tuple([str(route) for route in reversed(response.record_routes)])

    def refresh_target(self, contacts: object) -> None:
        if isinstance(contacts, tuple) and contacts and isinstance(contacts[0], NameAddr):
            self.target = str(contacts[0].uri)

    def request(self, method: str, number: int, fields: Fields, body: bytes) -> Request:
        """A request within the dialog, or the INVITE that begins it (§12.2.1.1, §8.1.1)."""
        uri, routes = self.target, self.route_set
        if routes and ";lr" not in routes[0].lower():
            # A strict router wants its own URI there, and the target as the last Route.
            uri, routes = routes[0].strip("<>"), (*routes[1:], f"<{self.target}>")
        has_dialog = self.remote_tag is not None and (method != "INVITE" or self.answered_at is not None)
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
    def replaces(self) -> str:
        """This dialog as a Replaces header names it to the far end (RFC 3891 §6.1: its own tag is the to-tag)."""
        return f"{self.call_id};to-tag={self.remote_tag};from-tag={self.local_tag}"

    @property
    def may_offer(self) -> bool:
        """Whether an UPDATE with an offer is legal: the first exchange is done, and no offer open (RFC 3311 §5.1)."""
        talk = self.talk
        is_in_dialog = self.remote_tag is not None and self.stage in (Stage.RINGING, Stage.TALKING)
        is_over = talk.our_offer is None and talk.their_offer is None and not self.owes_answer
        is_settled = talk.exchanged or not (self.inviting or self.invite_key)
        return is_in_dialog and is_over and is_settled

    @property
    def may_invite(self) -> bool:
        """Whether a re-INVITE is legal now: no other is under way in either direction (RFC 3261 §14.1)."""
        return self.may_offer and self.stage is Stage.TALKING and not self.inviting and self.invite_key is None

    @property
    def called(self) -> str:
        """The user part of the Request-URI of the INVITE that came."""
        return "" if self.invite is None else self.invite.uri_text.partition(":")[2].partition("@")[0]
