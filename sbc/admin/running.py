"""What the admin API tells of the running program: health, metrics, status, calls, call paths, and why one would fail.

Handlers of `api`'s table, each from one request and one look at the state. Pure.
"""

from sbc.admin import metrics
from sbc.admin.exchange import Order, Reply, Request, Stream, json_reply, problem, text_reply, wants_text
from sbc.admin.peer_views import path_object, paths_of
from sbc.admin.state import AdminState
from sbc.admin.views import call_object, status_object
from sbc.b2bua.events import HangUpOrdered
from sbc.cdr.filters import NUMBER_CHARACTERS
from sbc.core import limits


def health(_request: Request, state: AdminState, _name: str) -> Reply:
    if not state.runtime().alive:
        return problem(503, "the engine's loop does not turn")
    return json_reply({"healthy": True})


def readiness(_request: Request, state: AdminState, _name: str) -> Reply:
    engine = state.glance(0)
    if not engine.ready:
        return problem(503, "starting, or draining: send no new calls here")
    if engine.refusing:
        return problem(503, f"{engine.refusing}: send no new calls here, but emergency calls")
    return json_reply({"ready": True})


def prometheus(_request: Request, state: AdminState, _name: str) -> Reply:
    return Reply(200, metrics.CONTENT_TYPE, metrics.render(state.glance(0), state.runtime(), state.alarms()).encode())


def status(_request: Request, state: AdminState, _name: str) -> Reply:
    return json_reply(status_object(state.glance(0), state.runtime()))


def calls(request: Request, state: AdminState, _name: str) -> Reply:
    """The newest ones, oldest first: a list of all costs the engine's loop 20 µs a call."""
    given = dict(request.query).get("limit") or str(limits.LISTED_CALLS)
    if not (given.isascii() and given.isdigit() and len(given) <= 6 and 1 <= int(given) <= limits.CALLS):
        return problem(400, f"limit: `{given[:40]}` is not a number of calls; expected 1 to {limits.CALLS}")
    engine = state.glance(int(given))
    return json_reply({"calls": [call_object(call) for call in engine.calls], "total": engine.running})


def events(_request: Request, _state: AdminState, _name: str) -> Stream:
    return Stream()


def call(_request: Request, state: AdminState, ref: str) -> Reply:
    found = state.call(ref)
    return _no_such_call(ref) if found is None else json_reply(call_object(found))


def hang_up(_request: Request, state: AdminState, ref: str) -> Reply | Order:
    found = state.call(ref)
    if found is None:
        return _no_such_call(ref)
    reply = json_reply(call_object(found) | {"state": "ending"}, 202)
    return Order(HangUpOrdered(found.ref), lambda _state: reply)


def ladder(request: Request, state: AdminState, ref: str) -> Reply:
    drawn = state.ladder(ref)
    if drawn is None:
        return problem(404, f"no running or remembered call has the ref {ref[:100]}")
    if wants_text(request.accept):
        return text_reply(drawn)
    return json_reply({"ladder": drawn.encode("utf-8", "backslashreplace").decode()})


def paths(_request: Request, state: AdminState, _name: str) -> Reply:
    engine = state.engine()
    return json_reply({"paths": [path_object(path, engine, state.now()) for path in paths_of(engine)]})


def why(request: Request, state: AdminState, _name: str) -> Reply:
    query = dict(request.query)
    peer, called = query.get("from"), query.get("to")
    if not peer or not called:
        return problem(400, "expected ?from=PEER&to=NUMBER, and perhaps &caller=NUMBER")
    caller = query.get("caller")
    if max(len(called), len(caller or "")) > NUMBER_CHARACTERS:
        return problem(400, f"expected numbers of at most {NUMBER_CHARACTERS} characters")
    try:
        found = state.why(peer, called, caller or None)
    except ValueError as error:
        return problem(400, str(error))
    if wants_text(request.accept):
        return text_reply(found.text)
    return json_reply({"refused": found.refused, "text": found.text})


def _no_such_call(ref: str) -> Reply:
    return problem(404, f"no running call has the ref {ref[:100]}")
