"""The admin API: from a request and the program's state to a reply, an order to the engine, or a question to the store.

Paths and shapes are in `docs/reference/api.md`. It does no I/O and decides nothing about calls; `runtime.http` serves.
"""

from collections.abc import Callable
from typing import Final

from sbc.admin import control, metrics
from sbc.admin.exchange import Answer, Order, ReadCdrs, Reply, Request, json_reply, problem, text_reply
from sbc.admin.peer_views import path_object, paths_of
from sbc.admin.state import AdminState
from sbc.admin.views import call_object, status_object
from sbc.b2bua.events import HangUpOrdered
from sbc.b2bua.snapshot import CallView
from sbc.cdr.format import parse_time
from sbc.cdr.store import PAGE_RECORDS, PAGE_RECORDS_MAXIMUM, Page, StoreError

Handler = Callable[[Request, AdminState, str], Answer]


def answer(request: Request, state: AdminState) -> Answer:
    """Never raises for what a client can send; a HEAD is answered as the GET that it stands for."""
    methods, name = _find(request.path)
    if methods is None:
        return problem(404, f"there is nothing at {request.path[:200]}")
    handler = methods.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        allowed = ", ".join(methods)
        return problem(405, f"{request.path[:200]} knows {allowed}", (("Allow", allowed),))
    return handler(request, state, name)


def cdrs_reply(page: Page) -> Reply:
    """What the store found for a `ReadCdrs`."""
    return json_reply({"cdrs": page.cdrs, "next": page.next})


def cdrs_failed(error: StoreError | ValueError) -> Reply:
    return problem(503 if isinstance(error, StoreError) else 400, str(error))


def _find(path: str) -> tuple[dict[str, Handler] | None, str]:
    methods = _PATHS.get(path)
    if methods is not None:
        return methods, ""
    collection, _, rest = path.removeprefix(_PREFIX).partition("/")
    name, _, about = rest.partition("/")
    if not path.startswith(_PREFIX) or not name or path.endswith("/"):
        return None, ""
    return _NAMED.get((collection, about)), name


def _healthz(_request: Request, state: AdminState, _name: str) -> Reply:
    if not state.runtime().alive:
        return problem(503, "the engine's loop does not turn")
    return json_reply({"healthy": True})


def _readyz(_request: Request, state: AdminState, _name: str) -> Reply:
    if not state.engine().ready:
        return problem(503, "starting, or draining: send no new calls here")
    return json_reply({"ready": True})


def _metrics(_request: Request, state: AdminState, _name: str) -> Reply:
    return Reply(200, metrics.CONTENT_TYPE, metrics.render(state.engine(), state.runtime()).encode())


def _status(_request: Request, state: AdminState, _name: str) -> Reply:
    return json_reply(status_object(state.engine(), state.runtime()))


def _calls(_request: Request, state: AdminState, _name: str) -> Reply:
    return json_reply({"calls": [call_object(call) for call in state.engine().calls]})


def _call(_request: Request, state: AdminState, ref: str) -> Reply:
    call = _running(state, ref)
    return _no_such_call(ref) if call is None else json_reply(call_object(call))


def _hang_up(_request: Request, state: AdminState, ref: str) -> Reply | Order:
    call = _running(state, ref)
    if call is None:
        return _no_such_call(ref)
    reply = json_reply(call_object(call) | {"state": "ending"}, 202)
    return Order(HangUpOrdered(call.ref), lambda _state: reply)


def _ladder(request: Request, state: AdminState, ref: str) -> Reply:
    ladder = state.ladder(ref)
    if ladder is None:
        return problem(404, f"no running or remembered call has the ref {ref[:100]}")
    if _wants_text(request.accept):
        return text_reply(ladder)
    return json_reply({"ladder": ladder.encode("utf-8", "backslashreplace").decode()})


def _trunks(_request: Request, state: AdminState, _name: str) -> Reply:
    return control.trunks_reply(state)


def _trunk(_request: Request, state: AdminState, name: str) -> Reply:
    return control.peer_reply("trunk", name, state)


def _pbxs(_request: Request, state: AdminState, _name: str) -> Reply:
    return control.pbxs_reply(state)


def _pbx(_request: Request, state: AdminState, name: str) -> Reply:
    return control.peer_reply("pbx", name, state)


def _paths(_request: Request, state: AdminState, _name: str) -> Reply:
    engine = state.engine()
    return json_reply({"paths": [path_object(path, engine, state.now()) for path in paths_of(engine)]})


def _cdrs(request: Request, _state: AdminState, _name: str) -> Reply | ReadCdrs:
    query = dict(request.query)
    since = query.get("since")
    try:
        last = query.get("last")
        return ReadCdrs(
            since=parse_time(since) if since else None,
            trunk=query.get("trunk") or None,
            after=query.get("next") or None,
            limit=_count(last or query.get("limit") or str(PAGE_RECORDS)),
            last=bool(last),
        )
    except ValueError as error:
        return problem(400, str(error))


def _why(request: Request, state: AdminState, _name: str) -> Reply:
    query = dict(request.query)
    peer, called = query.get("from"), query.get("to")
    if not peer or not called:
        return problem(400, "expected ?from=PEER&to=NUMBER, and perhaps &caller=NUMBER")
    try:
        why = state.why(peer, called, query.get("caller") or None)
    except ValueError as error:
        return problem(400, str(error))
    if _wants_text(request.accept):
        return text_reply(why.text)
    return json_reply({"refused": why.refused, "text": why.text})


def _running(state: AdminState, ref: str) -> CallView | None:
    return next((call for call in state.engine().calls if ref == call.ref or ref in call.joined), None)


def _no_such_call(ref: str) -> Reply:
    return problem(404, f"no running call has the ref {ref[:100]}")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= PAGE_RECORDS_MAXIMUM):
        raise ValueError(f"{text[:40]!r} is not a number of records; expected 1 to {PAGE_RECORDS_MAXIMUM}")
    return int(text)


def _wants_text(accept: str) -> bool:
    """True where text/plain is named and JSON is not: two types need no more of RFC 9110 §12.5.1."""
    named = [part.split(";", 1)[0].strip().lower() for part in accept.split(",")]
    return "text/plain" in named and "application/json" not in named


_PREFIX: Final = "/api/v1/"
_PATHS: Final[dict[str, dict[str, Handler]]] = {
    "/healthz": {"GET": _healthz},
    "/readyz": {"GET": _readyz},
    "/metrics": {"GET": _metrics},
    "/api/v1/status": {"GET": _status},
    "/api/v1/calls": {"GET": _calls},
    "/api/v1/cdrs": {"GET": _cdrs},
    "/api/v1/why": {"GET": _why},
    "/api/v1/trunks": {"GET": _trunks},
    "/api/v1/pbxs": {"GET": _pbxs},
    "/api/v1/paths": {"GET": _paths},
    "/api/v1/drain": {"POST": control.drain},
    "/api/v1/reload": {"POST": control.reload},
}
# /api/v1/COLLECTION/NAME and /api/v1/COLLECTION/NAME/ABOUT
_NAMED: Final[dict[tuple[str, str], dict[str, Handler]]] = {
    ("calls", ""): {"GET": _call, "DELETE": _hang_up},
    ("calls", "ladder"): {"GET": _ladder},
    ("trunks", ""): {"GET": _trunk},
    ("trunks", "busyout"): {"POST": control.busy_out, "DELETE": control.restore},
    ("pbxs", ""): {"GET": _pbx},
    ("drill", ""): {"POST": control.drill_on, "DELETE": control.drill_off},
    ("peers", "ping"): {"POST": control.ping},
}
