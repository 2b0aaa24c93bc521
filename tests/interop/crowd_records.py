"""Are the records those of the calls that the crowd has seen: one each, with its times and its end?

Where the SBC was away, what it knows lies between what the two ends saw; so each moment is an interval, and a second.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from .crowd_call import Call

_SLACK = 1.0  # seconds


def wrong_records(calls: Iterable[Call], cdrs: Iterable[dict[str, Any]]) -> list[str]:
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for cdr in cdrs:
        for number in {cdr["caller"], cdr["called"]}:
            rows[number].append(cdr)
    wrong = []
    for call in calls:
        found = rows[call.number]
        if (call.is_unheard or call.is_shed) and not found:
            continue
        if len(found) != 1:
            wrong.append(f"{call.number}: {len(found)} records of a call that ended with {call.status}")
        else:
            wrong += [f"{call.number}: {what}: {_shown(found[0])}" for what in _wrong(call, found[0])]
    return wrong


def _wrong(call: Call, cdr: dict[str, Any]) -> list[str]:
    if call.is_unheard:
        return ["was never answered"] if cdr["billable_ms"] else []
    if call.status != 200:
        return [what for what, is_so in (
            ("was not answered", cdr["billable_ms"] != 0 or cdr["answered_at"] is not None),
            (f"the caller got {call.status}", cdr["sip_status"] != call.status),
        ) if is_so]  # fmt: skip
    wrong = []
    caller, callee = call.caller, call.callee
    if callee is None:
        return ["nobody was called"]
    if cdr["sip_status"] != 200 or cdr["cause"] != "normal" or cdr["answered_at"] is None:
        return [f"was answered, and ended by hanging up (caller {caller.state}, callee {callee.state})"]
    answered = callee.answered_at, caller.answered_at
    byes = [line.bye_at for line in (caller, callee) if line.bye_at]
    overs = [line.over_at for line in (caller, callee) if line.over_at]
    if len(byes) < 2 or len(overs) < 2:
        return ["one end does not know that the call is over"]
    ended = min(byes), max(overs)
    for name, told, (earliest, latest) in (
        ("answered", _seconds(cdr["answered_at"]), answered),
        ("ended", _seconds(cdr["ended_at"]), ended),
        ("billable", cdr["billable_ms"] / 1000, (ended[0] - answered[1], ended[1] - answered[0])),
    ):
        if not earliest - _SLACK <= told <= latest + _SLACK:
            wrong.append(f"{name} {told:.3f}, and the ends saw {earliest:.3f} to {latest:.3f}")
    first = caller if caller.hung_up_first else callee
    both = caller.hung_up_first and callee.hung_up_first
    if not both and cdr["ended_by"] != ("caller" if first is caller else "callee"):
        wrong.append(f"ended by {cdr['ended_by']}")
    return wrong


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _shown(cdr: dict[str, Any]) -> str:
    names = ("ref", "cause", "sip_status", "ended_by", "started_at", "answered_at", "ended_at", "billable_ms")
    return ", ".join(f"{name} {cdr[name]}" for name in names)
