"""One call's ladder as data, and its messages as a capture file: of running calls and of those that are remembered;
and the same of what was said with a peer beside calls.

The drawn ladder is `running`'s; `sbc trace` and the web page read what is made here. Everything is masked before it
comes here. Pure; used by `api`.
"""

from collections.abc import Sequence
from typing import Any

from sbc.admin.control import no_peer
from sbc.admin.exchange import Reply, Request, json_reply, problem, text_reply, wants_text
from sbc.admin.state import AdminState, TraceView
from sbc.cdr.format import time_text
from sbc.core import limits
from sbc.trace import pcap
from sbc.trace.ladder import draw, label_of, lines_of
from sbc.trace.recorder import Entry


def trace(_request: Request, state: AdminState, ref: str) -> Reply:
    found = state.trace(ref)
    return not_remembered(ref) if found is None else json_reply(trace_object(found))


def capture(_request: Request, state: AdminState, ref: str) -> Reply:
    found = state.trace(ref, keeps_length=True)
    if found is None:
        return not_remembered(ref)
    return _file(found)


def peer_trace(_request: Request, state: AdminState, name: str) -> Reply:
    found = state.peer_trace(name)
    if found is None:
        return _no_peer(name, state)
    return json_reply({"peer": found.ref, "peers": dict(found.peers), "entries": _entry_objects(found)})


def peer_ladder(request: Request, state: AdminState, name: str) -> Reply:
    """With the time of day: days may lie between two messages."""
    found = state.peer_trace(name)
    if found is None:
        return _no_peer(name, state)
    drawn = draw(found.entries, peers=found.peers, clock=found.wall_at_zero)
    if wants_text(request.accept):
        return text_reply(drawn)
    return json_reply({"ladder": drawn.encode("utf-8", "backslashreplace").decode()})


def peer_capture(_request: Request, state: AdminState, name: str) -> Reply:
    found = state.peer_trace(name, keeps_length=True)
    return _no_peer(name, state) if found is None else _file(found)


def _no_peer(name: str, state: AdminState) -> Reply:
    return no_peer(name, [peer.name for peer in state.glance(0).peers])


def _file(found: TraceView) -> Reply:
    saved_as = (("Content-Disposition", f'attachment; filename="{found.ref}.pcap"'),)
    return Reply(200, pcap.MEDIA_TYPE, pcap.capture(found.entries, found.wall_at_zero), saved_as)


def not_remembered(ref: str) -> Reply:
    kept = f"the last {limits.TRACE_CALLS} at most, failed ones longer"
    return problem(404, f"no running or remembered call has the ref {ref[:100]}; of calls that are over, {kept}")


def trace_object(found: TraceView) -> dict[str, Any]:
    """`at` counts seconds from the first entry; octets of a message that are no UTF-8 are shown escaped."""
    return {
        "ref": found.ref,
        "running": found.running,
        "peers": dict(found.peers),
        "entries": _entry_objects(found),
    }


def _entry_objects(found: TraceView) -> list[dict[str, Any]]:
    zero = found.entries[0].at if found.entries else 0.0
    return [_entry_object(entry, zero, found.wall_at_zero) for entry in found.entries]


def _entry_object(entry: Entry, zero: float, wall_at_zero: float) -> dict[str, Any]:
    flow, data = entry.flow, entry.data
    return {
        "at": round(entry.at - zero, 6),
        "time": time_text(wall_at_zero + entry.at),
        "leg": entry.leg,
        "sent": entry.sent,
        "label": "" if data is None else label_of(data),
        "message": None if data is None else _text(data),
        "note": _lines(entry) if data is None else None,
        "local": None if flow is None else str(flow.local),
        "remote": None if flow is None else str(flow.remote),
        "transport": None if flow is None else str(flow.transport),
    }


def _lines(entry: Entry) -> Sequence[str]:
    return [line.encode("utf-8", "backslashreplace").decode() for line in lines_of(entry.note)]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
