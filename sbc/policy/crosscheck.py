"""What no single place shows: sections that are missing, names, listeners and DIDs that overlap.

Peers are checked by `peercheck`, routes by `routecheck`, sources by `sourcecheck`.
"""

import ipaddress
from collections.abc import Sequence

from sbc.core.address import Transport, canonical_ip
from sbc.policy import values
from sbc.policy.merge import Draft
from sbc.policy.model import DidRange, Listener, Where
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import At, Fields


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


def _check_names(draft: Draft, problems: Problems) -> None:
    for section in ("interfaces", "pbxs", "trunks"):
        for name, fields in draft.named[section].items():
            _check_name(name, fields.where, problems)
    for name, at in draft.settings["path_pools"].found.items():
        _check_name(name, at.where, problems)
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


def check_dids(dids: Sequence[DidRange], problems: Problems) -> None:
    """No two PBXs own the same number. Neighbours suffice, once sorted: the furthest end so far is remembered."""
    _check_plans(dids, problems)
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


def _check_plans(dids: Sequence[DidRange], problems: Problems) -> None:
    """Ranges of one PBX may overlap, and the narrowest with a plan gives it. But not two for the very same numbers."""
    planned: dict[tuple[str, str], DidRange] = {}
    for did in dids:
        if not did.disaster or did.where is None:
            continue
        first = planned.setdefault((did.first, did.last), did)
        if first is not did and first.pbx == did.pbx:
            problems.wrong(
                did.where, f"`{_shown(did)}` has two disaster plans", f"expected one; the other is at {first.where}"
            )


def _shown(did: DidRange) -> str:
    return did.first if did.first == did.last else f"{did.first}-{did.last}"
