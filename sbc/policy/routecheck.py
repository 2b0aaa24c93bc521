"""Routes and disaster plans against the peers that they name, and what an operator should know of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sbc.policy.dids import DidTable
from sbc.policy.merge import Draft
from sbc.policy.model import DidRange, Peer, Route, Via, Where
from sbc.policy.numbers import NumberPlan
from sbc.policy.peers import DidEntry
from sbc.policy.problems import Problems
from sbc.policy.schema import At, Fields, nearest

_UNUSED_IN_EMERGENCIES: Final = ("limits", "continue_on", "stop_on", "disaster")


def check_routes(draft: Draft, problems: Problems) -> None:
    pbxs, trunks = draft.named["pbxs"], draft.named["trunks"]
    peers = {**trunks, **pbxs}
    names: dict[str, Where] = {}
    for fields in draft.lists["routes"]:
        _check_name(fields, names, problems)
        for at in fields.get("from", ()):
            _check_peer(at.value, "from", at.where, peers, problems)
        for at in fields.get("via", ()):
            via: Via = at.value
            _check_peer(via.to, "via", at.where, peers, problems)
        _check_outcome(fields, problems)
        _check_statuses(fields, problems)
        _check_emergency(fields, problems)
        _check_steps(fields.get("disaster", ()), pbxs, peers, problems)
        _check_plan_is_of_use(fields, trunks, problems)
    for name, fields in pbxs.items():
        _check_own_plans(name, fields, pbxs, peers, problems)


def _check_name(fields: Fields, names: dict[str, Where], problems: Problems) -> None:
    name = fields.get("name")
    if name is None:
        return
    first = names.setdefault(name, fields.place("name"))
    if first is not fields.place("name"):
        problems.wrong(
            fields.place("name"), f"the route `{name}` is defined twice", f"expected it once; first at {first}"
        )


def _check_peer(name: str, key: str, where: Where, peers: Mapping[str, Fields], problems: Problems) -> None:
    if name not in peers:
        problems.wrong(where, f"`{name}` in `{key}` is no peer", nearest(name, tuple(peers)))


def _check_outcome(fields: Fields, problems: Problems) -> None:
    """A route hunts or refuses; only for numbers that a PBX owns does it know where to without being told."""
    if "via" in fields.found and "reject" in fields.found:
        problems.wrong(fields.place("reject"), "a route with both `via` and `reject`", "expected one of them")
    if "via" in fields.written or "reject" in fields.written:
        return
    to = [at.value for at in fields.get("to", ())]
    if to != ["dids"]:
        problems.wrong(fields.where, "a route without `via` or `reject`", "expected one of them, or `to: dids` alone")


def _check_statuses(fields: Fields, problems: Problems) -> None:
    continues = {at.value for at in fields.get("continue_on", ())}
    for at in fields.get("stop_on", ()):
        if at.value in continues:
            problems.wrong(
                at.where, f"{at.value} is in `stop_on` and in `continue_on`", "expected each status in one of them"
            )


def _check_emergency(fields: Fields, problems: Problems) -> None:
    """An emergency route takes calls out, with the number as dialled, and before any other rule."""
    if not fields.get("emergency"):
        return
    for key in ("strip", "prepend"):
        if key in fields.found:
            problems.wrong(
                fields.place(key),
                f"`{key}` on an emergency route",
                "expected none: the number goes out as dialled",
            )
    if "reject" in fields.found:
        problems.wrong(fields.place("reject"), "an emergency route with `reject`", "expected `via`")
    if "to" not in fields.written:
        problems.wrong(
            fields.where,
            "an emergency route without `to` takes every number",
            "expected numbers, or the word emergency",
        )
    for key in _UNUSED_IN_EMERGENCIES:
        if key in fields.found:
            problems.warn(
                fields.place(key), f"`{key}` means nothing on an emergency route", "it is exempt, and hunts to its end"
            )


def _check_plan_is_of_use(fields: Fields, trunks: Mapping[str, Fields], problems: Problems) -> None:
    """A plan is for a PBX that is down; calls to trunks alone have the hunt."""
    vias = [at.value.to for at in fields.get("via", ())]
    if fields.get("emergency"):
        return
    if "disaster" in fields.found and ("reject" in fields.found or (vias and all(name in trunks for name in vias))):
        problems.warn(
            fields.place("disaster"),
            "`disaster` means nothing on a route that goes to no PBX",
            "name what is to be tried next in `via`",
        )


def _check_own_plans(
    name: str, fields: Fields, pbxs: Mapping[str, Fields], peers: Mapping[str, Fields], problems: Problems
) -> None:
    entries: Sequence[At] = fields.get("dids", ())
    for entry in entries:
        written: DidEntry = entry.value
        _check_steps(written.disaster, pbxs, peers, problems)
        for at in written.disaster:
            if at.value.get("pbx") == name:
                problems.wrong(
                    at.value.place("pbx"), f"`{name}` as the way out when `{name}` is down", "expected another pbx"
                )


def _check_steps(
    steps: Sequence[At], pbxs: Mapping[str, Fields], peers: Mapping[str, Fields], problems: Problems
) -> None:
    for step in steps:
        fields: Fields = step.value
        for at in fields.get("via", ()):
            _check_peer(at.value, "via", at.where, peers, problems)
        name = fields.get("pbx")
        if name is not None and name not in pbxs:
            what = "is a trunk" if name in peers else "is no pbx"
            hint = "expected {forward: NUMBER, via: …} for a trunk" if name in peers else nearest(name, tuple(pbxs))
            problems.wrong(fields.place("pbx"), f"`{name}` in `disaster` {what}", hint)


def warn_operator(
    peers: Sequence[Peer], routes: Sequence[Route], dids: Sequence[DidRange], plan: NumberPlan, problems: Problems
) -> None:
    """What is allowed, but rarely meant."""
    trunks = {peer.name for peer in peers if peer.kind == "trunk"}
    _warn_of_transit(routes, trunks, problems)
    planned = _planned(peers, routes, dids)
    called = {via.to for route in routes for via in route.via} | {did.pbx for did in dids}
    owners = DidTable(dids)
    for peer in peers:
        _warn_of_methods(peer, routes, called, problems)
        if peer.kind == "trunk" or peer.where is None:
            continue
        _warn_of_emergencies(peer, peer.where, routes, trunks, problems)
        if peer.name in planned and peer.health is None and not peer.registers:
            problems.warn(
                peer.where,
                f"`{peer.name}` has a disaster plan but no `health`",
                "the plan waits for each call to fail first",
            )
        default = peer.caller_id.default
        if default and owners.owner(plan.read(default)) != peer.name:
            problems.warn(
                peer.caller_id.where or peer.where,
                f"the default caller {default} is not a DID of `{peer.name}`",
                "who calls back does not reach it",
            )


def _warn_of_transit(routes: Sequence[Route], trunks: set[str], problems: Problems) -> None:
    """A way out that forgot to say for whom takes calls from carriers too, and from whoever forges their addresses."""
    settled: set[str] = set()  # trunks whose calls never get past the routes before
    for route in routes:
        out = [via.to for via in route.via if via.to in trunks]
        is_open = not route.from_peers and not route.emergency and trunks - settled
        if out and is_open and route.where is not None:
            problems.warn(
                route.where,
                f"`{route.name}` has no `from`, so that calls that come in on a trunk go out on `{out[0]}` again",
                "expected `from` with the pbxs that may call out",
            )
        if not route.to and not route.caller and not route.emergency:
            settled |= set(route.from_peers) or trunks


def _warn_of_methods(peer: Peer, routes: Sequence[Route], called: set[str], problems: Problems) -> None:
    """Routes for any peer are not asked: they were not written for this one."""
    if "INVITE" in peer.methods or peer.where is None:
        return
    if any(peer.name in route.from_peers for route in routes):
        problems.warn(
            peer.where, f"`{peer.name}` has routes for its calls, but its `methods` lack INVITE", "its calls get 405"
        )
    elif peer.name in called:
        problems.warn(
            peer.where,
            f"calls go to `{peer.name}`, whose `methods` lack INVITE",
            "it cannot hold them, nor change them in another way",
        )


def _warn_of_emergencies(
    pbx: Peer, where: Where, routes: Sequence[Route], trunks: set[str], problems: Problems
) -> None:
    ours = [route for route in routes if not route.from_peers or pbx.name in route.from_peers]
    if any(route.emergency for route in ours):
        return
    if any(via.to in trunks for route in ours for via in route.via):
        problems.warn(
            where,
            f"no route with `emergency: true` is for `{pbx.name}`",
            "emergency numbers get what the other routes say",
        )


def _planned(peers: Sequence[Peer], routes: Sequence[Route], dids: Iterable[DidRange]) -> set[str]:
    """The PBXs that something is to be done for when they are down."""
    pbxs = {peer.name for peer in peers if peer.kind == "pbx"}
    owners = {did.pbx for did in dids}
    planned = {did.pbx for did in dids if did.disaster}
    for route in routes:
        if route.disaster:
            planned |= {via.to for via in route.via} & pbxs if route.via else owners
    return planned
