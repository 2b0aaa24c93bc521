"""`sbc alarms`: what is wrong now, and what was within the last hour, as sentences.

Ages are by this machine's clock.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sbc.cdr.format import parse_time
from sbc.cli.output import Cell, show_json, show_table
from sbc.cli.peers import age
from sbc.cli.running import Running


def show_alarms(sbc: Running) -> int:
    body = sbc.ask("/api/v1/alarms", key="alarms")
    if sbc.json:
        show_json(body)
        return 0
    alarms = body["alarms"]
    if not any(alarm["active"] for alarm in alarms):
        print("No alarm is active.")
    if alarms:
        now = dt.datetime.now(dt.UTC).timestamp()
        show_table(("ALARM", "STATE", "SINCE", "FOR", "TIMES", "WHAT"), [_row(alarm, now) for alarm in alarms])
    return 0


def _row(alarm: dict[str, Any], now: float) -> Sequence[Cell]:
    since = parse_time(alarm["since"])
    until = parse_time(alarm["ended_at"]) if alarm["ended_at"] else now
    state = "active" if alarm["active"] else "over"
    return alarm["event"], state, alarm["since"][:19] + "Z", age(until - since), alarm["count"], alarm["text"]
