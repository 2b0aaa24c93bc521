"""What counts against limits, and what the last day was like."""

import json

from sbc.admin.api import answer
from sbc.admin.exchange import Request

from .state import StillState


def ask(path, **query):
    return answer(Request("GET", path, tuple(query.items())), StillState())


def test_limits_and_what_counts_against_them():
    reply = ask("/api/v1/limits")
    assert reply.status == 200
    assert json.loads(reply.body) == {
        "limits": [
            {
                "name": "pbx office",
                "call_paths_used": 1,
                "call_paths": 40,
                "minutes_today": 12.5,
                "minutes_per_day": 6000,
                "cps": None,
            }
        ]
    }


def test_as_many_minutes_as_asked_for():
    assert len(json.loads(ask("/api/v1/history").body)["samples"]) == 60
    assert len(json.loads(ask("/api/v1/history", minutes="5").body)["samples"]) == 5


def test_minutes_that_are_none():
    for text in ("0", "-1", "1441", "ten", "9" * 50, "٣"):
        assert ask("/api/v1/history", minutes=text).status == 400, text
