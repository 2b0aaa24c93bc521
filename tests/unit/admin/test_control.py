"""What an operator may order over the API: orders for the engine, and problems where there is nothing to order."""

import json

import pytest
from msgspec import structs

from sbc.admin.api import answer
from sbc.admin.control import DRAIN_SECONDS, Restart, is_pinged, pinged, reloaded, restarted
from sbc.admin.exchange import PROBLEM, Order, Perform, Ping, Reload, Request
from sbc.b2bua.events import BusyOutOrdered, DrainOrdered, DrainRevoked, DrillOrdered
from sbc.b2bua.snapshot import EngineView
from sbc.peering.views import PingView
from sbc.policy.changes import Change, Changes

from .state import ENGINE, OFFICE, StillState

ADDRESS = "udp:192.0.2.1:5060"


def ask(method, path, body=b"", **query):
    return answer(Request(method, f"/api/v1/{path}", tuple(query.items()), "", body), StillState())


def shown(reply):
    return json.loads(reply.body)


def detail(reply, status):
    document = shown(reply)
    assert (reply.status, document["status"], reply.content_type) == (status, status, PROBLEM)
    return document["detail"]


@pytest.mark.parametrize(
    ("method", "path", "event"),
    [
        ("POST", "drill/office", DrillOrdered("office", on=True)),
        ("DELETE", "drill/office", DrillOrdered("office", on=False)),
        ("POST", "trunks/carrier-a/busyout", BusyOutOrdered("carrier-a", on=True)),
        ("DELETE", "trunks/carrier-a/busyout", BusyOutOrdered("carrier-a", on=False)),
    ],
)
def test_orders_reach_the_engine(method, path, event):
    order = ask(method, path)

    assert isinstance(order, Order)
    assert order.event == event


def test_the_reply_to_an_order_shows_the_peer_as_it_is_afterwards():
    order = ask("POST", "drill/office")
    drilled = structs.replace(OFFICE, state="drill", why="by the operator")

    reply = order.reply(StillState(structs.replace(ENGINE, peers=(drilled,))))

    assert (reply.status, shown(reply)["name"], shown(reply)["state"]) == (200, "office", "drill")


@pytest.mark.parametrize("path", ["drill/ofice", "trunks/carier-a/busyout", "peers/ofice/ping"])
@pytest.mark.parametrize("method", ["POST"])
def test_a_name_that_nobody_has_is_404_with_the_nearest(method, path):
    assert "did you mean" in detail(ask(method, path), 404)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_what_makes_no_sense_is_409(method):
    assert detail(ask(method, "drill/carrier-a"), 409) == "carrier-a is a trunk; only a pbx can be drilled"
    assert detail(ask(method, "trunks/office/busyout"), 409) == "office is a pbx; only a trunk can be busied out"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "drain", "POST, DELETE"),
        ("DELETE", "reload", "POST"),
        ("GET", "drill/office", "POST, DELETE"),
        ("PUT", "trunks/carrier-a/busyout", "POST, DELETE"),
        ("GET", "peers/office/ping", "POST"),
        ("POST", "trunks", "GET, HEAD"),
        ("DELETE", "paths", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_with_what_is_allowed(method, path, allowed):
    reply = ask(method, path)

    assert reply.status == 405
    assert reply.headers == (("Allow", allowed),)


@pytest.mark.parametrize("path", ["drill", "drill/", "drill//", "peers/office", "trunks/a/b/c", "trunks/a/busyout/"])
def test_what_is_nowhere_is_404(path):
    assert detail(ask("POST", path), 404).startswith("there is nothing at")


def test_a_drain_is_taken_back_where_there_is_one():
    draining = StillState(structs.replace(ENGINE, ready=False))
    order = answer(Request("DELETE", "/api/v1/drain"), draining)

    assert order.event == DrainRevoked()
    assert shown(order.reply(StillState())) == {"draining": False, "calls": 1, "ends_at": None}
    assert "nothing is draining" in detail(ask("DELETE", "drain"), 409)


def test_a_program_that_is_stopping_goes_on_stopping():
    draining = StillState(structs.replace(ENGINE, ready=False))
    order = answer(Request("DELETE", "/api/v1/drain"), draining)

    assert "stopping" in detail(order.reply(draining), 409)


def test_a_drain_has_ten_minutes_unless_told_otherwise():
    assert ask("POST", "drain").event == DrainOrdered(100.5 + DRAIN_SECONDS, is_leaving=True)
    assert ask("POST", "drain", deadline="90s").event == DrainOrdered(190.5, is_leaving=True)
    assert ask("POST", "drain", b'{"deadline": "1h"}').event == DrainOrdered(3700.5, is_leaving=True)
    assert ask("POST", "drain", b" \r\n").event == DrainOrdered(700.5, is_leaving=True)
    assert ask("POST", "drain", deadline="0s").event == DrainOrdered(100.5, is_leaving=True)


def test_the_reply_to_a_drain_says_how_many_calls_are_left_and_when_they_end():
    reply = ask("POST", "drain").reply(StillState(structs.replace(ENGINE, ready=False)))

    assert reply.status == 202
    assert shown(reply) == {"draining": True, "calls": 1, "ends_at": "2025-01-31T09:11:40.500Z"}


@pytest.mark.parametrize("deadline", ["10", "soon", "8d", "", "-1s", "1" * 9999 + "s"])
def test_a_deadline_that_is_none_is_400(deadline):
    reply = ask("POST", "drain", deadline=deadline)

    assert "deadline" in detail(reply, 400)
    assert len(reply.body) < 500


@pytest.mark.parametrize("body", [b"10m", b"[]", b'{"deadline": 10}', b'{"dedline": "10m"}', b"\xff", b"[" * 4000])
def test_a_body_that_says_nothing_is_400(body):
    assert 'expected {"deadline": "10m"}' in detail(ask("POST", "drain", body), 400)


def test_reload_is_the_runtimes_to_do():
    assert ask("POST", "reload") == Reload()


def test_a_reload_says_what_has_changed():
    done = shown(reloaded(Changes(routes=Change(changed=("out",)))))
    assert (done["reloaded"], done["summary"]) == (True, "routes: ~ out")
    assert done["changes"]["routes"] == {"added": [], "removed": [], "changed": ["out"]}


def test_a_reload_that_is_refused_names_every_problem():
    one, two = reloaded(["a.yaml:1:1: no"]), reloaded(["a.yaml:1:1: no", "b.yaml:2:1: no"])
    assert detail(one, 409) == "the policy has a problem; the one in force stays"
    assert detail(two, 409) == "the policy has 2 problems; the one in force stays"
    assert shown(two)["problems"] == ["a.yaml:1:1: no", "b.yaml:2:1: no"]


def test_a_restart_is_the_programs_to_do():
    assert ask("POST", "restart") == Perform(Restart())


def test_a_restart_begins_or_is_refused_with_its_reason():
    begun = restarted("")
    assert (begun.status, json.loads(begun.body)) == (202, {"restarting": True})
    assert detail(restarted("no such module"), 409) == "not restarted: no such module"


@pytest.mark.parametrize("name", ["carrier-a", "office"])
def test_any_peer_can_be_pinged(name):
    assert ask("POST", f"peers/{name}/ping") == Ping(name)


def test_a_ping_is_over_when_all_its_answers_are_in():
    waiting = PingView("t1", "s", ADDRESS, None, None)
    came = PingView("t1", "s", ADDRESS, 200, 1.5)
    silent = PingView("t1", "s", ADDRESS, 0, None, "no reply")

    assert not is_pinged(_engine(came, waiting), "t1")
    assert is_pinged(_engine(came, silent), "t1")
    assert is_pinged(_engine(waiting), "t2")


def test_the_reply_to_a_ping_has_one_result_for_each_address():
    reply = pinged(
        _engine(
            PingView("t1", "sip:a", ADDRESS, 200, 1.5),
            PingView("t1", "sip:a", "udp:192.0.2.2:5060", 0, None, "refused"),
            PingView("t1", "sip:b", "udp:192.0.2.3:5060", None, None),
            PingView("t2", "sip:c", "udp:192.0.2.4:5060", 200, 2.0),
        ),
        "carrier-a",
        "t1",
    )

    assert shown(reply)["peer"] == "carrier-a"
    assert [(r["server"], r["status"], r["milliseconds"], r["why"]) for r in shown(reply)["results"]] == [
        ("sip:a", 200, 1.5, ""),
        ("sip:a", None, None, "refused"),
        ("sip:b", None, None, "no answer yet"),
    ]


def test_a_peer_without_a_known_address_cannot_be_pinged():
    assert detail(pinged(_engine(), "branch", "t1"), 409) == "there is nothing to ping: no address of branch is known"


def _engine(*pings):
    return EngineView("hq", ready=True, pings=pings)


def test_a_wrong_name_is_not_compared_with_a_thousand_others():
    peers = tuple(structs.replace(OFFICE, name=f"office-{n:0>50}") for n in range(1000))
    state = StillState(structs.replace(ENGINE, peers=peers))
    reply = answer(Request("POST", f"/api/v1/drill/office-{1:0>49}"), state)

    assert "did you mean" not in detail(reply, 404)


@pytest.mark.parametrize("name", ["to", "caller"])
def test_a_number_longer_than_any_is_not_tried(name):
    numbers = {"to": "110", "caller": "110"} | {name: "1" * 200}

    assert "characters" in detail(ask("GET", "why", **{"from": "office"} | numbers), 400)
