"""What the admin API answers, without a socket: shapes of the contract, problem documents, orders and questions."""

import json

import pytest
from msgspec import structs

from sbc.admin.api import answer
from sbc.admin.exchange import PROBLEM, AskStore, Order, Reply, Request
from sbc.admin.state import RuntimeView
from sbc.b2bua.events import HangUpOrdered
from sbc.b2bua.snapshot import CallView, EngineView
from sbc.cdr.filters import Filters
from sbc.cdr.store import Page

from .state import CALL, StillState

LADDER = "office   sbc   carrier-a\n  |--INVITE-->|"


def ask(path, *, method="GET", state=None, accept="", **query):
    pairs = tuple((name.rstrip("_"), value) for name, value in query.items())
    return answer(Request(method, path, pairs, accept), state or StillState())


def body(reply):
    return json.loads(reply.body)


def is_problem(reply, status):
    document = body(reply)
    return (
        reply.status == document["status"] == status
        and reply.content_type == PROBLEM
        and document["type"] == "about:blank"
        and bool(document["title"])
        and bool(document["detail"])
    )


def test_status_has_the_contracts_keys_and_the_processes():
    assert body(ask("/api/v1/status")) == {
        "name": "hq",
        "ready": True,
        "draining": False,
        "reason": "",
        "version": "1.2",
        "started_at": "2025-01-31T08:00:00.000Z",
        "uptime_seconds": 3700.5,
        "calls": 1,
        "transactions": 3,
        "dialogs": 2,
        "ports": 4,
        "tasks": 17,
        "bans": 1,
        "rates": {"calls_per_second": 1.5, "answered_per_second": 0.25},
        "overload": {"refused_percent": 25, "waited_ms": 120, "refused": 0},
        "pids": {"supervisor": 70, "signalling": 71},
        "media": [
            {"worker": 0, "pid": 72, "engine": "kernel", "reason": "", "devices": ["eth0", "eth1"], "sessions": 1},
            {"worker": 1, "pid": None, "engine": "", "reason": "", "devices": [], "sessions": 0},
        ],
    }


def test_calls_have_the_contracts_keys_and_the_quality():
    assert body(ask("/api/v1/calls")) == {
        "calls": [
            {
                "ref": "k3v7q2mxya",
                "state": "answered",
                "ingress": "office",
                "egress": "carrier-a",
                "route": "outbound",
                "caller": "+14155550100",
                "called": "+442079460000",
                "started_at": "2025-01-31T09:00:00.000Z",
                "answered_at": "2025-01-31T09:00:05.250Z",
                "media": {"engine": "userland"},
                "quality": {"ingress": [{"codec": "PCMU", "packets": 50, "mos": 4.41}], "egress": []},
                "joined": ["taken"],
            }
        ],
        "total": 1,
    }


# BOUND: LISTED_CALLS
def test_a_list_of_calls_has_the_newest_and_says_how_many_run():
    many = tuple(structs.replace(CALL, ref=f"r{n}") for n in range(1_200))
    state = StillState(EngineView("hq", ready=True, calls=many, states=(("answered", 1_200),)))

    whole = body(ask("/api/v1/calls", state=state))
    assert (len(whole["calls"]), whole["calls"][-1]["ref"], whole["total"]) == (1_000, "r1199", 1_200)
    assert [call["ref"] for call in body(ask("/api/v1/calls", state=state, limit="2"))["calls"]] == ["r1198", "r1199"]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "٣", "1" * 50, "50001"])
def test_a_wrong_number_of_calls_is_400(limit):
    assert is_problem(ask("/api/v1/calls", limit=limit), 400)


def test_a_call_that_rings_has_no_answer_time():
    ringing = CallView("r2", "ringing", "office", None, None, "1", "2", 0.0)

    shown = body(ask("/api/v1/calls/r2", state=StillState(EngineView("hq", ready=True, calls=(ringing,)))))

    assert shown["answered_at"] is None
    assert shown["egress"] is None
    assert shown["media"] == {}


def test_octets_of_a_peer_that_are_no_utf8_are_shown_escaped():
    odd = CallView("r2", "ringing", "office", None, None, b"\xe9".decode("utf-8", "surrogateescape"), "2", 0.0)

    shown = body(ask("/api/v1/calls", state=StillState(EngineView("hq", ready=True, calls=(odd,)))))

    assert shown["calls"][0]["caller"] == "\\udce9"


def test_one_call_is_found_by_its_ref():
    assert body(ask(f"/api/v1/calls/{CALL.ref}"))["ref"] == CALL.ref
    assert is_problem(ask("/api/v1/calls/nobody"), 404)


def test_deleting_a_call_is_an_order_for_the_engine():
    order = ask(f"/api/v1/calls/{CALL.ref}", method="DELETE")

    assert isinstance(order, Order)
    assert order.event == HangUpOrdered(CALL.ref)
    reply = order.reply(StillState())
    assert reply.status == 202
    assert body(reply)["state"] == "ending"


def test_deleting_an_unknown_call_is_no_order():
    assert is_problem(ask("/api/v1/calls/nobody", method="DELETE"), 404)


def test_a_ladder_is_json_or_plain_text_as_asked():
    state = StillState(ladders={"old": LADDER})

    assert body(ask("/api/v1/calls/old/ladder", state=state, accept="*/*")) == {"ladder": LADDER}
    assert body(ask("/api/v1/calls/old/ladder", state=state, accept="application/json, text/plain")) == {
        "ladder": LADDER
    }
    text = ask("/api/v1/calls/old/ladder", state=state, accept="Text/Plain;q=0.9")
    assert (text.body.decode(), text.content_type) == (LADDER, "text/plain; charset=utf-8")
    assert is_problem(ask("/api/v1/calls/other/ladder", state=state), 404)


def test_health_is_200_while_the_loop_turns():
    assert ask("/healthz").status == 200
    assert is_problem(ask("/healthz", state=StillState(runtime=RuntimeView(alive=False))), 503)


def test_ready_is_503_while_starting_or_draining():
    assert ask("/readyz").status == 200
    draining = StillState(EngineView("hq", ready=False))
    assert is_problem(ask("/readyz", state=draining), 503)
    assert ask("/healthz", state=draining).status == 200


def test_ready_is_503_with_the_reason_while_the_disk_keeps_calls_out():
    refusing = StillState(EngineView("hq", ready=True, refusing="the disk is full"))
    reply = ask("/readyz", state=refusing)
    assert is_problem(reply, 503)
    assert body(reply)["detail"] == "the disk is full: send no new calls here, but emergency calls"
    status = body(ask("/api/v1/status", state=refusing))
    assert (status["ready"], status["draining"], status["reason"]) == (False, False, "the disk is full")
    assert b"sbc_ready 0\n" in ask("/metrics", state=refusing).body
    assert b"sbc_ready 1\n" in ask("/metrics").body
    assert "nothing is draining" in body(ask("/api/v1/drain", state=refusing, method="DELETE"))["detail"]


def test_a_drain_is_the_reason_of_a_node_that_drains():
    status = body(ask("/api/v1/status", state=StillState(EngineView("hq", ready=False, refusing="the disk is full"))))
    assert (status["ready"], status["draining"], status["reason"]) == (False, True, "draining")


class Asked:
    """A store that remembers what it was asked."""

    def __init__(self):
        self.questions = []

    def page(self, chosen, **question):
        self.questions.append((chosen, question))
        return Page([{"ref": "r1"}], "c")

    def latest(self, chosen, **question):
        self.questions.append((chosen, {"latest": True, **question}))
        return Page([{"ref": "r2"}], None)


def test_cdrs_are_a_question_to_the_store():
    store = Asked()

    reply = ask("/api/v1/cdrs", since="2025-01-31T09:00:00Z", trunk="carrier-a", next_="x,y", limit="7").question(store)
    ask("/api/v1/cdrs", since="", trunk="").question(store)
    newest = ask("/api/v1/cdrs", last="5").question(store)

    assert store.questions == [
        (Filters(since=1_738_314_000.0, trunk="carrier-a"), {"after": "x,y", "limit": 7}),
        (Filters(), {"after": None, "limit": 100}),
        (Filters(), {"latest": True, "limit": 5}),
    ]
    assert body(reply) == {"cdrs": [{"ref": "r1"}], "next": "c"}
    assert body(newest) == {"cdrs": [{"ref": "r2"}], "next": None}
    assert isinstance(ask("/api/v1/cdrs"), AskStore)


@pytest.mark.parametrize(
    "query", [{"since": "x"}, {"limit": "0"}, {"limit": "1001"}, {"limit": "-1"}, {"last": "٣"}, {"limit": "9" * 9999}]
)
def test_a_wrong_question_about_cdrs_is_400(query):
    reply = ask("/api/v1/cdrs", **query)

    assert is_problem(reply, 400)
    assert len(reply.body) < 500


def test_cdrs_are_looked_for_by_all_that_a_person_remembers():
    store = Asked()

    query = {"until": "2025-02-01", "number": "030 123", "cause": "busy", "ref": "r1"}
    ask("/api/v1/cdrs", **query).question(store)

    assert store.questions[0][0] == Filters(until=1_738_368_000.0, number="030 123", cause="busy", ref="r1")


@pytest.mark.parametrize("query", [{"until": "x"}, {"cause": "bussy"}, {"number": "1" * 129}])
def test_what_no_record_can_have_is_400(query):
    assert is_problem(ask("/api/v1/cdrs", **query), 400)


def test_why_is_a_dry_run_of_the_policy():
    assert body(ask("/api/v1/why", from_="office", to="911", caller="100")) == {
        "refused": False,
        "text": "pbx office calls 911 as 100",
    }
    assert body(ask("/api/v1/why", from_="office", to="666"))["refused"] is True


def test_why_as_text_is_what_the_command_prints():
    assert ask("/api/v1/why", from_="office", to="911", accept="text/plain").body == b"pbx office calls 911 as None"


@pytest.mark.parametrize("query", [{}, {"from_": "office"}, {"to": "911"}, {"from_": "nobody", "to": "911"}])
def test_a_wrong_question_why_is_400(query):
    assert is_problem(ask("/api/v1/why", **query), 400)


@pytest.mark.parametrize(
    "path",
    ["/", "", "/api", "/api/v1/calls/", "/api/v1/calls/x/y", "/api/v1/calls//ladder", "/api/v1/status/", "/a" * 9999],
)
def test_anything_else_is_404(path):
    reply = ask(path)

    assert is_problem(reply, 404)
    assert len(reply.body) < 500


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/api/v1/status", "POST", "GET, HEAD"),
        ("/metrics", "DELETE", "GET, HEAD"),
        ("/api/v1/calls/any", "PUT", "GET, HEAD, DELETE"),
        ("/api/v1/calls/any/ladder", "DELETE", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_with_what_is_allowed(path, method, allowed):
    reply = ask(path, method=method)

    assert is_problem(reply, 405)
    assert reply.headers == (("Allow", allowed),)


def test_head_is_answered_like_get():
    assert isinstance(ask("/healthz", method="HEAD"), Reply)
    assert ask("/healthz", method="HEAD").status == 200
