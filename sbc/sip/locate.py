"""From the URI of a next hop to a flow: transport, address and the listener that requests to it leave by.

Names are looked up by A and AAAA (RFC 3263 §4.2 without NAPTR and SRV) through `LookUp`, and the last known answer
stays in use while a new one is fetched. It asks nobody itself and starts no transaction.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from sbc.core.address import Address, Flow, Transport, canonical_ip
from sbc.sip.commands import LookUp
from sbc.sip.events import LookedUp
from sbc.sip.params import param
from sbc.sip.uri import SipUri, parse_uri

REFRESH_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 5.0  # for a name that had no address
_NAMES: Final = 10_000


class Local(Struct, frozen=True):
    """A listener of ours: the address that it is bound to, and what peers are told (`sent_by`: Via and Contact)."""

    address: Address
    sent_by: str


LocalKey = tuple[str, Transport, bool]  # interface, transport, is IPv6


class Unlocated(Struct, frozen=True):
    """Why there is no flow (yet). `wanted` are the look-ups that must be awaited; empty: there will be none."""

    reason: str
    wanted: tuple[LookUp, ...] = ()


class News(Struct, frozen=True):
    """What look-ups changed: watched servers (next hop and interface) and, by host name, all that they mean now."""

    servers: tuple[tuple[str, str], ...] = ()
    addresses: Mapping[str, tuple[str, ...]] = {}


class Locator:
    def __init__(self, locals_: Mapping[LocalKey, Local]) -> None:
        self.locals = dict(locals_)
        self._names: dict[str, tuple[tuple[str, ...], float]] = {}
        self._halves: dict[str, dict[str, tuple[str, ...]]] = {}
        self._flows: dict[tuple[str, str], Flow] = {}  # for next hops that are IP literals

    def locate(self, next_hop: str, interface: str) -> Flow | Unlocated:
        known = self._flows.get((next_hop, interface))
        if known is not None:
            return known
        uri = parse_uri(next_hop)
        if not isinstance(uri, SipUri):
            return Unlocated(f"{next_hop} is no SIP URI")
        transport = _transport_of(uri)
        if transport is None:
            return Unlocated(f"transport {uri.transport} is not spoken here")
        # "If the URI contains an maddr parameter … the target is the value of the maddr parameter", RFC 3263 §4
        host = param(uri.params, "maddr") or uri.host
        port = uri.port or transport.default_port
        literal = canonical_ip(host)
        if literal is not None:
            flow = self._flow(interface, transport, literal, port)
            if isinstance(flow, Flow):
                if len(self._flows) >= _NAMES:
                    self._flows.clear()
                self._flows[next_hop, interface] = flow
            return flow
        answer = self._names.get(host.lower())
        if answer is None:
            name = host.lower()
            return Unlocated(f"looking up {host}", (LookUp(name, "A"), LookUp(name, "AAAA")))
        flow = Unlocated(f"{host} has no address")
        for address in answer[0]:
            flow = self._flow(interface, transport, address, port)
            if isinstance(flow, Flow):
                break
        return flow

    def addresses_of(self, next_hop: str, interface: str) -> tuple[str, ...]:
        """All IP literals that this server means now: who may speak as it."""
        del interface
        uri = parse_uri(next_hop)
        if not isinstance(uri, SipUri):
            return ()
        host = param(uri.params, "maddr") or uri.host
        literal = canonical_ip(host)
        return (literal,) if literal is not None else self._names.get(host.lower(), ((), 0.0))[0]

    def due(self, next_hop: str, interface: str, now: float) -> tuple[LookUp, ...]:
        """The look-ups for `next_hop`, if it is time to ask once more: asked for once, not for every request."""
        if (next_hop, interface) in self._flows:
            return ()
        uri = parse_uri(next_hop)
        if not isinstance(uri, SipUri):
            return ()
        host = (param(uri.params, "maddr") or uri.host).lower()
        answer = self._names.get(host)
        if answer is None or now - answer[1] < (REFRESH_SECONDS if answer[0] else RETRY_SECONDS):
            return ()
        self._names[host] = (answer[0], now)
        return (LookUp(host, "A"), LookUp(host, "AAAA"))

    def learn(self, event: LookedUp, now: float) -> bool:
        """Keep an answer; whether both families are known now. A failure does not displace what was good before."""
        if event.kind not in ("A", "AAAA"):
            return False
        halves = self._halves.setdefault(event.name, {})
        if event.kind not in halves or not event.failed:
            halves[event.kind] = event.addresses
        if len(halves) < 2:
            return False
        if len(self._names) >= _NAMES and event.name not in self._names:
            gone = next(iter(self._names))
            del self._names[gone], self._halves[gone]
        self._names[event.name] = (halves["A"] + halves["AAAA"], now)
        return True

    def _flow(self, interface: str, transport: Transport, host: str, port: int) -> Flow | Unlocated:
        address = ipaddress.ip_address(host.partition("%")[0])
        if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
            return Unlocated(f"{host} is no address of a peer")
        local = self.locals.get((interface, transport, ":" in host))
        if local is None:
            family = "IPv6" if ":" in host else "IPv4"
            return Unlocated(f"interface {interface} has no {family} listener for {transport}")
        return Flow(transport, interface, local.address, Address(host, port))


def _transport_of(uri: SipUri) -> Transport | None:
    # Deviation: RFC 3261 §18.1.1 has requests near the path MTU go by TCP. A carrier that speaks UDP alone would
    # swallow them, so that what the URI says decides, and a large request goes as fragments.
    named = uri.transport
    if uri.scheme == "sips":
        return Transport.TLS if named in (None, "tcp", "tls") else None
    if named is None:
        return Transport.UDP
    try:
        return Transport(named)
    except ValueError:
        return None
