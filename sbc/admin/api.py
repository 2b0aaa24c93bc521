"""The admin API: from a request and the program's state to a reply, an order to the engine, or a question to the store.

The table at the end is the whole API: `openapi` publishes it. It does no I/O and decides nothing about calls;
`runtime.http` serves.
"""

from functools import cache
from typing import Annotated, Any, Final

from msgspec import Meta

from sbc import __version__
from sbc.admin import (
    alarm_views,
    bans,
    control,
    documents,
    figures,
    metrics,
    openapi,
    peer_documents,
    record_documents,
    records,
    report,
    running,
    stream,
    testcall,
    trace,
)
from sbc.admin.document import Duration, Moment
from sbc.admin.exchange import Answer, Reply, Request, json_reply, problem
from sbc.admin.history import KEPT_MINUTES
from sbc.admin.route import Operation, Parameter, Returns, Routes
from sbc.admin.state import AdminState
from sbc.cdr.store import PAGE_RECORDS, PAGE_RECORDS_MAXIMUM
from sbc.core import limits
from sbc.core.cause import Cause
from sbc.trace import pcap


def answer(request: Request, state: AdminState) -> Answer:
    """Never raises for what a client can send; a HEAD is answered as the GET that it stands for."""
    methods, name = _ROUTES.find(request.path)
    if not methods:
        return problem(404, f"there is nothing at {request.path[:200]}")
    operation = methods.get("GET" if request.method == "HEAD" else request.method)
    if operation is None:
        allowed = ", ".join("GET, HEAD" if method == "GET" else method for method in methods)
        return problem(405, f"{request.path[:200]} knows {allowed}", (("Allow", allowed),))
    return operation.handler(request, state, name)


def is_open(path: str) -> bool:
    """Whether no token is asked for: a service manager or a load balancer has none."""
    return any(operation.is_open for operation in _ROUTES.find(path)[0].values())


def is_lasting(path: str) -> bool:
    """Whether its reply holds a place that others may need."""
    return any(operation.returns.content_type == stream.CONTENT_TYPE for operation in _ROUTES.find(path)[0].values())


@cache
def _published() -> Reply:
    return json_reply(openapi.document(OPERATIONS, __version__))


_AT: Final = Moment
_WORD: Final = Annotated[str, Meta(min_length=1)]
_SINCE: Final = Parameter("since", "records of calls that ended then or later; an ISO 8601 date or time, UTC", Moment)
_UNTIL: Final = Parameter("until", "records of calls that ended before", Moment)
_TRUNK: Final = Parameter("trunk", "records of calls that came from or went to this peer")
_RECORDS: Final = Annotated[int, Meta(ge=1, le=PAGE_RECORDS_MAXIMUM)]
_PBX: Final = Returns(peer_documents.Pbx, text="the PBX as it is then")
_TRUNK_THEN: Final = Returns(peer_documents.Trunk, text="the trunk as it is then")

_EVENTS: Final = Returns(
    text="until the client goes; the data of `event: state` is a StateEvent, that of `event: calls` a CallsEvent",
    content_type=stream.CONTENT_TYPE,
    pieces=(documents.StateEvent, documents.CallsEvent),
)

OPERATIONS: Final = (
    Operation(
        "GET", "/healthz", "health", "Whether the engine's loop turns", running.health,
        Returns(documents.Healthy), problems=(503,), is_open=True,
    ),
    Operation(
        "GET", "/readyz", "readiness", "Whether new calls are taken", running.readiness,
        Returns(documents.Ready), problems=(503,), is_open=True,
    ),
    Operation(
        "GET", "/metrics", "metrics", "Metrics for Prometheus", running.prometheus,
        Returns(content_type=metrics.CONTENT_TYPE),
    ),
    Operation(
        "GET", "/api/openapi.json", "openapi", "This document", lambda _request, _state, _name: _published(),
        Returns(dict[str, Any]),
    ),
    Operation("GET", "/api/v1/status", "status", "What runs, in counts", running.status, Returns(documents.Status)),
    Operation(
        "GET", "/api/v1/events", "events", "What changes, as it changes: server-sent events, looked at once a second",
        running.events, _EVENTS, problems=(503,),
    ),
    Operation(
        "GET", "/api/v1/calls", "calls", "Running calls, oldest first", running.calls,
        Returns(documents.Calls), problems=(400,),
        parameters=(
            Parameter(
                "limit", f"the newest so many; {limits.LISTED_CALLS} where it is missing",
                Annotated[int, Meta(ge=1, le=limits.CALLS)],
            ),
        ),
    ),
    Operation(
        "GET", "/api/v1/calls/{ref}", "call", "One running call", running.call,
        Returns(documents.Call), problems=(404,),
    ),
    Operation(
        "DELETE", "/api/v1/calls/{ref}", "hang_up", "End a call", running.hang_up,
        Returns(documents.Call, 202, "both legs are being ended"), problems=(404,),
    ),
    Operation(
        "GET", "/api/v1/calls/{ref}/ladder", "ladder", "The messages of a running or recent call as a drawing",
        running.ladder, Returns(documents.Ladder, or_text=True), problems=(404,),
    ),
    Operation(
        "GET", "/api/v1/calls/{ref}/trace", "trace", "The messages and decisions of a running or recent call",
        trace.trace, Returns(documents.Trace), problems=(404,),
    ),
    Operation(
        "GET", "/api/v1/calls/{ref}/pcap", "pcap", "Its messages as a capture file, for Wireshark", trace.capture,
        Returns(content_type=pcap.MEDIA_TYPE), problems=(404,),
    ),
    Operation("GET", "/api/v1/trunks", "trunks", "All trunks", control.trunks, Returns(peer_documents.Trunks)),
    Operation(
        "GET", "/api/v1/trunks/{trunk}", "trunk", "One trunk", control.trunk,
        Returns(peer_documents.Trunk), problems=(404,),
    ),
    Operation(
        "POST", "/api/v1/trunks/{trunk}/busyout", "busy_out", "Send no new calls to a trunk", control.busy_out,
        _TRUNK_THEN, problems=(404, 409),
    ),
    Operation(
        "DELETE", "/api/v1/trunks/{trunk}/busyout", "restore", "Use a trunk again", control.restore,
        _TRUNK_THEN, problems=(404, 409),
    ),
    Operation("GET", "/api/v1/pbxs", "pbxs", "All PBXs", control.pbxs, Returns(peer_documents.Pbxs)),
    Operation("GET", "/api/v1/pbxs/{pbx}", "pbx", "One PBX", control.pbx, Returns(peer_documents.Pbx), problems=(404,)),
    Operation(
        "POST", "/api/v1/drill/{pbx}", "drill_on", "Treat a PBX as if it were down", control.drill_on,
        _PBX, problems=(404, 409),
    ),
    Operation(
        "DELETE", "/api/v1/drill/{pbx}", "drill_off", "End a drill", control.drill_off, _PBX, problems=(404, 409)
    ),
    Operation(
        "POST", "/api/v1/peers/{peer}/ping", "ping", "Send OPTIONS to every address of a peer and wait up to 5 s",
        control.ping, Returns(peer_documents.Pinged), problems=(404, 409),
    ),
    Operation(
        "GET", "/api/v1/peers/{peer}/trace", "peer_trace", "The last messages with a peer beside calls, and decisions",
        trace.peer_trace, Returns(documents.PeerTrace), problems=(404,),
    ),
    Operation(
        "GET", "/api/v1/peers/{peer}/ladder", "peer_ladder", "The same as a drawing", trace.peer_ladder,
        Returns(documents.Ladder, or_text=True), problems=(404,),
    ),
    Operation(
        "GET", "/api/v1/peers/{peer}/pcap", "peer_pcap", "The same messages as a capture file, for Wireshark",
        trace.peer_capture, Returns(content_type=pcap.MEDIA_TYPE), problems=(404,),
    ),
    Operation(
        "GET", "/api/v1/paths", "paths", "Who holds which call path", running.paths, Returns(peer_documents.Paths),
    ),
    Operation(
        "GET", "/api/v1/limits", "limits", "What counts against the limits of PBXs and routes",
        figures.limits, Returns(peer_documents.Limits),
    ),
    Operation(
        "GET", "/api/v1/history", "history", "The last day by minutes: calls, quality, call paths", figures.history,
        Returns(record_documents.HistoryDocument), problems=(400,),
        parameters=(Parameter("minutes", "how many; 60 if not given", Annotated[int, Meta(ge=1, le=KEPT_MINUTES)]),),
    ),
    Operation(
        "GET", "/api/v1/alarms", "alarms", "What is wrong now, and what was within the last hour", alarm_views.alarms,
        Returns(documents.Alarms),
    ),
    Operation("GET", "/api/v1/bans", "bans", "Sources that are not heard, the newest first", bans.bans,
        Returns(documents.Bans)),
    Operation(
        "POST", "/api/v1/bans/{address}", "ban", "Do not hear a source for a while; of IPv6 its whole /64", bans.add,
        Returns(documents.Ban, 201, "the ban"), body=documents.BanBody, problems=(400, 409),
    ),
    Operation(
        "DELETE", "/api/v1/bans/{address}", "lift_ban", "Hear a source again", bans.lift,
        Returns(documents.Ban, text="the ban that was"), problems=(400, 404),
    ),
    Operation(
        "POST", "/api/v1/drain", "drain", "Take no new calls, and end what is left at the deadline", control.drain,
        Returns(documents.Draining, 202), body=documents.DrainBody, problems=(400,),
        parameters=(
            Parameter("deadline", "how long calls may go on: 0s to 7d, 10m where it is missing", Duration),
        ),
    ),
    Operation(
        "DELETE", "/api/v1/drain", "revoke_drain", "Take a drain back: new calls again", control.revoke_drain,
        Returns(documents.Draining), problems=(409,),
    ),
    Operation(
        "POST", "/api/v1/testcall", "open_test_call", "Open a door for one test call from this machine",
        testcall.open_door, Returns(testcall.TestCall, 201), body=testcall.TestCallBody, needs_body=True,
        problems=(400, 409, 503),
    ),
    Operation(
        "DELETE", "/api/v1/testcall", "close_test_call", "Close it, and end its calls", testcall.close_door,
        Returns(testcall.DoorClosed),
    ),
    Operation(
        "POST", "/api/v1/reload", "reload", "Read the policy again: all of it is put in force, or nothing",
        control.reload, Returns(documents.Reloaded), problems=(409,),
    ),
    Operation(
        "POST", "/api/v1/restart", "restart", "Go on as the program that is installed now, with all calls",
        control.restart, Returns(documents.Restarting, 202), problems=(409,),
    ),
    Operation(
        "GET", "/api/v1/cdrs", "cdrs", "Call detail records, in the order in which the calls ended", records.cdrs,
        Returns(record_documents.Cdrs), problems=(400, 503),
        parameters=(
            _SINCE,
            _UNTIL,
            _TRUNK,
            Parameter("number", "records with this in the caller's or the called number"),
            Parameter("cause", "records of calls that ended so", Cause),
            Parameter("ref", "the record of this call"),
            Parameter("limit", f"records of a page; {PAGE_RECORDS} where it is missing", _RECORDS),
            Parameter("next", "the `next` of an earlier answer: what follows it"),
            Parameter("last", "so many of the newest instead of a page", _RECORDS),
        ),
    ),
    Operation(
        "GET", "/api/v1/report", "report", "What each trunk carried, by day and direction: to lay beside a bill",
        report.report, Returns(record_documents.Report), problems=(400, 503),
        parameters=(
            Parameter("since", "answered then or later; a date is one of the time zone; 7 days if missing", _AT),
            Parameter("until", "answered before; now where it is missing", _AT),
            Parameter("trunk", "this peer alone"),
            Parameter("timezone", "whose days; UTC where it is missing"),
        ),
    ),
    Operation(
        "GET", "/api/v1/why", "why", "A dry run of the policy in force: what would become of a call", running.why,
        Returns(documents.WhyDocument, or_text=True), problems=(400,),
        parameters=(
            Parameter("from", "the peer that it comes from", _WORD, is_required=True),
            Parameter("to", "the number that is called", _WORD, is_required=True),
            Parameter("caller", "the number that calls"),
        ),
    ),
)  # fmt: skip
_ROUTES: Final = Routes(OPERATIONS)
