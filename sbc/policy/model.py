"""What policy knows and what it answers: frozen values, parsed once from YAML, never changed.

`load` makes a `Policy`; `engine.decide` turns `Facts` into a `Decision`. Every rule knows its file and line.
Numbers are E.164 with a leading plus inside; what a peer sees is made by its `numbers` forms.
"""

from typing import Literal

from msgspec import Struct, field

from sbc.core.address import Address, Transport

NumberForm = Literal["e164", "e164-bare", "national", "national-1", "last-4"]
CalledFrom = Literal["ruri", "to", "p-called-party-id"]
Latching = Literal["strict", "address"]


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
    where: Where | None = None


class MediaSettings(Struct, frozen=True):
    first_port: int = 20000
    last_port: int = 29999
    engine: Literal["auto", "userland"] = "auto"
    workers: int = 1


class Server(Struct, frozen=True):
    """Where requests to a peer go: transport, host (name or IP literal without brackets), port (None: the default)."""

    host: str
    port: int | None = None
    transport: Transport = Transport.UDP
    text: str = ""  # as written, for status and CDR


class Peer(Struct, frozen=True):
    """A pbx or a trunk. `accept` are networks in CIDR text; empty means the hosts of `servers`."""

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
    no_reply: float = 4.0
    no_progress: float = 20.0
    no_answer: float = 180.0
    where: Where | None = None


class Route(Struct, frozen=True):
    """One rule as written. Empty `from_peers`, `to` or `caller` mean: any. Patterns are compiled by `engine`."""

    name: str
    from_peers: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    caller: tuple[str, ...] = ()
    strip: int = 0
    prepend: str = ""
    via: tuple[str, ...] = ()
    reject: int = 0
    no_answer: float | None = None
    where: Where | None = None


class DidRange(Struct, frozen=True):
    """Consecutive numbers that one PBX owns, as E.164 where they have such a form; first and last are of one length."""

    first: str
    last: str
    pbx: str
    where: Where | None = None


class Settings(Struct, frozen=True):
    """The section `sbc`. `admin` is `host:port`, `[v6]:port`, `unix:PATH` or `off`."""

    name: str = "sbc"
    data_dir: str = "./var"
    admin: str = "127.0.0.1:8088"
    country: str = "US"
    stop_after: float = 10.0


class Target(Struct, frozen=True):
    """One step of the hunt: a peer, and the numbers as that peer shall see them."""

    peer: Peer
    called: str
    caller: str
    no_answer: float


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


class Decision(Struct, frozen=True):
    """First match wins. Either `hunt` has targets, or `reject` is a SIP status. `because` is rendered on demand."""

    hunt: tuple[Target, ...] = ()
    reject: int = 0
    route: str | None = None
    called_e164: str = ""  # as E.164 where it has such a form, else as dialled
    caller_e164: str = ""
    because: tuple[Step, ...] = field(default=())

    def __str__(self) -> str:
        """For the call's ladder: every rule that was looked at, then what came of it."""
        steps = [f"{target.peer.name} as {target.called}" for target in self.hunt]
        end = f"reject {self.reject}" if self.reject else f"hunt: {', '.join(steps)}"
        return "\n".join([*map(str, self.because), end])
