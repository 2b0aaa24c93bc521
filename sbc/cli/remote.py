"""`sbc status`, `calls` and `hangup`: questions to the running SBC, and how their answers look."""

import contextlib
import datetime as dt
import sys
from collections import Counter
from typing import Any

from sbc.cdr.format import parse_time
from sbc.cli.client import path_of
from sbc.cli.output import printable, show_json, show_table
from sbc.cli.peers import age
from sbc.cli.running import Running
from sbc.core.errors import OperatorError

_QUALITY = ("MOS IN/OUT", "LOSS %", "JITTER MS", "RTT MS", "MEDIA")
_SILENT_SECONDS = 5  # from a side that should be heard; counts are up to two seconds old


def show_status(sbc: Running) -> int:
    status = sbc.ask("/api/v1/status", key="name")
    if sbc.json:
        show_json(status)
    else:
        rows = [(name, _word(value)) for name, value in _flat(status)]
        show_table(("WHAT", "NOW"), [*rows, *_well_or_not(sbc)])
    return 0


def show_calls(sbc: Running) -> int:
    body = sbc.ask("/api/v1/calls", key="calls")
    if sbc.json:
        show_json(body)
        return 0
    now = dt.datetime.now(dt.UTC).timestamp()
    columns = ("REF", "STATE", "INGRESS", "EGRESS", "ROUTE", "CALLER", "CALLED", "STARTED", "TALKING", *_QUALITY)
    show_table(columns, [_call_row(call, now) for call in body["calls"]], none="No call is running.")
    older = body.get("total", 0) - len(body["calls"])
    if older > 0:
        print(f"{older} calls that are older run besides", file=sys.stderr)
    return 0


def hang_up(ref: str, sbc: Running) -> int:
    call = sbc.ask(path_of("calls", ref), key="ref", method="DELETE")
    if sbc.json:
        show_json(call)
    else:
        print(f"{printable(str(call['ref']))}: ending")
    return 0


def minutes(seconds: float) -> str:
    """A duration as people say it: 0:07, 12:34, 1:02:03."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def short_time(text: str | None) -> str | None:
    """To the second, which is enough for a table."""
    return None if text is None else f"{text[:19]}Z"


def _call_row(call: dict[str, Any], now: float) -> list[str | None]:
    # One that is ending waits for its record, perhaps for hours of a full disk, and talks no more.
    is_talking = call["answered_at"] and call["state"] != "ending"
    talking = minutes(now - parse_time(call["answered_at"])) if is_talking else None
    names = ("ref", "state", "ingress", "egress", "route", "caller", "called")
    return [
        *(call[name] for name in names),
        short_time(call["started_at"]),
        talking,
        *_quality(call.get("quality", {})),
    ]


def _quality(quality: dict[str, Any]) -> list[str | None]:
    """Score, loss, jitter and round trip of both sides, the first stream of each, and who relays; or what is wrong."""
    rows = [quality[side][0] if quality.get(side) else {} for side in ("ingress", "egress")]
    figures = [
        [_number(row.get("mos")) for row in rows],
        [_number(_percent(row)) for row in rows],
        [_number(row.get("jitter_ms")) for row in rows],
        [_number(row.get("round_trip_ms")) for row in rows],
    ]
    engines = sorted({row["engine"] for row in rows if row.get("engine")})
    silent = dict(zip(("ingress", "egress"), [row.get("silent_seconds", 0) for row in rows], strict=True))
    media = "+".join(engines)
    if quality.get("one_way"):
        media = f"one-way: {quality['one_way']} not heard"
    elif any(seconds >= _SILENT_SECONDS for seconds in silent.values()):
        media = ", ".join(f"{side} silent {minutes(s)}" for side, s in silent.items() if s >= _SILENT_SECONDS)
    return [*(None if pair == ["-", "-"] else "/".join(pair) for pair in figures), media or None]


def _percent(row: dict[str, Any]) -> float | None:
    if row.get("lost") is None:
        return None
    lost = max(row["lost"], 0)
    return float(100 * lost / (lost + row["packets"]))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _flat(status: dict[str, Any]) -> list[tuple[str, object]]:
    """What a table can show: one line for each process."""
    rows: list[tuple[str, object]] = []
    for name, value in status.items():
        if name == "ready":
            rows.append((name, "yes" if value else _unready(status)))
        elif name == "reason":
            continue  # said with `ready`
        elif name == "pids":
            rows += [(f"pid of {who}", pid) for who, pid in value.items() if pid is not None]
        elif name == "rates":
            rows += [(which.replace("_", " "), f"{rate:g}") for which, rate in value.items()]
        elif name == "uptime_seconds":
            rows.append(("up for", age(value)))
        elif name == "overload":
            rows += [("overload", _overload(value)), ("refused by it", value["refused"])]
        elif name == "media":
            rows += [(f"media worker {worker['worker']}", _worker(worker)) for worker in value]
        else:
            rows.append((name, value))
    return rows


def _well_or_not(sbc: Running) -> list[tuple[str, str]]:
    """What a person looks at next; left out where it cannot be had."""
    rows = []
    with contextlib.suppress(OperatorError):
        for kind in ("trunks", "pbxs"):
            peers = sbc.ask(f"/api/v1/{kind}", key=kind)[kind]
            counts = Counter(peer["state"] for peer in peers)
            rows.append((kind, ", ".join(f"{n} {state}" for state, n in counts.most_common()) or "none"))
        active = [alarm for alarm in sbc.ask("/api/v1/alarms", key="alarms")["alarms"] if alarm["active"]]
        rows.append(("alarms", f"{len(active)} active, see sbc alarms" if active else "none"))
    return rows


def _worker(worker: dict[str, Any]) -> str:
    if worker["pid"] is None:
        return "not running"
    where = f" on {', '.join(worker['devices'])}" if worker["devices"] else ""
    why = f" ({worker['reason']})" if worker["reason"] else ""
    return f"pid {worker['pid']}, {worker['engine'] or 'starting'}{where}{why}, {worker['sessions']} calls"


def _overload(overload: dict[str, Any]) -> str:
    if not overload["refused_percent"]:
        return "no"
    return f"{overload['refused_percent']} % of new work is refused, waited {overload['waited_ms']} ms"


def _unready(status: dict[str, Any]) -> str:
    reason = status.get("reason", "")
    if not reason or status.get("draining"):
        return "no: draining, new calls are refused"
    return f"no: {reason}; new calls are refused, but emergency calls"


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
