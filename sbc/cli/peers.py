"""`sbc trunks`, `pbxs`, `paths` and `ping`: how the peers are, to be read at night at a glance.

A peer is one line; its servers, bindings or holders stand below it, indented. Ages are by this machine's clock.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from sbc.cdr.format import parse_time
from sbc.cli.client import path_of
from sbc.cli.output import Cell, show_json, show_table
from sbc.cli.running import Running

Row = Sequence[Cell]


def show_trunks(sbc: Running) -> int:
    body = sbc.ask("/api/v1/trunks", key="trunks")
    if sbc.json:
        show_json(body)
        return 0
    now = _now()
    rows = [row for trunk in body["trunks"] for row in _trunk_rows(trunk, now)]
    show_table(("TRUNK", "STATE", "FOR", "PATHS", "REGISTRATION", "WHY"), rows)
    return 0


def show_pbxs(sbc: Running) -> int:
    body = sbc.ask("/api/v1/pbxs", key="pbxs")
    if sbc.json:
        show_json(body)
        return 0
    now = _now()
    show_table(("PBX", "STATE", "FOR", "WHY"), [row for pbx in body["pbxs"] for row in _pbx_rows(pbx, now)])
    return 0


def show_paths(sbc: Running) -> int:
    body = sbc.ask("/api/v1/paths", key="paths")
    if sbc.json:
        show_json(body)
    else:
        rows = [row for path in body["paths"] for row in _path_rows(path)]
        show_table(("TRUNK", "PATHS", "TODAY", "CALL", "LEG", "DIRECTION", "HELD"), rows)
    return 0


def show_limits(sbc: Running) -> int:
    body = sbc.ask("/api/v1/limits", key="limits")
    if sbc.json:
        show_json(body)
    else:
        rows = [_limits_row(limits) for limits in body["limits"]]
        show_table(("WHAT", "CALLS", "MINUTES TODAY", "CPS"), rows, none="No PBX and no route has limits.")
    return 0


def ping(peer: str, sbc: Running) -> int:
    body = sbc.ask(path_of("peers", peer, "ping"), key="results", method="POST")
    results = body["results"]
    if sbc.json:
        show_json(body)
    else:
        show_table(("SERVER", "ADDRESS", "STATUS", "MS", "WHY"), [_ping_row(result) for result in results])
    return 0 if any(result["status"] for result in results) else 1


def age(seconds: float) -> str:
    """How long something has been so, in its two largest units: 37s, 4m 10s, 2h 03m, 3d 04h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"


def used_of(used: float, limit: float | None) -> str:
    """Of how many, where there is a limit. Only minutes have a fraction, which says little."""
    return f"{used:.0f}" if limit is None else f"{used:.0f}/{limit:.0f}"


def _trunk_rows(trunk: dict[str, Any], now: float) -> Iterator[Row]:
    paths = trunk["call_paths"]
    registration = _registration_text(trunk["registration"], now)
    yield trunk["name"], trunk["state"], _age(trunk["since"], now), _paths_text(paths), registration, trunk["why"]
    for server in trunk["servers"]:
        yield _below(server["address"]), server["state"], _age(server["since"], now), "", "", server["why"]


def _pbx_rows(pbx: dict[str, Any], now: float) -> Iterator[Row]:
    yield pbx["name"], pbx["state"], _age(pbx["since"], now), pbx["why"]
    for server in pbx["servers"]:
        yield _below(server["address"]), server["state"], _age(server["since"], now), server["why"]
    for binding in pbx["bindings"]:
        left = _age(binding["expires_at"], now, ahead=True)
        yield _below(binding["address"]), "bound", "", f"{binding['aor']} at {binding['contact']}, {left} left"


def _path_rows(path: dict[str, Any]) -> Iterator[Row]:
    if path["kind"] == "pool":
        yield f"{path['trunk']} (pool)", _of(path), path["peak_today"], "", "", "", ""
        return  # its holders stand at their trunks
    yield path["trunk"], _paths_text(path), path["peak_today"], "", "", "", ""
    for holder in path["holders"]:
        direction = f"{holder['direction']}{', emergency' if holder['emergency'] else ''}"
        yield "", "", "", holder["ref"], holder["leg"], direction, age(holder["age_seconds"])


def _limits_row(limits: dict[str, Any]) -> Row:
    calls = used_of(limits["call_paths_used"], limits["call_paths"])
    minutes = used_of(limits["minutes_today"], limits["minutes_per_day"])
    return limits["name"], calls, minutes, limits["cps"]


def _ping_row(result: dict[str, Any]) -> Row:
    took = result["milliseconds"]
    return (
        result["server"],
        result["address"],
        result["status"] or "none",
        None if took is None else f"{took:.1f}",
        result["why"],
    )


def _registration_text(registration: dict[str, Any] | None, now: float) -> str | None:
    if registration is None:
        return None
    if registration["state"] == "registered" and registration["expires_at"]:
        return f"registered, {_age(registration['expires_at'], now, ahead=True)} left"
    why = f": {registration['why']}" if registration["why"] else ""
    next_try = f"; next try in {_age(registration['next_at'], now, ahead=True)}" if registration["next_at"] else ""
    return f"{registration['state']} for {_age(registration['since'], now)}{why}{next_try}"


def _paths_text(paths: dict[str, Any]) -> str:
    return _of(paths) + (f" ({paths['pool']})" if paths["pool"] else "")


def _of(paths: dict[str, Any]) -> str:
    return used_of(paths["used"], paths["limit"])


def _below(text: str) -> str:
    return f"  {text}"


def _age(since: str | None, now: float, *, ahead: bool = False) -> str | None:
    if since is None:
        return None
    seconds = parse_time(since) - now
    return age(seconds if ahead else -seconds)


def _now() -> float:
    return dt.datetime.now(dt.UTC).timestamp()
