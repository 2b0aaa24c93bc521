"""Keeping strangers and abusers out, before there is any state: who is heard, what is an offence, who is banned.

It concerns sources of `accept: any` alone, where anybody may knock; who is no peer at all gets silence anyway, and
peers are never banned. A message of such a source is dropped before it is parsed where the source is banned or too
fast, or a scanner's signature stands in it.

**What is an offence.** The source of a datagram can be forged, so that anybody could have anybody banned: a home
worker, by sending rubbish in his name. So over UDP only this counts: wrong credentials with a nonce that we sent to
that very address. Over a connection, whose far end is where it claims to be, all of it counts: wrong credentials, what
cannot be read, what is too fast, hostile targets; a signature bans at once.

**Users of a banned address.** Behind one address there may be many. Who has shown right credentials within the last two
hours is heard on, from his very port; the kernel is not told of such an address; and an INVITE to an emergency number
from any port of it may log in. What nobody has proved anything from is silent whatever it asks for (contract, 7:
"Strangers still get silence").

It sends nothing; it counts in `dropped`. Used by the switch, the reception and the door.
"""

import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from sbc.core import limits
from sbc.core.address import Flow, Transport
from sbc.core.commands import BlockAll, BlockSource
from sbc.core.hostile import fault_of_host
from sbc.peering.bans import Bans, Out, source_of
from sbc.peering.rates import Rate
from sbc.policy.engine import Policy
from sbc.policy.model import Peer
from sbc.policy.trusted import TrustedSources
from sbc.sip.commands import CloseFlow
from sbc.sip.message import Request
from sbc.sip.nameaddr import Star
from sbc.sip.uri import SipUri

SIGNATURES: Final = ("friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "siparmyknife", "<sip:nm@nm>")
"""By which the usual scanners are known, in lower case; whoever changes his name is met by the other rules."""
AGENTS: Final = (
    "sipcli", "vaxsipuseragent", "vaxsip", "pplsip", "sip-scan", "sipsak", "iwar", "smap ", "cseq-scan", "sipptk",
    "sippts", "sipdump", "gulp", "scan-dialer",
)  # fmt: skip
"""The same, of what they write into User-Agent alone: so short that people, domains and random Call-IDs have them, too.
"""

_LOOKED_AT: Final = 4_096  # octets of a message, for a signature
_Place = tuple[str, str, int]


class KeepingOut:
    """`policy` is that in force; see `set_policy`. `dropped`: the endpoint's counter."""

    def __init__(self, policy: Policy, dropped: Counter[str]) -> None:
        self.bans = Bans(policy.bans)
        self._dropped = dropped
        self._outs: list[Out | CloseFlow] = []
        self._proved: OrderedDict[_Place, float] = OrderedDict()  # when it has shown right credentials last
        self._users: Counter[str] = Counter()  # of these, by source
        self._rates: dict[str, Rate] = {}
        self._second = 0.0
        self._of_second: dict[str, int] = {}
        self._all_of_second = 0
        self._trusts: TrustedSources | None = None
        self._set(policy)

    @property
    def proved(self) -> int:
        """Addresses and ports from which right credentials came."""
        return len(self._proved)

    @property
    def counted(self) -> int:
        """Sources whose messages of this second are counted."""
        return len(self._of_second)

    @property
    def users(self) -> int:
        """Sources of these."""
        return len(self._users)

    # --- the policy ---------------------------------------------------------------------------------------------------

    def set_policy(self, policy: Policy, now: float) -> None:
        """A reload. Whose address is a peer's now is not banned any more."""
        self._set(policy)
        self._free_peers(now)

    def names_changed(self) -> None:
        """The DNS says something else of who is a peer: it counts when it matters, and for bans at once."""
        self._trusts = None

    def _free_peers(self, now: float) -> None:
        self._trusts = None
        self._outs += self.bans.lift_trusted(self.is_trusted, now)
        self._outs.append(self._everyone(now))

    @property
    def _trusted(self) -> TrustedSources:
        if self._trusts is None:
            self._trusts = TrustedSources(self._policy)
        return self._trusts

    def _set(self, policy: Policy) -> None:
        self._policy = policy
        self.bans.rules = policy.bans
        self._trusts = None
        words, agents = _either((*SIGNATURES, *policy.bans.signatures)), _either(AGENTS)
        self._scanner = re.compile(rb"%b|\nuser-agent[ \t]*:[^\r\n]*(?:%b)" % (words, agents), re.IGNORECASE)
        rates = {peer.name: peer.rate for peer in policy.peers.values() if peer.rate is not None}
        self._rates = {name: self._rates.get(name) or Rate(rate) for name, rate in rates.items()}
        for name, rate in rates.items():
            self._rates[name].per_second = rate

    def is_trusted(self, source: str) -> bool:
        """Of a /64 only where all of it is: a peer does not speak for his neighbours, and is known before bans are
        asked about."""
        return self._trusted.holds(source)

    # --- before anything is parsed ------------------------------------------------------------------------------------

    def hears(self, data: bytes, flow: Flow, now: float) -> bool:
        """Whether a message of a source that anybody may have is looked at."""
        if self.has_shown(flow, now):
            return True
        source = _source(flow.remote.host)
        if self.bans.is_banned(source) and not self._is_emergency_try(source, data, now):
            self._dropped["banned"] += 1
            return False
        if not self._has_time_for(source, flow, now):
            return False
        if self._scanner.search(data, 0, _LOOKED_AT) is not None:
            self.offends(flow, "the signature of a scanner", now, weight=self.bans.rules.strikes)
            self._dropped["scanner"] += 1
            return False
        return True

    def has_shown(self, flow: Flow, now: float) -> bool:
        """Whether from there a certificate, or right credentials, have come lately; all others are strangers."""
        return bool(flow.proved) or self._is_proved(flow, now)

    def refuses(self, host: str) -> bool:
        """Whether connections from there are closed: it is banned, no peer, and nobody has logged in there lately."""
        if not len(self.bans):
            return False
        source = _source(host)
        return self.bans.is_banned(source) and not self._users[source] and not self._trusted.holds(host)

    def _is_emergency_try(self, source: str, data: bytes, now: float) -> bool:
        """Somebody from there has logged in lately: an INVITE may be for help, which the door will see."""
        if not (self._users[source] and data.startswith(b"INVITE ")):
            return False
        self._turn(now)
        key = f"!{source}"
        count = self._of_second[key] = self._of_second.get(key, 0) + 1
        return count <= limits.BANNED_EMERGENCIES_PER_SECOND

    def _has_time_for(self, source: str, flow: Flow, now: float) -> bool:
        self._turn(now)
        count = self._of_second.get(source, 0) + 1
        is_users = self._users[source] > 0
        if count == 1 and len(self._of_second) >= limits.COUNTED_SOURCES and not is_users:
            self._dropped["strangers_over_rate"] += 1
            return False
        self._of_second[source] = count
        if is_users and count <= limits.USERS_MESSAGES_PER_SECOND:
            return True
        if count > limits.STRANGER_MESSAGES_PER_SECOND:
            self.offends(flow, "too many messages", now)
            self._dropped["stranger_over_rate"] += 1
            return False
        if self._all_of_second >= limits.STRANGERS_MESSAGES_PER_SECOND:
            self._dropped["strangers_over_rate"] += 1
            return False
        self._all_of_second += 1
        return True

    def _turn(self, now: float) -> None:
        if now - self._second >= 1.0:
            self._second = now
            self._of_second.clear()
            self._all_of_second = 0

    # --- at the door, when it has been parsed -------------------------------------------------------------------------

    def has_hostile_target(self, request: Request, flow: Flow) -> bool:
        """Whether the Contact of a request points where nobody may point us."""
        contacts = request.contacts
        uris = [contact.uri for contact in (() if isinstance(contacts, Star) else contacts)]
        return any(isinstance(uri, SipUri) and fault_of_host(uri.host, flow.local.host) is not None for uri in uris)

    def named_hostile_target(self, flow: Flow, now: float) -> None:
        """A request was dropped for that."""
        self.offends(flow, "a Contact that points at us or at everybody", now)
        self._dropped["hostile_target"] += 1

    @property
    def has_rates(self) -> bool:
        return bool(self._rates)

    def over_rate(self, peer: Peer, now: float) -> bool:
        """One more request of this peer outside of dialogs: whether it is too many."""
        rate = self._rates.get(peer.name)
        return rate is not None and not rate.allows(now)

    def may_only_cry_for_help(self, flow: Flow, now: float) -> bool:
        return len(self.bans) > 0 and self.bans.is_banned(_source(flow.remote.host)) and not self._is_proved(flow, now)

    def was_refused(self, flow: Flow, now: float, *, is_answer: bool) -> None:
        """Wrong credentials. `is_answer`: to a challenge that we sent to that address."""
        if is_answer or flow.transport is not Transport.UDP:
            self._offence(flow, "wrong credentials", now, 1)

    def has_proved(self, flow: Flow, now: float) -> None:
        """Right credentials."""
        place = _place(flow)
        if self._proved.pop(place, None) is None:
            self._users[_source(flow.remote.host)] += 1
        self._proved[place] = now
        while len(self._proved) > limits.PROVED_SOURCES or self._is_old(now):
            self._forget(next(iter(self._proved)))

    def offends(self, flow: Flow, why: str, now: float, weight: int = 1) -> None:
        """Anything but wrong credentials: nothing of it can be held against the source of a datagram."""
        if flow.transport is not Transport.UDP:
            self._offence(flow, why, now, weight)

    def _offence(self, flow: Flow, why: str, now: float, weight: int) -> None:
        source = _source(flow.remote.host)
        if self.is_trusted(source):
            return
        outs = self.bans.strike(source, why, now, weight)
        if self.bans.is_banned(source):
            if flow.connection:
                self._outs.append(CloseFlow(flow))
            self._outs += self._mirrored(outs)

    def _is_proved(self, flow: Flow, now: float) -> bool:
        if not self._proved:
            return False
        at = self._proved.get(_place(flow))
        return at is not None and now - at < limits.PROVED_SECONDS

    def _is_old(self, now: float) -> bool:
        return now - next(iter(self._proved.values())) >= limits.PROVED_SECONDS

    def _forget(self, place: _Place) -> None:
        del self._proved[place]
        source = _source(place[1])
        self._users[source] -= 1
        if not self._users[source]:
            del self._users[source]

    # --- the operator, and time ---------------------------------------------------------------------------------------

    def add(self, source: str, seconds: float, why: str, now: float) -> None:
        if not self.is_trusted(source):
            self._outs += self._mirrored(self.bans.add(source, seconds, why, now))

    def lift(self, source: str, now: float) -> None:
        self._outs += self.bans.lift(source, "by the operator", now)

    def restore(self, items: Iterable[tuple[str, bytes]], now: float, wall_at_zero: float) -> None:
        self.bans.restore(items, now, wall_at_zero)

    def start(self, now: float) -> list[Out | CloseFlow]:
        self._outs += self.bans.start()
        self._free_peers(now)
        return self.take()

    def tick(self, now: float) -> list[Out | CloseFlow]:
        self._outs += self.bans.tick(now)
        if self._trusts is None and len(self.bans):
            self._free_peers(now)
        return self.take()

    def next_deadline(self) -> float | None:
        return 0.0 if self._outs or (self._trusts is None and len(self.bans)) else self.bans.next_deadline()

    def take(self) -> list[Out | CloseFlow]:
        """What has come of everything since this was asked last."""
        if not self._outs:
            return []
        outs, self._outs = self._outs, []
        return outs

    # --- for the kernel -----------------------------------------------------------------------------------------------

    def _mirrored(self, outs: Sequence[Out]) -> list[Out]:
        """The kernel knows no ports of users and no peers: it is not told of addresses that have some."""
        blocks = [out for out in outs if isinstance(out, BlockSource)]
        untold = [out for out in blocks if out.seconds and not self._is_for_all(out.source)]
        return [out for out in outs if out not in untold]

    def _is_for_all(self, source: str) -> bool:
        return not self._users[source] and not self._trusted.touches(source)

    def _everyone(self, now: float) -> BlockAll:
        everyone = self.bans.everyone(now)
        return BlockAll(tuple([(source, seconds) for source, seconds in everyone.sources if self._is_for_all(source)]))


@lru_cache(maxsize=limits.REMEMBERED_TEXTS)
def _source(host: str) -> str:
    return source_of(host) or host


def _either(words: Iterable[str]) -> bytes:
    return "|".join(re.escape(word) for word in dict.fromkeys(words)).encode()


def _place(flow: Flow) -> _Place:
    return flow.interface, flow.remote.host, flow.remote.port
