"""The report over the API: a question to the store, about trunks alone unless a peer is named."""

import json

import pytest

from sbc.admin.api import answer
from sbc.admin.exchange import AskStore, Request
from sbc.cdr.format import parse_time, time_text
from sbc.cdr.store import CdrReader, CdrWriter

from .state import StillState


@pytest.fixture
def asked(tmp_path, record):
    with CdrWriter.open(tmp_path) as writer:
        writer.write(
            [
                record("r1", ingress="office", egress="carrier-a"),
                record("r2", ingress="gone", egress="carrier-a"),
                record("r3", ingress="testcall", egress="office", attempts=()),  # its door is shut again
            ]
        )

    def ask(**query):
        question = answer(Request("GET", "/api/v1/report", tuple(query.items())), StillState())
        assert isinstance(question, AskStore)
        with CdrReader.open(tmp_path) as reader:
            return json.loads(question.question(reader).body)

    return ask


def test_pbxs_of_the_policy_are_left_out_and_a_peer_that_is_gone_stays(asked):
    found = asked(since="2025-01-31", until="2025-02-01")

    assert [(row["trunk"], row["direction"], row["calls"]) for row in found["rows"]] == [
        ("carrier-a", "outbound", 2),
        ("gone", "inbound", 1),
    ]
    assert found["timezone"] == "UTC"


def test_a_pbx_that_is_named_is_shown(asked):
    found = asked(since="2025-01-31", until="2025-02-01", trunk="office", timezone="Europe/Berlin")

    assert [(row["trunk"], row["day"]) for row in found["rows"]] == [("office", "2025-01-31")]


@pytest.mark.parametrize(
    "query", [{"since": "x"}, {"timezone": "Mars"}, {"since": "2025-01-02", "until": "2025-01-01"}]
)
def test_what_cannot_be_meant_is_told(asked, query):
    with pytest.raises(ValueError, match=r"."):  # the runtime makes it a 400
        asked(**query)


def test_no_call_is_looked_at_for_it():
    class Busy(StillState):
        def engine(self):
            raise AssertionError("a snapshot of every call holds up the loop")

        def glance(self, newest):
            assert newest == 0
            return StillState().glance(0)

    assert isinstance(answer(Request("GET", "/api/v1/report"), Busy()), AskStore)


def test_without_a_time_it_is_the_last_days_up_to_now(asked):
    state = StillState()
    now = state.now() + state.engine().wall_at_zero

    found = asked()

    assert found["until"] == time_text(now)
    assert parse_time(found["until"]) - parse_time(found["since"]) < 7 * 86_400
