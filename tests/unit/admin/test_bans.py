"""Bans over the API: the list, one more, one less."""

import json

import pytest
from msgspec import structs

from sbc.admin.api import answer
from sbc.admin.exchange import Order, Reply, Request
from sbc.admin.stream import take_picture
from sbc.b2bua.events import BanOrdered, LiftOrdered
from sbc.core import limits
from sbc.peering.views import BanView

from .state import ENGINE, StillState


def ask(method, path, body=b""):
    return answer(Request(method, f"/api/v1/{path}", (), "", body), StillState())


def test_the_list_says_who_since_when_until_when_by_whom_and_why():
    body = json.loads(ask("GET", "bans").body)
    assert body["total"] == 1
    (ban,) = body["bans"]
    assert (ban["address"], ban["by"], ban["why"]) == ("192.0.2.7", "sbc", "wrong credentials")
    assert ban["since"] < ban["until"]


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("2001:DB8:0:1::7", "2001:db8:0:1::/64"),
        ("[2001:db8:0:1:0:0:0:7]", "2001:db8:0:1::/64"),
    ],
)
def test_a_ban_is_of_the_canonical_source_for_an_hour(address, source):
    order = ask("POST", f"bans/{address}")
    assert isinstance(order, Order)
    assert order.event == BanOrdered(source, 3600.0, "by the operator")


def test_how_long_and_why_are_the_operators():
    event = ask("POST", "bans/192.0.2.9", b'{"for": "7d", "why": "calls\\u001b[31m premium numbers"}').event
    assert event == BanOrdered("192.0.2.9", 7 * 86_400.0, "calls[31m premium numbers")


@pytest.mark.parametrize("address", ["localhost", "192.0.2.0_24", "fe80::1%eth0", "1", "0x7f000001", "x" * 500])
def test_what_is_no_address_cannot_be_banned(address):
    assert ask("POST", f"bans/{address}").status == 400


@pytest.mark.parametrize(
    "body", [b"[]", b'{"for": 3600}', b'{"for": "ever"}', b'{"for": "31d"}', b'{"for": "0s"}', b'{"x": 1}', b"\xff"]
)
def test_a_wrong_body_is_400(body):
    assert ask("POST", "bans/192.0.2.9", body).status == 400


def test_what_the_engine_did_not_ban_is_409():
    order = ask("POST", "bans/192.0.2.9")
    assert order.reply(StillState()).status == 409
    banned = structs.replace(ENGINE, bans=(BanView("192.0.2.9", 1.0, 2.0, "operator", "x"),))
    reply = order.reply(StillState(banned))
    assert (reply.status, json.loads(reply.body)["address"]) == (201, "192.0.2.9")


def test_a_ban_is_lifted_and_told_as_it_was():
    order = ask("DELETE", "bans/192.0.2.7")
    assert order.event == LiftOrdered("192.0.2.7")
    assert json.loads(order.reply(StillState()).body)["why"] == "wrong credentials"


@pytest.mark.parametrize("address", ["192.0.2.8", "nobody"])
def test_what_is_not_banned_is_404(address):
    reply = ask("DELETE", f"bans/{address}")
    assert isinstance(reply, Reply)
    assert reply.status == 404


# BOUND: STREAMED_BANS
def test_the_event_stream_has_the_newest_and_how_many_there_are():
    many = tuple(
        BanView(f"198.51.{n >> 8}.{n & 255}", float(n), 2e9, "sbc", "") for n in range(limits.STREAMED_BANS + 9)
    )
    _, text = take_picture(StillState(structs.replace(ENGINE, bans=many))).state["bans"]
    shown = json.loads(text)
    assert (len(shown["bans"]), shown["total"]) == (limits.STREAMED_BANS, len(many))
