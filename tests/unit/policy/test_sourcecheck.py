# ruff: noqa: E501 (tables of exact texts)
"""Peers at one source: told apart by registration, by DID, by account, by port; or refused."""

import pytest

REMEDY = "expected other sources or ports, AORs that differ, or routes with DIDs of their own; other at b.yaml:2:3"


def trunks(first: str = "", second: str = "") -> str:
    return "trunks:\n" + "".join(
        f"  {name}: {{interface: outside, servers: sip:127.0.0.60, {keys}}}\n"
        for name, keys in (("s", first), ("t", second))
    )


def register(user: str, more: str = "") -> str:
    return f"auth: {{username: a, password: {{env: A}}}}, register: {{aor: 'sip:{user}@h.example'{more}}}"


def shared(policy):
    return [str(warning) for warning in policy.warnings if "share" in warning.wrong]


def test_registrations_of_different_users_tell_trunks_apart(load, well):
    assert shared(load(well, trunks(register("+14155550100"), register("+14155550200")))) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (register("a"), register("a")),
        (register("+14155550100"), register("4155550100")),
        (register("a"), ""),
        (register("a", ", gin: true"), register("b", ", gin: true")),
        (register("a", ", gin: true"), register("b")),
        ("", ""),
    ],
)
def test_other_registrations_do_not(errors, well, first, second):
    assert errors(well, trunks(first, second)) == [
        f"b.yaml:3:3: `t` and `s` both accept 127.0.0.60/32 on `outside`, and no route tells them apart by DID; {REMEDY}"
    ]


APART = [
    "{from: s, to: 1XX, via: office}, {from: t, to: 2XX, via: office}",
    "{from: s, to: '+1415555010X', via: office}, {from: t, to: '+1415555011X', via: office}",
    "{from: s, to: dids}",
    "{from: s, to: 1XX, via: office}, {from: t, to: 2XX, via: office}, {from: office, via: [s, t]}, {reject: 403}",
]


@pytest.mark.parametrize("routes", APART)
def test_routes_with_dids_of_their_own_tell_trunks_apart(load, well, routes):
    assert shared(load(well, trunks(), f"routes: [{routes}]")) == []


ALIKE = [
    ("{name: r, from: [s, t], to: dids}", "the route `r` takes calls from either"),
    ("{name: r, to: dids}", "the route `r` takes calls from either"),
    ("{from: s, to: 1XX, via: office}, {from: t, via: office}", "a route of one takes every number"),
    ("{from: s, to: [1XX, dids]}, {from: t, to: dids}", "routes of both take `dids`"),
    (
        "{from: s, to: dids}, {from: t, to: '+1415555010X', via: office}",
        "routes of both take +14155550100",
    ),
    ("{from: office, via: [s, t]}", "no route tells them apart by DID"),
]


@pytest.mark.parametrize(("routes", "why"), ALIKE, ids=[routes for routes, _ in ALIKE])
def test_routes_that_both_take_a_number_do_not(errors, well, routes, why):
    routes = routes.replace("1XX, dids]}", "1XX, dids], via: office}")
    assert errors(well, trunks(), f"routes: [{routes}]") == [
        f"b.yaml:3:3: `t` and `s` both accept 127.0.0.60/32 on `outside`, and {why}; {REMEDY}"
    ]


def test_ports_tell_trunks_apart_but_for_calls_from_others(load, well):
    policy = load(well, trunks().replace("60, }\n  t", "60}\n  t").replace("60, }", "60:5070}"))
    assert shared(policy) == [
        "b.yaml:3:3: `t` and `s` share 127.0.0.60/32 and are told apart by source port; what comes from any other port there is taken for `s`"
    ]


def test_trunks_at_one_name_share_a_source(errors, well):
    (found,) = errors(well, trunks().replace("127.0.0.60", "h.example"))
    assert "both accept h.example" in found


def pbxs(first: str, second: str) -> str:
    return "pbxs:\n" + "".join(
        f"  {name}: {{interface: inside, address: sip:10.0.0.{n}, {keys}}}\n"
        for n, (name, keys) in enumerate((("p", first), ("q", second)), 1)
    )


def account(user: str) -> str:
    return f"auth: {{username: {user}, password: {{env: A}}}}"


def test_accounts_tell_pbxs_apart(load, errors, well):
    net = ", accept: 10.0.0.0/8"
    assert shared(load(well, pbxs(account("p") + net, account("q") + net))) == []
    (same,) = errors(well, pbxs(account("p") + net, account("p") + net))
    assert (
        "both accept 10.0.0.0/8 on `inside`, and both log in as `p`; expected other sources or ports, or `auth`" in same
    )
    (without,) = errors(well, pbxs(account("p") + net, "accept: 10.0.0.0/8"))
    assert "nothing in a call tells two pbxs apart without `auth`" in without


def test_pbxs_from_anywhere_have_accounts_of_their_own(load, errors, well):
    anywhere = ", accept: any"
    assert load(well, pbxs(account("p") + anywhere, account("q") + anywhere)).peers["q"].accepts_any
    assert errors(well, pbxs(account("p") + anywhere, account("p") + anywhere)) == [
        "b.yaml:3:55: `q` and `p` accept any source on `inside` as the user `p`; expected user names that differ; other at b.yaml:2:3"
    ]


def test_a_pbx_and_a_trunk_never_share_a_source(errors, well):
    (found,) = errors(well, "trunks:\n  t: {interface: inside, servers: sip:127.0.0.30}\n")
    assert (
        "`t` and `office` both accept 127.0.0.30/32 on `inside`, and nothing in a call tells a pbx from a trunk; expected other sources or ports"
        in found
    )


def test_many_trunks_at_one_source_are_checked_in_time(load, well):
    names = "".join(f"  t{n}: {{interface: outside, servers: sip:127.0.0.60}}\n" for n in range(200))
    routes = ", ".join(f"{{from: t{n}, to: '+1415555{n:04d}', via: office}}" for n in range(200))
    assert shared(load(well, f"trunks:\n{names}", f"routes: [{routes}]")) == []
