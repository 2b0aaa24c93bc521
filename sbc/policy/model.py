"""What policy knows and what it answers: frozen values, parsed once from YAML, never changed.

`load` makes a `Policy`; `engine.decide` turns `Facts` into a `Decision`. Every rule knows its file and line.
Numbers are E.164 with a leading plus inside; what a peer sees is made by its `numbers` forms.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct, field

from sbc.core.address import Address, Transport
from sbc.core.secret import Secret
from sbc.policy.protection import BanRules, InterfaceTls, PeerTls, SrtpRules

NumberForm = Literal["e164", "e164-bare", "national", "national-1", "last-4"]
Algorithm = Literal["md5", "sha-256", "sha-512-256"]
CalledFrom = Literal["ruri", "to", "p-called-party-id"]
Latching = Literal["strict", "address", "nat"]


class Where(Struct, frozen=True):
    """A place in a policy file, for people: `routes.yaml:9:3`."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Listener(Struct, frozen=True):
    transport: Transport
    address: Address


class Interface(Struct, frozen=True):
    """One network that we have a foot in. What is advertised is shown to peers instead of our own addresses."""

    name: str
    listeners: tuple[Listener, ...]
    media: tuple[str, ...]  # IP literals, at most one per family; the first is preferred
    sip_advertise: str | None = None  # host or host:port, in Via and Contact
    media_advertise: str | None = None  # IP literal, in SDP
    dscp_sip: int = 0
    dscp_media: int = 0
    tls: InterfaceTls = InterfaceTls()
    where: Where | None = None


class MediaSettings(Struct, frozen=True):
    """`silence_timeout`: seconds without RTP and RTCP either way that end a call; 0: none do. `orphan_timeout`: seconds
    that media of a call goes on whose signalling has died.
    """

    first_port: int = 20000
    last_port: int = 29999
    engine: Literal["auto", "kernel", "userland"] = "auto"
    workers: int = 1
    silence_timeout: float = 300.0
    orphan_timeout: float = 3600.0


class Server(Struct, frozen=True):
    """Where requests to a peer go: transport, host (name or IP literal without brackets), port (None: the default)."""

    host: str
    port: int | None = None
    transport: Transport = Transport.UDP
    text: str = ""  # as written, for status and CDR
    names_transport: bool = False  # the URI says which; else NAPTR and SRV may choose (RFC 3263 §4.1)
    is_sips: bool = False  # its URI is a SIPS URI, and so are those of the requests to it (RFC 5630)


class Auth(Struct, frozen=True):
    """A digest account. `password` None: its source could not be read; `check` warns, `run` refuses.

    `algorithms` are what we challenge with, in this order; towards a trunk they mean nothing.
    """

    username: str
    password: Secret | None
    algorithms: tuple[Algorithm, ...] = ("md5",)
    where: Where | None = None


class Health(Struct, frozen=True):
    """How a peer's servers are watched. `passive`: by live traffic alone. Seconds.

    `options`: between probes while up; `retry`: while not; `timeout`: for a reply; `fall`, `rise`: in a row.
    """

    passive: bool = False
    options: float = 30.0
    retry: float = 5.0
    timeout: float = 4.0
    fall: int = 3
    rise: int = 2


class Register(Struct, frozen=True):
    """Registration with a carrier. `user` and `host` make the AOR; `gin`: bulk, RFC 6140. Seconds.

    `keepalive`: between the CRLF pairs that keep a NAT open (RFC 5626 §4.4.1 form); 0: none. `is_sips`: the AOR is a
    SIPS URI.
    """

    user: str
    host: str
    expires: float = 600.0
    gin: bool = False
    keepalive: float = 30.0
    is_sips: bool = False
    where: Where | None = None

    @property
    def aor(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"{'sips' if self.is_sips else 'sip'}:{user}{self.host}"


class PathRules(Struct, frozen=True):
    """Call paths of a trunk. `total` None: unlimited. `pool`: they are shared, and `total` is the pool's.

    `inbound`, `outbound`: most at once in that direction. A reserve of k caps all others at total - k.
    """

    total: int | None = None
    inbound: int | None = None
    outbound: int | None = None
    reserve_emergency: int = 0
    reserve_inbound: int = 0
    reserve_outbound: int = 0
    pool: str | None = None


class WhenFull(Struct, frozen=True):
    outbound: int = 503
    inbound: int = 486


class Limits(Struct, frozen=True):
    """On calls that come from a PBX, or that a route takes. None: unlimited. `max_duration` in seconds."""

    call_paths: int | None = None
    cps: int | None = None
    minutes_per_day: int | None = None
    max_duration: float | None = None


class CallerId(Struct, frozen=True):
    """What a PBX may say of who calls. `default` in E.164: shown where `fixed`, or where screening fails."""

    mode: Literal["screen", "pass", "fixed"] = "pass"
    default: str = ""
    on_fail: Literal["replace", "reject", "anonymous"] = "replace"
    where: Where | None = None


class Forward(Struct, frozen=True):
    """Disaster step: call this number (E.164) instead; without `via` by the routes of the PBX that is down."""

    number: str
    via: tuple[str, ...] = ()
    where: Where | None = None


class ToPbx(Struct, frozen=True):
    """Disaster step: the same number at another PBX."""

    pbx: str
    where: Where | None = None


class RejectWith(Struct, frozen=True):
    """Disaster step: the caller gets this status."""

    status: int
    where: Where | None = None


DisasterStep = Forward | ToPbx | RejectWith


class Via(Struct, frozen=True):
    """One step of a hunt. Steps with a weight that stand together are drawn by weight (all of them, in drawn order)."""

    to: str
    weight: int | None = None


class HeaderRules(Struct, frozen=True):
    """Which header fields cross, beyond those that always do. Names as canonical; one that ends in `*` is a beginning.

    `passed`: of messages from this peer, to whoever is on the other side. `removed`: from messages to this peer,
    whatever would be there. `added`: to requests that we send to this peer, and to our responses to its own.
    `forwarded`: how this peer is told who has forwarded a call; "as-received" leaves it as it came. `features`:
    parameters of this peer's Contact that our Contact on the other side repeats (RFC 3840), in lower case.
    """

    passed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    added: tuple[tuple[str, str], ...] = ()
    forwarded: Literal["as-received", "diversion", "history-info", "both"] = "as-received"
    features: tuple[str, ...] = ("isfocus", "automata", "audio", "video", "text", "data")


class CodecRules(Struct, frozen=True):
    """Which codecs this peer may be offered and may choose. Lower-case names, with a clock rate where one was given
    ("opus", "l16/44100"). `allow` empty: all. `order`: these come first in what this peer is offered.
    """

    allow: tuple[str, ...] = ()
    order: tuple[str, ...] = ()


class SessionTimerRules(Struct, frozen=True):
    """RFC 4028, in seconds: the interval that we ask for, and the shortest that we agree to."""

    expires: float = 1800.0
    minimum: float = 90.0


EVENTS: Final = frozenset({"message-summary", "presence", "dialog", "reg", "conference", "refer"})
"""The event packages that a peer may use where its `events` say nothing; another one gets 489 (RFC 6665 §7.3.2)."""

TALK_METHODS: Final = frozenset(
    {"INVITE", "ACK", "CANCEL", "BYE", "PRACK", "UPDATE", "OPTIONS", "INFO", "REFER", "NOTIFY"}
)
"""What a peer may use where its `methods` say nothing."""


class Peer(Struct, frozen=True):
    """A pbx or a trunk. `accept` are networks in CIDR text; empty means the hosts of `servers`.

    `accepts_any`: any source, each request outside a dialog with credentials, or over TLS with a certificate that
    proves it. `registers`: it registers to us, and
    has no `servers`. `register`: we register there.

    `transfer`: what becomes of a REFER from this peer; pbxs: terminate where the policy says nothing, trunks: refuse.
    `redirect`: of a 3xx from it; likewise follow and refuse. `t38`: of a fax session, offered by or to this peer.
    `hold` inactive: what does not go both ways is told to it as going neither way.
    `dtmf`: how this peer sends and hears digits; pass: as the other side does. `early_media` ringback: this peer hears
    a plain 180 instead of the other side's early media. `delayed_offer` convert: this peer's INVITEs always have an
    offer. `reliable`: whether we say that we understand 100rel (RFC 3262). `session_timer` None: none is asked for.
    `media_from`: networks in CIDR text that its media may be learned from, with latching nat. `transcode` auto: it may
    be offered a G.711 law that the other side has not offered, and what it then sends is recoded. `transports`: by
    which it may speak. `rate`: requests outside of dialogs per second, of all methods; None: no limit. `overload`:
    whether we tell each other of it (RFC 7339); auto: where the peer asks for it.
    """

    name: str
    kind: Literal["pbx", "trunk"]
    interface: str
    servers: tuple[Server, ...]
    accept: tuple[str, ...] = ()
    domain: str | None = None  # host in R-URI, To, From; None: the server's host (trunk)
    called_from: CalledFrom = "ruri"
    called_form: NumberForm = "e164"
    caller_form: NumberForm = "e164"
    latching: Latching = "address"
    media_from: tuple[str, ...] = ()
    transcode: Literal["auto", "off"] = "auto"
    no_reply: float = 4.0
    no_progress: float = 20.0
    no_answer: float = 180.0
    accepts_any: bool = False
    auth: Auth | None = None
    registers: bool = False
    register: Register | None = None
    health: Health | None = None
    paths: PathRules | None = None
    when_full: WhenFull = WhenFull()
    cps: int | None = None
    limits: Limits | None = None
    caller_id: CallerId = CallerId()
    methods: frozenset[str] = TALK_METHODS
    events: frozenset[str] = EVENTS
    transfer: Literal["pass", "terminate", "refuse"] = "refuse"
    redirect: Literal["follow", "refuse"] = "refuse"
    t38: Literal["pass", "refuse"] = "pass"
    hold: Literal["pass", "inactive"] = "pass"
    dtmf: Literal["pass", "rfc4733", "info"] = "pass"
    codecs: CodecRules = CodecRules()
    headers: HeaderRules = HeaderRules()
    session_timer: SessionTimerRules | None = SessionTimerRules()
    early_media: Literal["pass", "ringback"] = "pass"
    delayed_offer: Literal["pass", "convert"] = "pass"
    reliable: Literal["offer", "off"] = "offer"
    transports: frozenset[Transport] = frozenset(Transport)
    tls: PeerTls = PeerTls()
    srtp: SrtpRules = SrtpRules()
    rate: int | None = None
    overload: Literal["auto", "rfc7339", "off"] = "auto"
    where: Where | None = None

    @property
    def is_anybody(self) -> bool:
        """Whether what speaks as this peer may be anybody at all, until its credentials have shown otherwise."""
        return self.accepts_any and self.tls.identity != "certificate"


class Route(Struct, frozen=True):
    """One rule as written. Empty `from_peers`, `to` or `caller` mean: any. Patterns are compiled by `engine`."""

    name: str
    from_peers: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    caller: tuple[str, ...] = ()
    strip: int = 0
    prepend: str = ""
    via: tuple[Via, ...] = ()
    reject: int = 0
    no_answer: float | None = None
    emergency: bool = False
    disaster: tuple[DisasterStep, ...] = ()
    limits: Limits | None = None
    continue_on: frozenset[int] = frozenset()
    stop_on: frozenset[int] = frozenset()
    where: Where | None = None


class DidRange(Struct, frozen=True):
    """Consecutive numbers that one PBX owns, as E.164 where they have such a form; first and last are of one length.

    `disaster`: a plan of their own, in place of the rule's.
    """

    first: str
    last: str
    pbx: str
    where: Where | None = None
    disaster: tuple[DisasterStep, ...] = ()


class LogRules(Struct, frozen=True):
    """How log lines are written. `numbers` full: telephone numbers are not masked."""

    numbers: Literal["masked", "full"] = "masked"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Hep(Struct, frozen=True):
    """A capture server (Homer) that SIP messages of calls are sent to by HEP3. `node`: the capture agent's id."""

    server: Address
    node: int = 2001
    password: Secret | None = None


class Postgres(Struct, frozen=True):
    """A database that records are copied to. `url` holds no password."""

    url: str
    password: Secret | None = None


class RecordFiles(Struct, frozen=True):
    """Files in `folder` that others pick up; a new one every `rotate` seconds."""

    folder: str
    style: Literal["csv", "json"] = "csv"
    rotate: float = 86_400.0


class CdrRules(Struct, frozen=True):
    """`keep`: seconds that a record stays in our own store; None: for ever. `strict`: nobody hears of an answer before
    the disk has it. `interim`: seconds between two notes that a call still talks; None: there are none.
    """

    keep: float | None = None
    postgres: Postgres | None = None
    strict: bool = False
    interim: float | None = 60.0
    files: RecordFiles | None = None


FIXED: Final = ("sbc.name", "sbc.data_dir", "sbc.admin", "media.ports", "media.workers")
"""What a running program has taken for good."""


class Settings(Struct, frozen=True):
    """The section `sbc`. `admin` is `host:port`, `[v6]:port`, `unix:PATH` or `off`; beyond loopback `admin_token` is
    there. `places`: where each of the keys stands that a reload cannot change (`FIXED`), if it is written.
    """

    name: str = "sbc"
    data_dir: str = "./var"
    admin: str = "127.0.0.1:8088"
    country: str = "US"
    stop_after: float = 10.0
    cps: int | None = None
    webhook: str | None = None
    admin_token: Secret | None = None
    log: LogRules = LogRules()
    hep: Hep | None = None
    cdr: CdrRules = CdrRules()
    bans: BanRules = BanRules()
    places: Mapping[str, Where] = {}


class Target(Struct, frozen=True):
    """One step of the hunt: a peer, and the numbers as that peer shall see them.

    `called_e164`: where the number has such a form, else as `called`. `diverted_from`: the DID (E.164) whose disaster
    plan made this step, or the number that sent the call on by a 3xx; empty for others. `diverted_why`: a reason of
    RFC 5806 §4. `redirected`: the status of that 3xx. `is_diverter_ours`: that number belongs to whoever diverted.
    `limits`: besides the call's own, of who redirected and of the route that he took, by `pbx NAME`, `route NAME`.
    """

    peer: Peer
    called: str
    caller: str
    no_answer: float
    weight: int | None = None
    called_e164: str = ""
    diverted_from: str = ""
    diverted_why: str = "out-of-service"
    redirected: int = 0
    is_diverter_ours: bool = True
    limits: tuple[tuple[str, Limits], ...] = ()


class Facts(Struct, frozen=True):
    """What policy may look at: who asks, for whom; built once per call."""

    peer: str
    called: str  # user part as dialled, escapes resolved
    caller: str


class Step(Struct, frozen=True):
    """One line of `because`: a rule's place and name, whether it matched, and if not, which condition failed."""

    where: Where | None
    rule: str
    matched: bool
    reason: str = ""

    def __str__(self) -> str:
        verdict = "matched" if self.matched else f"no match: {self.reason}"
        return f"{self.where or '-'}: {self.rule}: {verdict}"


class DisasterPlan(Struct, frozen=True):
    """What is tried instead of a PBX that is down; `reject` is a SIP status that ends it, 0: the last failure's."""

    hunt: tuple[Target, ...] = ()
    reject: int = 0
    because: tuple[Step, ...] = ()


class Decision(Struct, frozen=True):
    """First match wins. Either `hunt` has targets, or `reject` is a SIP status. `because` is rendered on demand."""

    hunt: tuple[Target, ...] = ()
    reject: int = 0
    route: str | None = None
    called_e164: str = ""  # as E.164 where it has such a form, else as dialled
    caller_e164: str = ""
    because: tuple[Step, ...] = field(default=())
    emergency: bool = False
    rule: Route | None = None  # with its limits, continue_on and stop_on
    owner: str = ""  # the PBX that owns the called number, where the hunt goes to it
    has_disaster_plan: bool = False  # `Policy.disaster_plan` has more to say when the PBX is down

    def __str__(self) -> str:
        """For the call's ladder: every rule that was looked at, then what came of it."""
        steps = [f"{target.peer.name} as {target.called}" for target in self.hunt]
        reject = f"reject {self.reject}" + (
            ": no route takes this number" if self.route is None and self.reject == 404 else ""
        )
        end = reject if self.reject else f"hunt: {', '.join(steps)}"
        return "\n".join([*map(str, self.because), end])
