"""The alarm board as the API shows it: GET /api/v1/alarms, and the same list for the event stream. Pure."""

from typing import Any

from sbc.admin.exchange import Reply, Request, json_reply
from sbc.admin.peer_views import wall_text
from sbc.admin.state import AdminState


def alarms(_request: Request, state: AdminState, _name: str = "") -> Reply:
    return json_reply({"alarms": alarm_objects(state)})


def alarm_objects(state: AdminState) -> list[dict[str, Any]]:
    """Active ones first, the newest first."""
    engine = state.glance(0)
    return [
        {
            "event": alarm.event,
            "subject": alarm.subject,
            "text": alarm.text,
            "since": wall_text(alarm.since, engine),
            "last": wall_text(alarm.last, engine),
            "count": alarm.count,
            "active": alarm.is_active,
            "ended_at": wall_text(alarm.ended_at, engine),
            "fields": alarm.fields,
        }
        for alarm in state.alarms()
    ]
