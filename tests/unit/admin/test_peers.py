"""Trunks, PBXs and call paths as the API shows them: shapes of the contract."""

import json

import pytest

from sbc.admin.api import answer
from sbc.admin.exchange import Request
from sbc.admin.live import live_texts
from sbc.b2bua.snapshot import EngineView
from sbc.peering.views import HolderView, PathView, PeerView, RegistrationView, ServerView

from .state import CALL, ENGINE, StillState


def ask(path, state=None):
    reply = answer(Request("GET", path), state or StillState())
    return reply.status, json.loads(reply.body)


def engine(**fields):
    return StillState(EngineView("hq", ready=True, **fields))


def test_trunks_show_state_servers_registration_and_call_paths():
    status, body = ask("/api/v1/trunks")

    assert status == 200
    assert body["trunks"][0] == {
        "name": "carrier-a",
        "state": "up",
        "since": "2025-01-31T09:00:02.000Z",
        "why": "",
        "servers": [
            {
                "server": "sip:sip.carrier-a.example",
                "address": "udp:192.0.2.1:5060",
                "state": "up",
                "since": "2025-01-31T09:00:02.000Z",
                "why": "200 to OPTIONS",
            },
            {
                "server": "sip:sip.carrier-a.example",
                "address": "udp:192.0.2.2:5060",
                "state": "down",
                "since": "2025-01-31T09:00:30.000Z",
                "why": "no reply to 3 OPTIONS",
            },
        ],
        "registration": {
            "state": "registered",
            "aor": "sip:acme@carrier-a.example",
            "since": "2025-01-31T09:00:03.000Z",
            "why": "",
            "expires_at": "2025-01-31T09:10:03.000Z",
            "next_at": "2025-01-31T09:05:03.000Z",
            "registrar": "udp:192.0.2.1:5060",
        },
        "call_paths": {"used": 1, "limit": 24, "inbound": 0, "outbound": 1, "peak_today": 7, "pool": "acme"},
    }


def test_a_trunk_that_does_not_register_has_no_registration():
    _, body = ask("/api/v1/trunks")

    assert [trunk["name"] for trunk in body["trunks"]] == ["carrier-a", "carrier-b"]
    assert body["trunks"][1]["registration"] is None
    nothing = {"used": 0, "limit": None, "inbound": 0, "outbound": 0, "peak_today": 0, "pool": None}
    assert body["trunks"][1]["call_paths"] == nothing


def test_a_registration_that_holds_nothing_has_no_times_and_no_registrar():
    failing = PeerView("t", "trunk", "up", 0.0, "", registration=RegistrationView("failing", "sip:a@b", 0.0, "silence"))

    _, body = ask("/api/v1/trunks", engine(peers=(failing,)))

    shown = body["trunks"][0]["registration"]
    assert [shown[key] for key in ("expires_at", "next_at", "registrar")] == [None] * 3
    assert body["trunks"][0]["call_paths"]["used"] == 0  # the engine knows no paths of it


def test_pbxs_show_their_bindings():
    _, body = ask("/api/v1/pbxs")

    office, branch = body["pbxs"]
    assert (office["name"], office["bindings"], office["servers"][0]["state"]) == ("office", [], "unknown")
    assert branch["bindings"] == [
        {
            "aor": "sip:branch@sbc",
            "contact": "sip:branch@192.0.2.8:5062",
            "address": "udp:192.0.2.8:5062",
            "expires_at": "2025-01-31T10:00:05.000Z",
        }
    ]


@pytest.mark.parametrize(("path", "name"), [("trunks/carrier-a", "carrier-a"), ("pbxs/office", "office")])
def test_one_peer_is_shown_as_in_its_list(path, name):
    status, body = ask(f"/api/v1/{path}")

    assert (status, body["name"]) == (200, name)
    _, whole = ask(f"/api/v1/{path.partition('/')[0]}")
    assert body in whole[path.partition("/")[0]]


def test_an_unknown_peer_is_404_with_the_nearest_of_its_kind():
    assert ask("/api/v1/trunks/carier-b")[1]["detail"] == "no trunk is called `carier-b`; did you mean `carrier-b`?"
    assert ask("/api/v1/pbxs/carrier-a")[0] == 404
    status, body = ask("/api/v1/pbxs/" + "x" * 9999)
    assert (status, body["detail"]) == (404, f"no pbx is called `{'x' * 64}`; there are office, branch")


def test_paths_name_their_holders_and_ages():
    _, body = ask("/api/v1/paths")

    holder = {
        "trunk": "carrier-a",
        "ref": CALL.ref,
        "leg": 1,
        "direction": "outbound",
        "since": "2025-01-31T09:01:00.000Z",
        "age_seconds": 40.5,
        "emergency": False,
    }
    held = {"limit": 24, "used": 1, "inbound": 0, "outbound": 1, "peak_today": 7, "holders": [holder]}
    free = {"limit": None, "used": 0, "inbound": 0, "outbound": 0, "peak_today": 0, "holders": []}
    assert body == {
        "paths": [
            {"trunk": "carrier-a", "kind": "trunk", "pool": "acme"} | held,
            {"trunk": "carrier-b", "kind": "trunk", "pool": None} | free,
            {"trunk": "acme", "kind": "pool", "pool": None} | held,
        ]
    }


def test_a_trunk_without_a_limit_stands_among_the_paths_even_without_calls_and_one_that_is_gone_with_them():
    peers = (PeerView("b", "trunk", "up", 0.0, ""), PeerView("a", "trunk", "up", 0.0, ""))
    paths = (PathView("gone", None, 1), PathView("a", 3, 0), PathView("p", 9, 0, kind="pool"))

    _, body = ask("/api/v1/paths", engine(peers=peers, paths=paths))

    shown = [(path["trunk"], path["limit"], path["used"], path["kind"]) for path in body["paths"]]
    assert shown == [("b", None, 0, "trunk"), ("a", 3, 0, "trunk"), ("gone", None, 1, "trunk"), ("p", 9, 0, "pool")]


def test_what_a_peer_sent_that_is_no_utf8_is_shown_escaped():
    odd = b"403 \xe9".decode("utf-8", "surrogateescape")

    _, body = ask("/api/v1/trunks", engine(peers=(PeerView("t", "trunk", "excluded", 0.0, odd),)))

    assert body["trunks"][0]["why"] == "403 \\udce9"


def test_a_time_that_never_comes_is_null():
    _, body = ask("/api/v1/trunks", engine(peers=(PeerView("t", "trunk", "up", float("-inf"), ""),)))

    assert body["trunks"][0]["since"] is None


def test_live_texts_say_what_a_call_would_meet():
    texts = live_texts(ENGINE)

    assert texts["carrier-a"].splitlines() == [
        "up since 2025-01-31T09:00:02Z",
        "udp:192.0.2.2:5060 down since 2025-01-31T09:00:30Z: no reply to 3 OPTIONS",
        "registered until 2025-01-31T09:10:03Z",
        "call paths: 1 used, of the pool acme 1 of 24",
    ]
    assert texts["carrier-b"] == "busyout since 2025-01-31T09:00:10Z: by the operator"
    assert texts["office"] == "up since 2025-01-31T09:00:00Z"
    assert texts["branch"].splitlines()[1] == "bound to sip:branch@192.0.2.8:5062 until 2025-01-31T10:00:05Z"


def test_live_texts_tell_of_a_drain():
    assert live_texts(ENGINE)[""] == ""
    draining = EngineView("hq", ready=False)
    assert live_texts(draining) == {"": "draining: new calls get 503, but emergency calls"}


def test_live_texts_tell_why_the_disk_keeps_calls_out():
    refusing = EngineView("hq", ready=True, refusing="the disk is full")
    assert live_texts(refusing) == {"": "the disk is full: new calls get 503, but emergency calls"}


def test_live_texts_of_a_trunk_in_trouble():
    holders = tuple(HolderView("t", f"r{n}", 1, "inbound", 0.0, False) for n in range(2))
    trunk = PeerView(
        "t",
        "trunk",
        "down",
        float("-inf"),
        "all servers are down",
        (ServerView("s", "tcp:192.0.2.1:5060", "suspended", 1.0, "503"),),
        RegistrationView("rejected", "sip:a@b", 2.0, "403 Forbidden", None, 602.0),
    )
    view = EngineView("hq", ready=True, peers=(trunk,), paths=(PathView("t", 4, 2, holders),))

    assert live_texts(view)["t"].splitlines() == [
        "down since the start: all servers are down",
        "tcp:192.0.2.1:5060 suspended since 1970-01-01T00:00:01Z: 503",
        "registration rejected since 1970-01-01T00:00:02Z: 403 Forbidden; next try at 1970-01-01T00:10:02Z",
        "call paths: 2 used of 4",
    ]
