"""Trunks, PBXs and call paths as the API shows them: plain objects, made of one snapshot.

Times become UTC text; a name or a reason that a peer sent is shown with what is no UTF-8 escaped. Pure.
"""

import math
from typing import Any

from sbc.admin.views import utf8
from sbc.b2bua.snapshot import EngineView
from sbc.cdr.format import time_text
from sbc.peering.views import (
    BindingView,
    Direction,
    HolderView,
    LimitView,
    PathView,
    PeerView,
    PingView,
    RegistrationView,
    ServerView,
)

DIRECTIONS: tuple[Direction, ...] = ("inbound", "outbound")


def trunk_objects(engine: EngineView) -> list[dict[str, Any]]:
    paths = {path.trunk: path for path in paths_of(engine) if path.kind == "trunk"}
    return [_trunk(peer, paths[peer.name], engine) for peer in engine.peers if peer.kind == "trunk"]


def pbx_objects(engine: EngineView) -> list[dict[str, Any]]:
    return [
        _peer_object(peer, engine) | {"bindings": [_binding(binding, engine) for binding in peer.bindings]}
        for peer in engine.peers
        if peer.kind == "pbx"
    ]


def path_object(path: PathView, engine: EngineView, now: float) -> dict[str, Any]:
    return {
        "trunk": path.trunk,
        "limit": path.limit,
        "used": path.used,
        "inbound": used_in(path, "inbound"),
        "outbound": used_in(path, "outbound"),
        "peak_today": path.peak_today,
        "kind": path.kind,
        "pool": path.pool or None,
        "holders": [_holder(holder, engine, now) for holder in path.holders],
    }


def limit_object(limit: LimitView) -> dict[str, Any]:
    """`minutes_today`: of a day in UTC, calls that are up with their time so far. Null: there is no such limit."""
    return {
        "name": limit.name,
        "call_paths_used": limit.call_paths_used,
        "call_paths": limit.call_paths,
        "minutes_today": round(limit.minutes_today, 2),
        "minutes_per_day": limit.minutes_per_day,
        "cps": limit.cps,
    }


def ping_object(ping: PingView) -> dict[str, Any]:
    """`status` null: nothing came, and `why` says what happened instead."""
    return {
        "server": ping.server,
        "address": ping.address,
        "status": ping.status or None,
        "milliseconds": ping.milliseconds,
        "why": utf8(ping.why) or ("" if ping.status else "no answer yet"),
    }


def paths_of(engine: EngineView) -> tuple[PathView, ...]:
    """Of every trunk, also of those without a limit that carry no call; then of trunks that are gone, and of pools."""
    known = {path.trunk: path for path in engine.paths if path.kind == "trunk"}
    trunks = [known.pop(peer.name, PathView(peer.name, None, 0)) for peer in engine.peers if peer.kind == "trunk"]
    return (*trunks, *known.values(), *(path for path in engine.paths if path.kind == "pool"))


def used_in(path: PathView, direction: Direction) -> int:
    return path.inbound if direction == "inbound" else path.outbound


def wall_text(at: float | None, engine: EngineView) -> str | None:
    """A time of the engine's clock as UTC text; None also for what never was or never ends."""
    return None if at is None or not math.isfinite(at) else time_text(engine.wall_at_zero + at)


def _trunk(trunk: PeerView, path: PathView, engine: EngineView) -> dict[str, Any]:
    registration = trunk.registration
    return _peer_object(trunk, engine) | {
        "registration": None if registration is None else _registration(registration, engine),
        "call_paths": {
            "used": path.used,
            "limit": path.limit,
            "inbound": used_in(path, "inbound"),
            "outbound": used_in(path, "outbound"),
            "peak_today": path.peak_today,
            "pool": path.pool or None,
        },
    }


def _peer_object(peer: PeerView, engine: EngineView) -> dict[str, Any]:
    return {
        "name": peer.name,
        "state": peer.state,
        "since": wall_text(peer.since, engine),
        "why": utf8(peer.why),
        "servers": [_server(server, engine) for server in peer.servers],
    }


def _server(server: ServerView, engine: EngineView) -> dict[str, Any]:
    return {
        "server": server.server,
        "address": server.address,
        "state": server.state,
        "since": wall_text(server.since, engine),
        "why": utf8(server.why),
    }


def _registration(registration: RegistrationView, engine: EngineView) -> dict[str, Any]:
    return {
        "state": registration.state,
        "aor": registration.aor,
        "since": wall_text(registration.since, engine),
        "why": utf8(registration.why),
        "expires_at": wall_text(registration.expires_at, engine),
        "next_at": wall_text(registration.next_at, engine),
        "registrar": registration.registrar or None,
    }


def _binding(binding: BindingView, engine: EngineView) -> dict[str, Any]:
    return {
        "aor": utf8(binding.aor),
        "contact": utf8(binding.contact),
        "address": binding.address,
        "expires_at": wall_text(binding.expires_at, engine),
    }


def _holder(holder: HolderView, engine: EngineView, now: float) -> dict[str, Any]:
    return {
        "trunk": holder.trunk,
        "ref": holder.ref,
        "leg": holder.leg,
        "direction": holder.direction,
        "since": wall_text(holder.since, engine),
        "age_seconds": round(max(0.0, now - holder.since), 3),
        "emergency": holder.emergency,
    }
