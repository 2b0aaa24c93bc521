"""`GET limits` and `GET history`: what counts against limits, and what the last day was like. Used by `admin.api`."""

from sbc.admin.exchange import Reply, Request, json_reply, problem
from sbc.admin.history import KEPT_MINUTES, history_object
from sbc.admin.peer_views import limit_object
from sbc.admin.state import AdminState

HISTORY_MINUTES = 60  # where the question names none


def limits(_request: Request, state: AdminState, _name: str) -> Reply:
    return json_reply({"limits": [limit_object(limit) for limit in state.glance(0).limits]})


def history(request: Request, state: AdminState, _name: str) -> Reply:
    text = dict(request.query).get("minutes") or str(HISTORY_MINUTES)
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= KEPT_MINUTES):
        return problem(400, f"{text[:40]!r} is not a number of minutes; expected 1 to {KEPT_MINUTES}")
    return json_reply(history_object(state.history(int(text))))
