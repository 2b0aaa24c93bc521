"""Metrics in Prometheus' text exposition format 0.0.4, drawn from one snapshot.

The names are the contract's. Only what is truly counted is shown; a metric whose feature is not built does not appear.
"""

from collections.abc import Iterable
from typing import Final

from sbc.admin.state import RuntimeView
from sbc.b2bua.snapshot import EngineView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
STATES: Final = ("trying", "ringing", "answered", "ending")

Sample = tuple[tuple[str, ...], float]  # label values, value


def render(engine: EngineView, runtime: RuntimeView) -> str:
    states = dict.fromkeys(STATES, 0)
    for call in engine.calls:
        states[call.state] += 1
    return "".join(
        (
            _family("sbc_calls", "gauge", "Running calls", ("state",), _samples(states.items())),
            _family(
                "sbc_call_attempts_total",
                "counter",
                "Ended calls by where they came from and went (egress empty: nowhere) and the CDR's cause",
                ("ingress", "egress", "outcome"),
                _counted(engine.attempts),
            ),
            _family(
                "sbc_sip_messages_total",
                "counter",
                "SIP messages; status is empty for requests",
                ("direction", "method", "status"),
                _counted(engine.messages),
            ),
            _family("sbc_media_ports_used", "gauge", "Media port pairs lent to calls", (), [((), engine.ports)]),
            _family(
                "sbc_engine_lag_seconds",
                "gauge",
                "How late the engine's loop last woke up",
                (),
                [((), runtime.lag_seconds)],
            ),
            _family(
                "sbc_dropped_total",
                "counter",
                "Messages dropped without an answer",
                ("reason",),
                _dropped(engine, runtime),
            ),
        )
    )


def _dropped(engine: EngineView, runtime: RuntimeView) -> list[Sample]:
    total: dict[str, int] = {}
    for reason, count in (*engine.dropped, *runtime.dropped):
        total[reason] = total.get(reason, 0) + count
    return _samples(total.items())


def _samples(pairs: Iterable[tuple[str, int]]) -> list[Sample]:
    return [((label,), value) for label, value in pairs]


def _counted(rows: Iterable[tuple[str, str, str, int]]) -> list[Sample]:
    return [(row[:3], row[3]) for row in rows]


def _family(name: str, kind: str, text: str, labels: tuple[str, ...], samples: list[Sample]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for values, value in samples:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in zip(labels, values, strict=True))
        lines.append(f"{name}{{{pairs}}} {value}" if pairs else f"{name} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return escaped.encode("utf-8", "backslashreplace").decode()
