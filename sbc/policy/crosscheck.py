"""What no single place shows: names that nothing defines, things that overlap, sources that mean two peers."""

import ipaddress
from collections.abc import Sequence
from typing import Final

from sbc.core.address import Address, Transport, canonical_ip
from sbc.policy import values
from sbc.policy.merge import Draft
from sbc.policy.model import DidRange, Listener, Peer, Server, Where
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import At, Fields, nearest
from sbc.policy.sources import source_ports

_NOWHERE: Final = Where("policy", 1)


def check_draft(draft: Draft, start: Where, problems: Problems) -> None:
    interfaces = draft.named["interfaces"]
    peers = {**draft.named["trunks"], **draft.named["pbxs"]}
    if not interfaces:
        problems.wrong(start, "no interface is defined", "expected the section interfaces")
    if not peers:
        problems.warn(start, "no peer is defined", "every request will meet silence")
    elif not draft.lists["routes"]:
        problems.warn(start, "no route is defined", "every call will get 404")
    _check_names(draft, problems)
    _check_listeners(draft, problems)
    for name, fields in interfaces.items():
        _check_media_addresses(name, fields, problems)
    for name, fields in peers.items():
        _check_peer(name, fields, interfaces, problems)
    _check_routes(draft.lists["routes"], peers, problems)


def _check_names(draft: Draft, problems: Problems) -> None:
    for section in ("interfaces", "pbxs", "trunks"):
        for name, fields in draft.named[section].items():
            _check_name(name, fields.where, problems)
    for name, fields in draft.named["trunks"].items():
        other = draft.named["pbxs"].get(name)
        if other is not None:
            problems.wrong(
                fields.where,
                f"`{name}` names a trunk and a pbx",
                f"expected names unique across both; the pbx is at {other.where}",
            )


def _check_name(name: str, where: Where, problems: Problems) -> None:
    try:
        values.name(name)
    except UnfitError as error:
        problems.wrong(where, error.wrong, error.expected)


def _check_listeners(draft: Draft, problems: Problems) -> None:
    """No two on one address and port, the admin's among them; and none where media ports are taken at random."""
    first, last = draft.settings["media"].get("ports", (20_000, 29_999))
    seen = _admin_listener(draft.settings["sbc"])
    for fields in draft.named["interfaces"].values():
        media_hosts = {at.value for at in fields.get("media", ())}
        for at in fields.get("sip", ()):
            listener: Listener = at.value
            udp = listener.transport is Transport.UDP
            key = (udp, listener.address.host, listener.address.port)
            other = seen.setdefault(key, at)
            if other is not at:
                problems.wrong(
                    at.where,
                    f"the listener {listener.transport}:{listener.address} is taken",
                    f"expected another address or port; first at {other.where}",
                )
            if udp and listener.address.host in media_hosts and first <= listener.address.port <= last:
                problems.warn(
                    at.where, "this listener's port lies within media.ports", "one of the two may find it taken"
                )


def _admin_listener(fields: Fields) -> dict[tuple[bool, str, int], At]:
    address = fields.get("admin", "127.0.0.1:8088")
    if address == "off" or address.startswith("unix:"):
        return {}
    host, _, port = address.rpartition(":")
    return {(False, canonical_ip(host) or host, int(port)): At(address, fields.place("admin"))}


def _check_media_addresses(name: str, fields: Fields, problems: Problems) -> None:
    families: dict[int, At] = {}
    for at in fields.get("media", ()):
        family = ipaddress.ip_address(at.value).version
        other = families.setdefault(family, at)
        if other is not at:
            problems.wrong(
                at.where,
                f"`interfaces.{name}` has two IPv{family} media addresses",
                f"expected at most one per family; first at {other.where}",
            )
    advertise: Fields | None = fields.get("advertise")
    shown = advertise.get("media") if advertise else None
    if advertise and shown and families and ipaddress.ip_address(shown).version not in families:
        problems.wrong(
            advertise.place("media"),
            f"`{shown}` is of a family that `interfaces.{name}.media` has not",
            "expected the family of a media address",
        )


def _check_peer(name: str, fields: Fields, interfaces: dict[str, Fields], problems: Problems) -> None:
    interface = fields.get("interface")
    if interface is None:
        return
    if interface not in interfaces:
        problems.wrong(fields.place("interface"), f"`{interface}` is no interface", nearest(interface, interfaces))
        return
    _check_not_ourselves(name, fields, interfaces, problems)
    _check_reachable(name, fields, interfaces[interface], problems)


def _check_not_ourselves(name: str, fields: Fields, interfaces: dict[str, Fields], problems: Problems) -> None:
    """On whichever interface: a call that we send to ourselves comes from a stranger."""
    listeners: list[Listener] = [at.value for interface in interfaces.values() for at in interface.get("sip", ())]
    for at in (*fields.get("address", ()), *fields.get("servers", ())):
        if any(_is_at(listener, at.value) for listener in listeners):
            problems.wrong(at.where, f"`{at.value.text}` is our own listener", f"expected where `{name}` listens")


def _check_reachable(name: str, fields: Fields, interface: Fields, problems: Problems) -> None:
    """A server needs a listener of its transport: Via and Contact show that one."""
    listeners: list[Listener] = [at.value for at in interface.get("sip", ())]
    if not listeners:
        return
    for at in (*fields.get("address", ()), *fields.get("servers", ())):
        literal = canonical_ip(at.value.host)
        fitting = [
            listener
            for listener in listeners
            if listener.transport is at.value.transport
            and (literal is None or listener.address.is_ipv6 == (":" in literal))
        ]
        if not fitting:
            where = fields.get("interface")
            family = "" if literal is None else " IPv6" if ":" in literal else " IPv4"
            problems.wrong(
                at.where,
                f"no{family} {at.value.transport} listener on `{where}` to reach `{at.value.text}` from",
                f"expected one in interfaces.{where}.sip, or another transport for `{name}`",
            )


def _is_at(listener: Listener, server: Server) -> bool:
    port = server.port or server.transport.default_port
    return listener == Listener(server.transport, Address(server.host, port))


def _check_routes(routes: Sequence[Fields], peers: dict[str, Fields], problems: Problems) -> None:
    names: dict[str, Where] = {}
    for fields in routes:
        name = fields.get("name")
        if name is not None:
            first = names.setdefault(name, fields.place("name"))
            if first is not fields.place("name"):
                problems.wrong(
                    fields.place("name"), f"the route `{name}` is defined twice", f"expected it once; first at {first}"
                )
        for key in ("from", "via"):
            for at in fields.get(key, ()):
                if at.value not in peers:
                    problems.wrong(at.where, f"`{at.value}` in `{key}` is no peer", nearest(at.value, peers))
        _check_outcome(fields, problems)


def _check_outcome(fields: Fields, problems: Problems) -> None:
    """A route hunts or refuses; only for numbers that a PBX owns does it know where to without being told."""
    if "via" in fields.found and "reject" in fields.found:
        problems.wrong(fields.place("reject"), "a route with both `via` and `reject`", "expected one of them")
    if "via" in fields.written or "reject" in fields.written:
        return
    to = [at.value for at in fields.get("to", ())]
    if to != ["dids"]:
        problems.wrong(fields.where, "a route without `via` or `reject`", "expected one of them, or `to: dids` alone")


def check_dids(dids: Sequence[DidRange], problems: Problems) -> None:
    """No two PBXs own the same number. Neighbours suffice, once sorted: the furthest end so far is remembered."""
    furthest: dict[int, DidRange] = {}
    for did in sorted(dids, key=lambda d: (len(d.first), d.first, d.last)):
        before = furthest.get(len(did.first))
        if before is not None and did.first <= before.last and did.pbx != before.pbx and did.where:
            problems.wrong(
                did.where,
                f"`{_shown(did)}` of `{did.pbx}` overlaps `{_shown(before)}` of `{before.pbx}`",
                f"expected each number at one PBX; the other is at {before.where}",
            )
        if before is None or did.last > before.last:
            furthest[len(did.first)] = did


def check_sources(peers: Sequence[Peer], problems: Problems) -> None:
    """Two peers may share a source only where their servers' ports tell them apart."""
    by_source: dict[tuple[str, str], list[Peer]] = {}
    for peer in peers:
        for source in _sources(peer):
            by_source.setdefault((peer.interface, source), []).append(peer)
    for (_, source), sharing in by_source.items():
        _check_sharing(source, sharing, problems)


def _check_sharing(source: str, sharing: Sequence[Peer], problems: Problems) -> None:
    by_port: dict[int, Peer] = {}
    for peer in sharing:
        clash = next((by_port[port] for port in source_ports(peer) if port in by_port), None)
        by_port.update(dict.fromkeys(source_ports(peer), peer))
        if clash is not None:
            problems.wrong(
                peer.where or _NOWHERE,
                f"`{peer.name}` and `{clash.name}` both accept {source} on `{peer.interface}`",
                f"expected sources that differ (registration or DID cannot tell yet); other at {clash.where}",
            )
        elif peer is not sharing[0]:
            problems.warn(
                peer.where or _NOWHERE,
                f"`{peer.name}` and `{sharing[0].name}` share {source} and are told apart by source port",
                "what comes from any other port there meets silence",
            )


def _sources(peer: Peer) -> tuple[str, ...]:
    if peer.accept:
        return peer.accept
    hosts = (canonical_ip(server.host) or server.host for server in peer.servers)
    return tuple(dict.fromkeys(str(ipaddress.ip_network(h)) if canonical_ip(h) else h for h in hosts))


def _shown(did: DidRange) -> str:
    return did.first if did.first == did.last else f"{did.first}-{did.last}"
