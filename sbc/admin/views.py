"""The engine's snapshot as the API shows it: plain objects with the contract's keys, and nothing else.

Pure; made anew for each request.
"""

from typing import Any

from sbc.admin.state import RuntimeView, WorkerView
from sbc.b2bua.snapshot import CallView, EngineView
from sbc.cdr.format import time_text


def status_object(engine: EngineView, runtime: RuntimeView) -> dict[str, Any]:
    return {
        "name": engine.name,
        "ready": engine.takes_calls,
        "draining": not engine.ready,
        "reason": engine.refusing if engine.ready else "draining",
        "version": runtime.version,
        "started_at": time_text(runtime.started_at),
        "uptime_seconds": round(runtime.uptime_seconds, 1),
        "calls": engine.running,
        "transactions": engine.transactions,
        "dialogs": engine.dialogs,
        "ports": engine.ports,
        "tasks": runtime.tasks,
        "bans": len(engine.bans),
        "rates": {
            "calls_per_second": round(runtime.calls_per_second, 2),
            "answered_per_second": round(runtime.answered_per_second, 2),
        },
        "overload": {
            "refused_percent": round(100 * engine.overload.level),
            "waited_ms": round(1000 * engine.overload.age),
            "refused": sum(count for *_, count in engine.overload.shed),
        },
        "pids": {"supervisor": runtime.supervisor, "signalling": runtime.pid},
        "media": [worker_object(worker) for worker in runtime.workers],
    }


def worker_object(worker: WorkerView) -> dict[str, Any]:
    return {
        "worker": worker.number,
        "pid": worker.pid,
        "engine": worker.engine,
        "reason": worker.reason,
        "devices": list(worker.devices),
        "sessions": worker.sessions,
    }


def call_object(call: CallView) -> dict[str, Any]:
    return {
        "ref": call.ref,
        "state": call.state,
        "ingress": call.ingress,
        "egress": call.egress,
        "route": call.route,
        "caller": utf8(call.caller),
        "called": utf8(call.called),
        "started_at": time_text(call.started_at),
        "answered_at": None if call.answered_at is None else time_text(call.answered_at),
        "media": dict(call.media),
        "quality": dict(call.quality),
        "joined": list(call.joined),
    }


def utf8(of_peer: str) -> str:
    """JSON is UTF-8; lone surrogates stand for octets of a peer that were none."""
    return of_peer.encode("utf-8", "backslashreplace").decode()
