"""What an operator may order over the API: drill, busy-out, ping, drain, reload. It becomes an order, or a problem.

Pure; unknown names are 404 with the nearest known one, what makes no sense is 409. Used by `admin.api`.
"""

import difflib
from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

import msgspec
from msgspec import Struct

from sbc.admin.exchange import Order, Perform, Ping, Reload, Reply, Request, json_reply, problem
from sbc.admin.peer_views import pbx_objects, ping_object, trunk_objects
from sbc.admin.state import AdminState
from sbc.b2bua.events import BusyOutOrdered, DrainOrdered, DrainRevoked, DrillOrdered
from sbc.b2bua.snapshot import EngineView
from sbc.cdr.format import time_text
from sbc.peering.views import PeerView
from sbc.policy.changes import Changes
from sbc.policy.problems import UnfitError
from sbc.policy.values import duration

PING_SECONDS: Final = 5.0
DRAIN_SECONDS: Final = 600.0
DRAIN_SECONDS_MAXIMUM: Final = 7 * 86_400.0
_NAMED: Final = 8  # of the peers that there are, for one who has misspelt a name
_HINTED_AMONG: Final = 50  # names; where there are more, a wrong one is not compared with them


def drill_on(_request: Request, state: AdminState, name: str) -> Reply | Order:
    return _drill(state, name, on=True)


def drill_off(_request: Request, state: AdminState, name: str) -> Reply | Order:
    return _drill(state, name, on=False)


def busy_out(_request: Request, state: AdminState, name: str) -> Reply | Order:
    return _busy_out(state, name, on=True)


def restore(_request: Request, state: AdminState, name: str) -> Reply | Order:
    return _busy_out(state, name, on=False)


def ping(_request: Request, state: AdminState, name: str) -> Reply | Ping:
    peers = state.glance(0).peers
    if any(peer.name == name for peer in peers):
        return Ping(name)
    return no_peer(name, [peer.name for peer in peers])


def no_peer(name: str, known: Sequence[str]) -> Reply:
    return problem(404, f"no peer is called `{name[:64]}`{_hint(name, known)}")


def is_pinged(engine: EngineView, token: str) -> bool:
    """Whether nobody is waited for any more."""
    return all(one.status is not None for one in engine.pings if one.token == token)


def pinged(engine: EngineView, peer: str, token: str) -> Reply:
    """What came of a `Ping`."""
    results = [ping_object(one) for one in engine.pings if one.token == token]
    if not results:
        return problem(409, f"there is nothing to ping: no address of {peer} is known")
    return json_reply({"peer": peer, "results": results})


def drain(request: Request, state: AdminState, _name: str) -> Reply | Order:
    try:
        seconds = deadline_seconds(_deadline_text(request))
    except ValueError as error:
        return problem(400, str(error))
    deadline = state.now() + seconds
    return Order(DrainOrdered(deadline, is_leaving=True), partial(_draining, deadline))


def revoke_drain(_request: Request, state: AdminState, _name: str) -> Reply | Order:
    if state.glance(0).ready:
        return problem(409, "nothing is draining")
    return Order(DrainRevoked(), _revoked)


def deadline_seconds(text: str | None) -> float:
    """How long a drain lets calls go on; ValueError says what is wrong with the text."""
    if text is None:
        return DRAIN_SECONDS
    try:
        seconds = duration(text[:40])
    except UnfitError as error:
        raise ValueError(f"deadline: {error}") from error
    if seconds > DRAIN_SECONDS_MAXIMUM:
        raise ValueError(f"deadline: `{text[:40]}` is out of range; expected 0s to 7d")
    return seconds


def reload(_request: Request, _state: AdminState, _name: str) -> Reload:
    return Reload()


def reloaded(outcome: Sequence[str] | Changes) -> Reply:
    """What came of a `Reload`: what has changed; or all problems, and then nothing has."""
    if isinstance(outcome, Changes):
        return json_reply({"reloaded": True, "changes": msgspec.to_builtins(outcome), "summary": outcome.text})
    problems = outcome
    count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
    return problem(409, f"the policy has {count}; the one in force stays", problems=list(problems))


class Restart(Struct, frozen=True):
    """Ask the supervisor to go on as the program that is installed now (`Perform`), then `restarted`."""


def restart(_request: Request, _state: AdminState, _name: str) -> Perform:
    return Perform(Restart())


def restarted(refusal: str) -> Reply:
    """`refusal`: empty when it has begun."""
    if refusal:
        return problem(409, f"not restarted: {refusal}")
    return json_reply({"restarting": True}, 202)


def trunks(_request: Request, state: AdminState, _name: str) -> Reply:
    return json_reply({"trunks": trunk_objects(state.glance(0))})


def trunk(_request: Request, state: AdminState, name: str) -> Reply:
    return peer_reply("trunk", name, state)


def pbxs(_request: Request, state: AdminState, _name: str) -> Reply:
    return json_reply({"pbxs": pbx_objects(state.glance(0))})


def pbx(_request: Request, state: AdminState, name: str) -> Reply:
    return peer_reply("pbx", name, state)


def peer_reply(kind: Literal["pbx", "trunk"], name: str, state: AdminState) -> Reply:
    """One peer as it stands in the list of its kind."""
    engine = state.glance(0)
    for shown in trunk_objects(engine) if kind == "trunk" else pbx_objects(engine):
        if shown["name"] == name:
            return json_reply(shown)
    return _no_such_peer(kind, name, engine.peers)


def _drill(state: AdminState, name: str, *, on: bool) -> Reply | Order:
    refusal = _refusal("pbx", name, "drilled", state.glance(0).peers)
    return refusal or Order(DrillOrdered(name, on), partial(peer_reply, "pbx", name))


def _busy_out(state: AdminState, name: str, *, on: bool) -> Reply | Order:
    refusal = _refusal("trunk", name, "busied out", state.glance(0).peers)
    return refusal or Order(BusyOutOrdered(name, on), partial(peer_reply, "trunk", name))


def _refusal(kind: Literal["pbx", "trunk"], name: str, deed: str, peers: Sequence[PeerView]) -> Reply | None:
    """None where this peer exists and is of the kind that this is done to."""
    peer = next((peer for peer in peers if peer.name == name), None)
    if peer is None:
        return _no_such_peer(kind, name, peers)
    if peer.kind != kind:
        return problem(409, f"{name} is a {peer.kind}; only a {kind} can be {deed}")
    return None


def _no_such_peer(kind: str, name: str, peers: Sequence[PeerView]) -> Reply:
    known = [peer.name for peer in peers if peer.kind == kind]
    return problem(404, f"no {kind} is called `{name[:64]}`{_hint(name, known)}")


def _hint(name: str, known: Sequence[str]) -> str:
    # It takes a tenth of a millisecond for each long name, of the engine's time.
    close = difflib.get_close_matches(name[:64], known, n=1) if len(known) <= _HINTED_AMONG else []
    if close:
        return f"; did you mean `{close[0]}`?"
    more = "" if len(known) <= _NAMED else f" and {len(known) - _NAMED} more"
    return f"; there are {', '.join(known[:_NAMED])}{more}" if known else "; there is none"


def _deadline_text(request: Request) -> str | None:
    """Of the query, else of a JSON body."""
    query = dict(request.query).get("deadline")
    if query is not None or not request.body.strip():
        return query
    try:
        return msgspec.json.decode(request.body, type=_DrainBody).deadline
    except msgspec.DecodeError as error:
        raise ValueError(f'expected {{"deadline": "10m"}}: {error}') from error


def _draining(deadline: float, state: AdminState) -> Reply:
    engine = state.glance(0)
    ends_at = time_text(engine.wall_at_zero + deadline)
    return json_reply({"draining": not engine.ready, "calls": engine.running, "ends_at": ends_at}, 202)


def _revoked(state: AdminState) -> Reply:
    engine = state.glance(0)
    if not engine.ready:
        return problem(409, "the program is stopping; that cannot be taken back")
    return json_reply({"draining": False, "calls": engine.running, "ends_at": None})


class _DrainBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    deadline: str | None = None
