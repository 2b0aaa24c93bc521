"""Bans over the API: the list, and the operator's own: banned and lifted by address. Pure; rows of `api`'s table."""

from functools import partial
from typing import Any, Final

import msgspec

from sbc.admin.documents import BanBody
from sbc.admin.exchange import Order, Reply, Request, json_reply, problem
from sbc.admin.peer_views import wall_text
from sbc.admin.state import AdminState
from sbc.b2bua.events import BanOrdered, LiftOrdered
from sbc.b2bua.snapshot import EngineView
from sbc.core import limits
from sbc.peering.bans import LONGEST_SECONDS, source_of
from sbc.peering.views import BanView
from sbc.policy.problems import UnfitError
from sbc.policy.values import duration

LASTS: Final = "1h"  # an operator's ban, where he does not say
_WHY: Final = "by the operator"


def bans(_request: Request, state: AdminState, _name: str) -> Reply:
    engine = state.glance(0)
    return json_reply({"bans": ban_objects(engine), "total": len(engine.bans)})


def add(request: Request, _state: AdminState, address: str) -> Reply | Order:
    source = source_of(address[:64])
    if source is None:
        return problem(400, f"`{address[:64]}` is no IP address; expected one such as 192.0.2.7 or 2001:db8::7")
    try:
        body = msgspec.json.decode(request.body.strip() or b"{}", type=BanBody)
        seconds = seconds_of(body.lasts or LASTS)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        return problem(400, f'expected {{"for": "1h", "why": "…"}}: {error}')
    why = "".join(c for c in body.why or "" if c.isprintable())[: limits.BAN_WHY_CHARACTERS] or _WHY
    return Order(BanOrdered(source, seconds, why), partial(_added, source))


def lift(_request: Request, state: AdminState, address: str) -> Reply | Order:
    source = source_of(address[:64])
    if source is None:
        return problem(404, f"`{address[:64]}` is no IP address that could be banned")
    found = _find(source, state.glance(0))
    if found is None:
        return problem(404, f"{source} is not banned")
    lifted = json_reply(_object(found, state.glance(0)))
    return Order(LiftOrdered(source), lambda _state: lifted)


def seconds_of(text: str) -> float:
    """How long an operator bans; ValueError says what is wrong with the text."""
    try:
        seconds = duration(text[:40])
    except UnfitError as error:
        raise ValueError(str(error)) from error
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"`{text[:40]}` is out of range; expected 1s to 30d")
    return seconds


def ban_objects(engine: EngineView, newest: int | None = None) -> list[dict[str, Any]]:
    """The newest first."""
    return [_object(ban, engine) for ban in engine.bans[:newest]]


def _added(source: str, state: AdminState) -> Reply:
    engine = state.glance(0)
    found = _find(source, engine)
    if found is None:
        return problem(409, f"{source} is not banned: a peer speaks from there, or it is an address of ours")
    return json_reply(_object(found, engine), 201)


def _find(source: str, engine: EngineView) -> BanView | None:
    return next((ban for ban in engine.bans if ban.source == source), None)


def _object(ban: BanView, engine: EngineView) -> dict[str, Any]:
    return {
        "address": ban.source,
        "since": wall_text(ban.since, engine),
        "until": wall_text(ban.until, engine),
        "by": ban.by,
        "why": ban.why,
    }
