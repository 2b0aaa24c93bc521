# ruff: noqa: E501, ISC004 (tables of exact texts)
"""Reading a mapping by its table: unknown, empty, doubled and unbuilt keys, each with its place."""

import pytest

ERRORS = [
    ("{W}sbc: {contry: US}", "a.yaml:8:7: unknown key `contry` in `sbc`; did you mean `country`?"),
    ("{W}sbc: [a]", "a.yaml:8:6: `sbc` is a list; expected a mapping"),
    ("{W}sbc: a", "a.yaml:8:6: `sbc` is a text; expected a mapping"),
    ("{W}sbc: {name: [a]}", "a.yaml:8:13: this is a list; expected a single value"),
    ("{W}sbc: {name: }", "a.yaml:8:12: `name` is empty; expected a text"),
    ("{W}sbc: {[a]: b}", "a.yaml:8:7: a list as a key of `sbc`; expected a text"),
    ("{W}sbc: {name: a, name: b}", "a.yaml:8:16: `name` is defined twice; expected it once; first at a.yaml:8:7"),
    ("{W}sbc: {stop_after: 10}", "a.yaml:8:19: `10` has no unit; expected a number with ms, s, m, h or d, such as 10s"),
    (
        "{W}sbc: {country: XX}",
        "a.yaml:8:16: `XX` is no country with a numbering plan; expected a two-letter country code such as US",
    ),
    (
        "{W}sbc: {admin: '0.0.0.0:8088'}",
        "a.yaml:8:14: `0.0.0.0:8088` is not on loopback, and there is no `admin_token`; "
        "expected admin_token: {file: PATH}, or 127.0.0.1:8088, [::1]:8088 or unix:PATH",
    ),
    (
        "{W}media: {ports: 2-1}",
        "a.yaml:8:16: `2-1` is out of range or runs backwards; expected FIRST-LAST within 1024-65535, such as 20000-29999",
    ),
    ("{W}routes: [{reject: 200}]", "a.yaml:8:19: `200` is no SIP failure; expected a status from 400 to 699"),
    ("{W}routes: [{strip: x, via: office}]", "a.yaml:8:18: `x` is not a number from 0 to 32; expected 0 to 32"),
    (
        "{W}routes: [{prepend: a, via: office}]",
        "a.yaml:8:20: `a` cannot be put before a number; expected digits, * and #, with or without a plus",
    ),
    ("{W}routes: [{via: []}]", "a.yaml:8:16: an empty list; expected at least one element"),
    ("{W}routes: [{via: [office, ~]}]", "a.yaml:8:25: this is nothing; expected a single value"),
    (
        "{W}routes: [{to: 9-10, via: office}]",
        "a.yaml:8:15: the ends of the range `9-10` differ in length; expected FIRST-LAST of equal lengths",
    ),
    ("{W}sbc: {cps: 0}", "a.yaml:8:12: `0` is not a number from 1 to 100000; expected 1 to 100000"),
    ("{W}sbc: {alerts: }", "a.yaml:8:14: `alerts` is empty; expected a mapping"),
    ("{W}sbc: {alerts: {}}", "a.yaml:8:15: `alerts` has no `webhook`; expected an http or https URL"),
    (
        "{W}sbc: {alerts: {webhook: ftp://h/x}}",
        "a.yaml:8:25: this is no URL of http or https; expected http://HOST/… or https://HOST/…",
    ),
    ("{W}media: {silence_timeout: 5s}", "a.yaml:8:26: `5s` is out of range; expected 10s to 1d"),
    ("{W}media: {engine: xdp}", "a.yaml:8:17: `xdp` is not a choice here; expected auto or kernel or userland"),
    ("{W}media: {workers: 17}", "a.yaml:8:18: `17` is not a number from 1 to 16; expected 1 to 16"),
    (
        "{W}routes: [{emergency: yes, via: office}]",
        "a.yaml:8:22: `yes` is neither true nor false; expected true or false",
    ),
]


@pytest.mark.parametrize(("text", "error"), ERRORS, ids=[error.split(": ", 1)[1][:50] for _, error in ERRORS])
def test_an_error_says_where_what_and_what_was_expected(errors, well, text, error):
    assert error in errors(text.replace("{W}", well).replace("{W1}", "a"))


MISPLACED = [
    (
        "trunks",
        "limits: {}",
        "`limits` does not belong here; expected it on a pbx or a route; for a trunk, say call_paths and cps",
    ),
    (
        "pbxs",
        "call_paths: 4",
        "`call_paths` does not belong here; expected it on a trunk; for a pbx, say limits: {call_paths: N}",
    ),
    ("pbxs", "cps: 4", "`cps` does not belong here; expected it on a trunk; for a pbx, say limits: {cps: N}"),
    (
        "trunks",
        "auth: {username: a, password: {env: A}, algorithms: md5}",
        "`algorithms` does not belong here; expected it on a pbx; towards a trunk, the carrier's challenge chooses",
    ),
]


@pytest.mark.parametrize(("section", "key", "error"), MISPLACED, ids=[key for _, key, _ in MISPLACED])
def test_a_key_that_belongs_elsewhere_says_where(errors, well, section, key, error):
    where = "address" if section == "pbxs" else "servers"
    found = errors(well, f"{section}:\n  x: {{interface: outside, {where}: sip:h, {key}}}\n")
    assert [line.split(": ", 1)[1] for line in found] == [error]


def test_a_text_in_place_of_a_mapping_is_one_mistake_and_not_one_for_each_key(errors, well):
    assert errors(well, "trunks:\n  t: {interface: outside, servers: sip:h, auth: acme}\n") == [
        "b.yaml:2:49: `auth` is a text; expected a mapping"
    ]


def test_a_misplaced_key_is_never_suggested(errors, well):
    (found,) = errors(well, "trunks:\n  x: {interface: outside, servers: sip:h, limts: {}}\n")
    assert "limits" not in found


def test_values_that_ask_for_what_happens_anyway_pass(load, well):
    load(
        well,
        "trunks:\n  x: {interface: outside, servers: sip:h, srtp: off, tls: off, t38: pass, health: off, register: false, latching: address}\n",
    )
