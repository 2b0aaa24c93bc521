# ruff: noqa: ISC004 (tables of exact texts)
"""Emergency routes, statuses, and what an operator should hear of: no way out for emergencies, plans without health."""

import pytest

WRONG = [
    (
        "{to: '911', emergency: true, via: carrier-a, strip: 1}",
        "b.yaml:1:62: `strip` on an emergency route; expected none: the number goes out as dialled",
    ),
    (
        "{to: '911', emergency: true, via: carrier-a, prepend: '9'}",
        "b.yaml:1:64: `prepend` on an emergency route; expected none: the number goes out as dialled",
    ),
    (
        "{to: '911', emergency: true, reject: 403}",
        "b.yaml:1:47: an emergency route with `reject`; expected `via`",
    ),
    (
        "{emergency: true, via: carrier-a}",
        "b.yaml:1:10: an emergency route without `to` takes every number; expected numbers, or the word emergency",
    ),
    (
        "{via: carrier-a, continue_on: [480, 486], stop_on: [403, 486]}",
        "b.yaml:1:67: 486 is in `stop_on` and in `continue_on`; expected each status in one of them",
    ),
    ("{via: carrier-a, stop_on: 200}", "b.yaml:1:36: `200` is no SIP failure; expected a status from 300 to 699"),
]


@pytest.mark.parametrize(("route", "error"), WRONG, ids=[route for route, _ in WRONG])
def test_no_route(errors, well, route, error):
    assert errors(well, f"routes: [{route}]") == [error]


def test_emergency_false_is_any_other_route(load, well):
    assert not load(well, "routes: [{emergency: false, strip: 1, via: office}]").routes[0].emergency


def warnings(policy):
    return [str(warning) for warning in policy.warnings]


@pytest.mark.parametrize("key", ["limits: {cps: 1}", "continue_on: 480", "stop_on: 480", "disaster: {reject: 480}"])
def test_what_means_nothing_in_emergencies_is_a_warning(load, well, key):
    policy = load(well, f"routes: [{{to: '911', emergency: true, via: carrier-a, {key}}}]")
    assert [w.split(": ", 1)[1] for w in warnings(policy)] == [
        f"`{key.split(':')[0]}` means nothing on an emergency route; it is exempt, and hunts to its end"
    ]


@pytest.mark.parametrize(
    ("route", "count"),
    [
        ("via: carrier-a, disaster: {reject: 480}", 1),
        ("reject: 403, disaster: {reject: 480}", 1),
        ("via: [carrier-a, office], disaster: {reject: 480}", 0),
        ("to: dids, disaster: {reject: 480}", 0),
    ],
)
def test_a_plan_on_a_route_that_goes_to_no_pbx_is_a_warning(load, well, route, count):
    said = [w for w in warnings(load(well, f"routes: [{{{route}}}]")) if "goes to no PBX" in w]
    assert len(said) == count


NO_WAY_OUT = (
    "a.yaml:5:3: no route with `emergency: true` is for `office`; emergency numbers get what the other routes say"
)
OUT = "{from: office, to: national, via: carrier-a}"

EMERGENCIES = [
    ([OUT], [NO_WAY_OUT]),
    (["{from: [office, carrier-a], via: carrier-a}"], [NO_WAY_OUT]),
    (["{from: carrier-a, via: carrier-a}"], []),
    (["{to: dids}"], []),
    ([OUT, "{from: office, to: '911', emergency: true, via: carrier-a}"], []),
    ([OUT, "{to: '911', emergency: true, via: carrier-a}"], []),
    ([OUT, "{from: carrier-a, to: '911', emergency: true, via: carrier-a}"], [NO_WAY_OUT]),
]


@pytest.mark.parametrize(("routes", "expected"), EMERGENCIES, ids=[" ".join(routes) for routes, _ in EMERGENCIES])
def test_a_pbx_with_a_way_out_but_none_for_emergencies_is_a_warning(load, well, routes, expected):
    assert warnings(load(well, f"routes: [{', '.join(routes)}]")) == expected


NO_HEALTH = "a.yaml:5:3: `office` has a disaster plan but no `health`; the plan waits for each call to fail first"


def test_a_plan_for_a_pbx_without_health_is_a_warning(load, well):
    plan = "disaster: {reject: 480}"
    assert warnings(load(well, f"routes: [{{to: dids, {plan}}}]")) == [NO_HEALTH]
    assert warnings(load(well, f"routes: [{{from: carrier-a, via: office, {plan}}}]")) == [NO_HEALTH]
    own = well.replace('dids: "+14155550100-+14155550199"', f"dids: [{{numbers: '100', {plan}}}]")
    assert warnings(load(own, "routes: [{to: dids}]")) == [NO_HEALTH]


@pytest.mark.parametrize("health", ["{}", "passive"])
def test_a_plan_for_a_pbx_with_health_is_none(load, well, health):
    watched = well.replace("office: {", f"office: {{health: {health}, ")
    assert warnings(load(watched, "routes: [{to: dids, disaster: {reject: 480}}]")) == []


def test_a_pbx_that_registers_is_down_when_its_binding_is_gone(load, well):
    watched = well.replace(
        "address: sip:127.0.0.30:5060", "registers: true, accept: any, auth: {username: o, password: {env: O}}"
    )
    policy = load(watched, "routes: [{to: dids, disaster: {reject: 480}}]", environment={"O": "x"})
    assert warnings(policy) == []


OPEN = (
    "`r` has no `from`, so that calls that come in on a trunk go out on `carrier-a` again; "
    "expected `from` with the pbxs that may call out"
)


HELP = "{to: '911', emergency: true, via: carrier-a}"
RELAYS = [
    ("{name: r, via: carrier-a}", True),
    ("{name: r, to: national, via: [office, carrier-a]}", True),
    ("{name: in, from: carrier-a, to: dids}, {name: r, via: carrier-a}", True),
    ("{name: in, from: carrier-a, via: office}, {name: r, via: carrier-a}", False),
    ("{name: bar, from: carrier-a, reject: 403}, {name: r, via: carrier-a}", False),
    ("{name: bar, reject: 403}, {name: r, via: carrier-a}", False),
    ("{name: r, from: office, via: carrier-a}", False),
    ("{name: r, from: carrier-a, via: carrier-a}", False),
    ("{name: r, to: '21', via: office}", False),
    ("{name: r, to: premium, reject: 403}", False),
]


@pytest.mark.parametrize(("routes", "is_open"), RELAYS, ids=[routes for routes, _ in RELAYS])
def test_a_way_out_for_everybody_is_an_open_relay_for_callers_from_outside(load, well, routes, is_open):
    found = warnings(load(well, f"routes: [{HELP}, {routes}]"))
    assert [w.split(": ", 1)[1] for w in found] == ([OPEN] if is_open else [])


TALK = "trunks:\n  x: {interface: outside, servers: sip:h, methods: [MESSAGE, OPTIONS]}\n"


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (
            "{from: [carrier-a, x], to: dids}",
            ["b.yaml:2:3: `x` has routes for its calls, but its `methods` lack INVITE; its calls get 405"],
        ),
        (
            "{from: carrier-a, to: '+4.', via: [office, x]}",
            [
                "b.yaml:2:3: calls go to `x`, whose `methods` lack INVITE; "
                "it cannot hold them, nor change them in another way"
            ],
        ),
        ("{from: carrier-a, to: dids}", []),
        ("{to: dids}", []),
    ],
)
def test_a_peer_with_calls_but_without_invite_is_a_warning(load, well, route, expected):
    policy = load(well, TALK, f"routes: [{route}]")
    assert [w for w in warnings(policy) if w.startswith("b.yaml")] == expected


def test_so_is_a_pbx_that_owns_numbers(load, well):
    pbx = 'pbxs:\n  x: {interface: inside, address: sip:h, dids: "+14155550200", methods: MESSAGE}\n'
    assert any("calls go to `x`" in warning for warning in warnings(load(well, pbx, "routes: [{to: dids}]")))
