"""The procedure of RFC 3263 §4 for one URI: which transport, which servers in which order, which addresses and ports.

It reads what the DNS has said through `look` and says what else it must know; it draws nothing and asks nobody. Used by
the locator, which keeps the outcome until an answer changes.
"""

import enum
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport, canonical_ip
from sbc.sip.commands import LookUp, RecordKind
from sbc.sip.events import NaptrRecord, SrvRecord
from sbc.sip.locate.names import Key, Known
from sbc.sip.locate.order import by_preference, by_priority
from sbc.sip.params import param
from sbc.sip.uri import SipUri

_PREFERRED: Final = (Transport.UDP, Transport.TCP, Transport.TLS)  # where the server leaves the choice to us
_SERVICES: Final[Mapping[str, Transport]] = {  # NAPTR, RFC 3263 §4.1
    "SIP+D2U": Transport.UDP,
    "SIP+D2T": Transport.TCP,
    "SIPS+D2T": Transport.TLS,
}
# Deviation: RFC 3261 §18.1.1 has requests near the path MTU go by TCP. A carrier that speaks UDP alone would swallow
# them, so that what the URI says decides, and a large request goes as fragments.
_NAMED: Final[Mapping[tuple[str, str | None], Transport | None]] = {  # scheme and transport; None: left open
    ("sip", None): None,
    ("sip", "udp"): Transport.UDP,
    ("sip", "tcp"): Transport.TCP,
    ("sip", "tls"): Transport.TLS,
    ("sips", None): None,
    ("sips", "tcp"): Transport.TLS,
    ("sips", "tls"): Transport.TLS,
}
_SRV_PREFIX: Final[Mapping[Transport, str]] = {
    Transport.UDP: "_sip._udp.",
    Transport.TCP: "_sip._tcp.",
    Transport.TLS: "_sips._tcp.",
}


class Local(Struct, frozen=True):
    """A listener of ours: the address that it is bound to, and what peers are told (`sent_by`: Via and Contact)."""

    address: Address
    sent_by: str


LocalKey = tuple[str, Transport, bool]  # interface, transport, is IPv6


class Unlocated(Struct, frozen=True):
    """Why there is no flow (yet). `wanted`: the look-ups that must be awaited; empty: waiting helps nobody."""

    reason: str
    wanted: tuple[LookUp, ...] = ()

    @property
    def is_pending(self) -> bool:
        return bool(self.wanted)


class Choice(Struct, frozen=True):
    """The addresses of one server, and its weight among those of the same priority."""

    weight: int
    flows: tuple[Flow, ...]


Groups = tuple[tuple[Choice, ...], ...]  # by priority, never empty inside


class _No(enum.Enum):
    """Why a step has no servers: an answer is missing, or there are no such records."""

    PENDING = enum.auto()
    RECORDS = enum.auto()


class Search:
    """One run. Afterwards `looked` are the record sets that the outcome rests on."""

    def __init__(self, interface: str, locals_: Mapping[LocalKey, Local], look: Callable[[Key], Known | None]) -> None:
        self.looked: dict[Key, Known | None] = {}
        self._interface = interface
        self._locals = locals_
        self._look = look

    def run(self, uri: SipUri) -> Groups | Unlocated:
        if (uri.scheme, uri.transport) not in _NAMED:
            return Unlocated(f"transport {uri.transport} is not spoken here")
        named = _NAMED[uri.scheme, uri.transport]
        # "We define TARGET as the value of the maddr parameter of the URI, if present, otherwise, the host", §4
        target = (param(uri.params, "maddr") or uri.host).lower().removesuffix(".")
        default = named or (Transport.TLS if uri.scheme == "sips" else Transport.UDP)
        literal = canonical_ip(target)
        if literal is not None:
            flow = self._flow(default, literal, uri.port or default.default_port)
            return flow if isinstance(flow, Unlocated) else ((Choice(0, (flow,)),),)
        spoken = [t for t in _PREFERRED if self._families(t) and (uri.scheme != "sips" or t is Transport.TLS)]
        if not spoken or (default not in spoken and (named or uri.port)):
            return Unlocated(f"interface {self._interface} has no listener for {default}")
        if uri.port:
            found = self._addresses(target, default, uri.port)
        elif named:
            found = self._service(target, named)
        else:
            found = self._by_naptr(target, spoken)
        return found if isinstance(found, tuple) and found else self._nothing(target)

    # --- §4.1: the transport ------------------------------------------------------------------------------------------

    def _by_naptr(self, target: str, spoken: Sequence[Transport]) -> Groups | _No:
        records = self._records(target, "NAPTR")
        if records is None:
            for transport in spoken:  # what may be needed next is asked at once, so that a call waits only twice
                self._look((_SRV_PREFIX[transport] + target, "SRV"))
            self._prefetch_addresses(target, spoken)
            return _No.PENDING
        for record, transport in _applicable(records, spoken):
            found = self._srv(record.replacement, transport)
            if found is not _No.RECORDS:
                return found
        return self._by_srv(target, spoken)

    def _by_srv(self, target: str, spoken: Sequence[Transport]) -> Groups | _No:
        """Where "no NAPTR records are found, the client constructs SRV queries for those transport protocols it
        supports"; of those that exist it "MAY use any": we take UDP before TCP before TLS.
        """
        is_elsewhere = False
        for transport in spoken:
            found = self._srv(_SRV_PREFIX[transport] + target, transport)
            if found is _No.PENDING or (found and found is not _No.RECORDS):
                return found
            is_elsewhere = is_elsewhere or found == ()
        return () if is_elsewhere else self._default_addresses(target, spoken[0])

    # --- §4.2: the servers, their ports and addresses -----------------------------------------------------------------

    def _service(self, target: str, transport: Transport) -> Groups | _No:
        found = self._srv(_SRV_PREFIX[transport] + target, transport)
        if found is _No.PENDING:
            self._prefetch_addresses(target, (transport,))
        return self._default_addresses(target, transport) if found is _No.RECORDS else found

    def _srv(self, name: str, transport: Transport) -> Groups | _No:
        """() where the records say that the service is not here, or where no server of theirs has an address."""
        records = self._records(name, "SRV")
        if records is None:
            return _No.PENDING
        if not records:
            return _No.RECORDS
        # "A Target of "." means that the service is decidedly not available at this domain.", RFC 2782
        here = [r for r in records if isinstance(r, SrvRecord) and r.target not in ("", ".") and 0 < r.port < 65536]
        here = sorted(here, key=lambda record: record.priority)[: limits.SERVERS_PER_NAME]
        groups: list[tuple[Choice, ...]] = []
        for group in by_priority(here):
            found = [(record.weight, self._flows(record.target, transport, record.port)) for record in group]
            if not groups and any(flows is None for _, flows in found):
                self._prefetch_rest(here, transport)
                return _No.PENDING  # nobody may be tried before all that may be the first are known
            choices = tuple(Choice(weight, flows) for weight, flows in found if flows)
            if choices:
                groups.append(choices)
        return tuple(groups)

    def _default_addresses(self, target: str, transport: Transport) -> Groups | _No:
        # "If no SRV records were found, the client performs an A or AAAA record lookup of the domain name."
        return self._addresses(target, transport, transport.default_port)

    def _addresses(self, host: str, transport: Transport, port: int) -> Groups | _No:
        flows = self._flows(host, transport, port)
        return _No.PENDING if flows is None else ((Choice(0, flows),),) if flows else ()

    def _flows(self, host: str, transport: Transport, port: int) -> tuple[Flow, ...] | None:
        """None: an answer is missing. A family without a listener is not even asked for."""
        families = self._families(transport)
        found = self._hosts(host, families)
        if any(addresses is None for addresses in found):
            return None
        ours = [self._locals[self._interface, transport, ipv6].address.host for ipv6 in families]
        addresses = by_preference([str(one) for addresses in found for one in addresses or ()], ours)
        flows = [self._flow(transport, address, port) for address in addresses]
        return tuple(dict.fromkeys(f for f in flows if isinstance(f, Flow)))[: limits.ADDRESSES_PER_NAME]

    def _hosts(self, name: str, families: Sequence[bool]) -> list[Sequence[object] | None]:
        literal = canonical_ip(name)  # RFC 2782 allows no address as a target; zones have them all the same
        if literal is not None:
            return [(literal,)]
        return [self._records(name, "AAAA" if ipv6 else "A") for ipv6 in families]

    def _flow(self, transport: Transport, host: str, port: int) -> Flow | Unlocated:
        address = ipaddress.ip_address(host.partition("%")[0])
        if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
            return Unlocated(f"{host} is no address of a peer")
        local = self._locals.get((self._interface, transport, ":" in host))
        if local is None:
            family = "IPv6" if ":" in host else "IPv4"
            return Unlocated(f"interface {self._interface} has no {family} listener for {transport}")
        return Flow(transport, self._interface, local.address, Address(host, port))

    # --- what is known ------------------------------------------------------------------------------------------------

    def _families(self, transport: Transport) -> list[bool]:
        """False for IPv4, True for IPv6, where we listen."""
        return [ipv6 for ipv6 in (False, True) if (self._interface, transport, ipv6) in self._locals]

    def _records(self, name: str, kind: RecordKind) -> Sequence[object] | None:
        """None: to be awaited. Where nobody answers and nobody ever has, there is nothing: the procedure goes on."""
        key: Key = (name, kind)
        known = self.looked[key] = self._look(key)
        return None if known is None else known.records

    def _prefetch_addresses(self, host: str, spoken: Sequence[Transport]) -> None:
        for ipv6 in self._families(spoken[0]):
            self._look((host, "AAAA" if ipv6 else "A"))

    def _prefetch_rest(self, records: Sequence[SrvRecord], transport: Transport) -> None:
        for record in records:
            self._flows(record.target, transport, record.port)

    def _nothing(self, target: str) -> Unlocated:
        wanted = tuple(LookUp(*key) for key, known in self.looked.items() if known is None)
        if wanted:
            return Unlocated(f"looking up {target}", wanted)
        failed = next((f"{key[1]} {key[0]}: {k.failed}" for key, k in self.looked.items() if k and k.failed), "")
        return Unlocated(f"{target} has no address" + (f" ({failed})" if failed else ""))


def _applicable(records: Sequence[object], spoken: Sequence[Transport]) -> list[tuple[NaptrRecord, Transport]]:
    """NAPTR records that lead to SRV records of a transport that we speak; the server's preference decides."""
    found = [
        (record, _SERVICES[record.service.upper()])
        for record in records
        if isinstance(record, NaptrRecord)
        and record.flags.lower() == "s"
        and record.replacement not in ("", ".")
        and _SERVICES.get(record.service.upper()) in spoken
    ]
    return sorted(found, key=lambda one: (one[0].order, one[0].preference))
