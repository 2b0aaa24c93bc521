"""What every call is given: policy, what is known of peers, identifiers, timers, ports, the clock, the trace.

No call changes any of it but the tables that are named so.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.account import WallClock
from sbc.b2bua.keeping_out import KeepingOut
from sbc.b2bua.media import MediaRules
from sbc.b2bua.moved import Moves
from sbc.b2bua.ports import PortPool
from sbc.b2bua.reachable import host_of
from sbc.b2bua.securing import Fingerprint, Securing
from sbc.b2bua.session_ids import SessionIds
from sbc.b2bua.totals import Totals
from sbc.core.ids import IdSource
from sbc.peering.relations import Relations
from sbc.policy.engine import Policy
from sbc.policy.model import Interface
from sbc.policy.protection import Keying, SrtpRules
from sbc.sip.timing import Timing
from sbc.sip.transaction.layer import TransactionLayer
from sbc.trace.peer_tapes import PeerTapes
from sbc.trace.recorder import Recorder

if TYPE_CHECKING:
    from sbc.b2bua.call import Call
    from sbc.b2bua.ended_dialogs import EndedDialogs

_ANY_KEYING: Final[tuple[Keying, ...]] = ("sdes", "dtls")


class MediaAddress(Struct, frozen=True):
    """Where an interface's media ports are bound, and what stands in SDP."""

    local: str
    shown: str


class Context:
    """Tables that calls write in: `dialogs`, our tag of every dialog to (call ref, leg number); `outcomes`, how many
    calls ended how, by ingress, egress and cause; `full_said`, when it was last said of a peer that calls are refused
    for want of call paths. `policy` is replaced by a reload. `fingerprint`: of our certificate in DTLS handshakes,
    set by the switch; None: there are none.
    """

    __slots__ = (
        "calls",
        "dialogs",
        "dropped",
        "emergencies",
        "ended",
        "fingerprint",
        "full_said",
        "hosts",
        "ids",
        "interfaces",
        "is_disk_stalled",
        "keeping_out",
        "layer",
        "media_rules",
        "moves",
        "outcomes",
        "peer_tapes",
        "policy",
        "ports",
        "relations",
        "session_ids",
        "timing",
        "totals",
        "trace",
        "wall",
    )

    def __init__(
        self,
        policy: Policy,
        relations: Relations,
        *,
        ids: IdSource,
        timing: Timing,
        ports: PortPool,
        media_rules: MediaRules,
        trace: Recorder,
    ) -> None:
        self.policy = policy
        self.relations = relations
        self.ids = ids
        self.timing = timing
        self.ports = ports
        self.media_rules = media_rules
        self.interfaces: Mapping[str, Interface] = policy.interfaces  # and those that calls that are up began by
        self.hosts: Mapping[str, str] = {}  # by interface: the host by which its peers know us
        self.set_interfaces(policy.interfaces)
        self.trace = trace
        self.peer_tapes = PeerTapes(trace)
        self.wall = WallClock()
        self.dialogs: dict[str, tuple[str, int]] = {}
        self.calls: Mapping[str, Call] = {}  # all that are alive; set by the switch, read by transfers
        self.moves = Moves()
        self.totals = Totals()
        self.session_ids: dict[str, SessionIds] = {}  # of calls that use them
        self.outcomes: Counter[tuple[str, str, str]] = Counter()
        self.dropped: Counter[str] = Counter()  # what was refused for want of room, by reason; set by the switch
        self.keeping_out = KeepingOut(policy, self.dropped)  # the switch's has its counter
        self.layer = TransactionLayer(ids, timing)  # the switch's is its endpoint's
        self.ended: EndedDialogs | None = None  # of the life before; set by the switch
        self.emergencies = 0
        self.fingerprint: Fingerprint | None = None
        self.full_said: dict[str, float] = {}
        self.is_disk_stalled = False  # it takes nothing of calls

    def set_interfaces(self, interfaces: Mapping[str, Interface]) -> None:
        self.interfaces = interfaces
        self.hosts = {name: host_of(interface) for name, interface in interfaces.items()}

    def securing(self, rules: SrtpRules) -> Securing | None:
        """For a side of a call whose peer has these; None: plain RTP is all that it has."""
        return None if rules.mode == "off" else Securing(rules, self.ids, self.fingerprint)

    def securing_help(self, rules: SrtpRules, offer: bytes) -> Securing | None:
        """The same for the side of who calls for help: with RTP or SRTP, whichever he has, whatever `srtp` says.

        "If TLS session establishment is not available or fails, the call MUST be retried without TLS", RFC 6881 ED-58:
        so it is for media, too.
        """
        if rules.mode == "optional" or (rules.mode == "off" and b"RTP/SAVP" not in offer):
            return self.securing(rules)
        keying = tuple(dict.fromkeys((*rules.keying, *_ANY_KEYING)))
        return Securing(replace(rules, mode="optional", keying=keying), self.ids, self.fingerprint)

    def securing_who_helps(self, rules: SrtpRules, *, has_refused: bool) -> Securing | None:
        """The same for the side of who is called for help. SRTP that is required is offered, and plain RTP is taken.
        `has_refused`: that was asked already, and would not have SRTP.
        """
        if rules.mode != "required":
            return self.securing(rules)
        if has_refused:
            return self.securing(replace(rules, mode="optional"))
        return Securing(rules, self.ids, self.fingerprint, yields=True)

    def media_addresses(self, interface: str, *, ipv6: bool) -> tuple[MediaAddress, ...]:
        """The media addresses of an interface, that of the wanted family first, where there is one."""
        known = self.interfaces[interface]
        wanted = sorted(known.media, key=lambda address: (":" in address) is not ipv6) if len(known.media) > 1 else None
        return tuple([MediaAddress(local, _shown(known, local)) for local in wanted or known.media])


def _shown(interface: Interface, local: str) -> str:
    """What is advertised is of one family, and stands for the address of that."""
    advertised = interface.media_advertise
    return advertised if advertised and (":" in advertised) is (":" in local) else local
