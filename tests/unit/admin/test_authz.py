"""Who is served: by the door that a request came through, the token, and the web page that sent it."""

import json

import pytest

from sbc.admin.authz import Caller, is_right, refusal

TOKEN = "correct-horse-battery"
RIGHT = Caller(host="192.0.2.1:8088", authorization=f"Bearer {TOKEN}")


def status(door, token, caller, *, is_open=False, is_order=False):
    reply = refusal(door, token, caller, is_open=is_open, is_order=is_order)
    return None if reply is None else reply.status


@pytest.mark.parametrize("door", ["loopback", "network"])
def test_a_token_is_asked_for_over_tcp(door):
    assert status(door, TOKEN, RIGHT) is None
    assert status(door, TOKEN, Caller()) == 401
    assert status(door, TOKEN, Caller(authorization="Bearer wrong")) == 401


def test_who_tries_is_told_what_is_wrong_and_nobody_the_token():
    missing = refusal("network", TOKEN, Caller(), is_open=False, is_order=False)
    wrong = refusal("network", TOKEN, Caller(authorization="Bearer x"), is_open=False, is_order=False)

    assert missing.headers == (("WWW-Authenticate", 'Bearer realm="sbc"'),)
    assert wrong.headers == (("WWW-Authenticate", 'Bearer realm="sbc", error="invalid_token"'),)
    assert "policy" in json.loads(wrong.body)["detail"]
    assert TOKEN.encode() not in missing.body + wrong.body


def test_a_unix_socket_is_guarded_by_its_permissions():
    assert status("unix", TOKEN, Caller(), is_order=True) is None
    assert status("unix", None, Caller(host="any.example")) is None


@pytest.mark.parametrize("token", [TOKEN, None])
def test_health_is_for_everybody(token):
    assert status("network", token, Caller(), is_open=True) is None


def test_without_a_token_nobody_is_served_beyond_loopback():
    """A reload that took the token away must not open the door."""
    assert status("network", None, RIGHT) == 403
    assert status("loopback", None, Caller(host="127.0.0.1:8088")) is None


def test_the_name_of_the_host_counts_only_where_nothing_else_protects():
    lured = Caller(host="evil.example", authorization=f"Bearer {TOKEN}")

    assert status("loopback", None, lured) == 421
    assert status("loopback", None, lured, is_open=True) == 421
    assert status("loopback", TOKEN, lured) is None
    assert status("network", TOKEN, lured) is None


@pytest.mark.parametrize("host", ["localhost", "localhost:8088", "127.0.0.1", "[::1]:8088", "[::1]", ""])
def test_names_of_this_machine_are_its_own(host):
    assert status("loopback", None, Caller(host=host)) is None


@pytest.mark.parametrize(
    ("host", "origin", "site"),
    [
        ("127.0.0.1:8088", "http://127.0.0.1:8088", ""),
        ("[::1]:8088", "http://[::1]:8088", "same-origin"),
        ("sbc.example", "https://sbc.example", ""),  # behind a proxy that speaks TLS
        ("localhost", "https://sbc.example", "same-origin"),  # and one that hides its own name
        ("127.0.0.1:8088", "", ""),  # no browser
        ("127.0.0.1:8088", "", "none"),
    ],
)
def test_the_page_may_give_orders(host, origin, site):
    caller = Caller(host=host, origin=origin, fetch_site=site)

    assert status("unix", None, caller, is_order=True) is None


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        ("http://evil.example", ""),
        ("null", ""),
        ("http://127.0.0.1:1", ""),
        ("ftp://127.0.0.1:8088", ""),
        ("http://127.0.0.1:8088", "cross-site"),
        ("", "same-site"),
    ],
)
@pytest.mark.parametrize("door", ["unix", "loopback"])
def test_a_page_of_another_origin_may_not(door, origin, site):
    caller = Caller(host="127.0.0.1:8088", origin=origin, fetch_site=site)

    assert status(door, None, caller, is_order=True) == 403
    assert status(door, None, caller) is None


@pytest.mark.parametrize(
    ("field", "right"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer   {TOKEN} ", True),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
        ("Bearer", False),
        ("Bearer ", False),
        (f"Bearer {TOKEN}x", False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Bearer {TOKEN.upper()}", False),
        ("Bearer \u2603", False),
    ],
)
def test_the_whole_token_counts(field, right):
    assert is_right(field, TOKEN) is right


def test_a_token_of_other_letters_is_compared_as_octets():
    assert is_right("Bearer " + "schlüssel-für-hq".encode().decode("latin-1"), "schlüssel-für-hq")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("dest", ["empty", "image", "script", "iframe"])
def test_a_page_of_another_origin_asks_nothing_in_the_background(site, dest):
    lured = Caller(host="localhost:8088", fetch_site=site, fetch_dest=dest)

    assert status("loopback", None, lured) == 403
    assert status("loopback", None, lured, is_open=True) is None


def test_a_page_of_another_origin_may_link_to_us_and_our_own_may_ask():
    assert status("loopback", None, Caller(host="localhost", fetch_site="cross-site", fetch_dest="document")) is None
    assert status("loopback", None, Caller(host="localhost", fetch_site="same-origin", fetch_dest="empty")) is None
    assert status("loopback", None, Caller(host="localhost", fetch_site="none", fetch_dest="document")) is None
