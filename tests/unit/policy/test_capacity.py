# ruff: noqa: E501 (tables of exact texts)
"""Call paths, pools, limits: every form, and what contradicts itself."""

import pytest

from sbc.policy.model import Limits, PathRules, WhenFull


def trunk(keys: str) -> str:
    return f"trunks:\n  x: {{interface: outside, servers: sip:x.example, {keys}}}\n"


FORMS = [
    ("24", PathRules(24)),
    ("{total: 24}", PathRules(24)),
    ("{packs: 6, pack_size: 4, inbound: 20}", PathRules(24, inbound=20)),
    ("{total: 24, outbound: 0, reserve: {emergency: 1, inbound: 2}}", PathRules(24, None, 0, 1, 2, 0)),
    ("{inbound: 20, outbound: 10}", PathRules(None, 20, 10)),
    ("{pool: acme, inbound: 30, reserve: {outbound: 30}}", PathRules(30, 30, None, 0, 0, 30, "acme")),
]


@pytest.mark.parametrize(("text", "rules"), FORMS, ids=[text for text, _ in FORMS])
def test_call_paths_in_every_form(load, well, text, rules):
    policy = load(well, "path_pools: {acme: 30}\n" + trunk(f"call_paths: {text}"))
    assert policy.peers["x"].paths == rules
    assert policy.path_rules == {"x": rules}


def test_without_call_paths_there_is_no_limit(load, well):
    assert load(well).peers["carrier-a"].paths is None


WRONG = [
    ("0", "b.yaml:2:63: `0` is not a number from 1 to 100000; expected 1 to 100000"),
    ("{}", "b.yaml:2:63: `call_paths` says nothing; expected total, packs and pack_size, or pool"),
    (
        "{total: 4, pool: acme}",
        "b.yaml:2:80: both `total` and `pool` say how many call paths there are; expected one of total, packs with pack_size, pool",
    ),
    ("{packs: 4}", "b.yaml:2:71: `packs` without `pack_size`; expected both"),
    ("{pack_size: 4, total: 4}", "b.yaml:2:75: `pack_size` without `packs`; expected both"),
    ("{total: 4, inbound: 5}", "b.yaml:2:83: `inbound` 5 of 4 call paths; expected at most 4"),
    ("{total: 4, outbound: 5}", "b.yaml:2:84: `outbound` 5 of 4 call paths; expected at most 4"),
    (
        "{total: 4, reserve: {emergency: 1, inbound: 2, outbound: 2}}",
        "b.yaml:2:83: 5 call paths are reserved of 4; expected at most 4 in all",
    ),
    (
        "{inbound: 2, total: 4, reserve: {inbound: 3}}",
        "b.yaml:2:95: 3 call paths are kept for `inbound`, which may use 2; expected at most 2",
    ),
    (
        "{inbound: 2, reserve: {emergency: 1}}",
        "b.yaml:2:85: a reserve of unlimited paths; expected total, packs or pool as well",
    ),
    ("{pool: acm}", "b.yaml:2:63: `acm` is no path pool; did you mean `acme`?"),
    ("{pool: acme, inbound: 31}", "b.yaml:2:63: `inbound` 31 of 30 call paths; expected at most 30"),
    (
        "{pool: acme, reserve: {emergency: 31}}",
        "b.yaml:2:63: 31 call paths are reserved of 30; expected at most 30 in all",
    ),
    ("{total: 4, reserve: 1}", "b.yaml:2:83: `reserve` is a text; expected a mapping"),
]


@pytest.mark.parametrize(("text", "error"), WRONG, ids=[text for text, _ in WRONG])
def test_call_paths_that_contradict_themselves(errors, well, text, error):
    assert errors(well, trunk(f"call_paths: {text}"), "path_pools: {acme: 30}") == [error]


def test_a_pool_without_any_pools_says_where_it_is_expected(errors, well):
    assert errors(well, trunk("call_paths: {pool: acme}")) == [
        "b.yaml:2:63: `acme` is no path pool; expected it in the section path_pools"
    ]


def test_a_pool_that_nobody_uses_is_a_warning(load, well):
    policy = load(well, "path_pools: {acme: 30}", "routes: [{to: dids}]")
    assert [str(warning) for warning in policy.warnings] == [
        "b.yaml:1:14: no trunk uses the pool `acme`; expected call_paths: {pool: …} on a trunk"
    ]


def test_what_is_answered_when_paths_are_full(load, errors, well):
    assert load(well, trunk("when_full: {inbound: 503}")).peers["x"].when_full == WhenFull(503, 503)
    assert load(well).peers["carrier-a"].when_full == WhenFull(503, 486)
    (found,) = errors(well, trunk("when_full: {outbound: 302}"))
    assert "`302` is no SIP failure; expected a status from 400 to 699" in found


def test_rates(load, well):
    policy = load(well, trunk("cps: 10"), "sbc: {cps: 50}")
    assert (policy.cps, policy.peers["x"].cps, policy.peers["carrier-a"].cps) == (50, 10, None)


def test_limits_of_pbxs_and_routes(load, well):
    policy = load(
        well,
        "pbxs: {x: {interface: inside, address: sip:x, "
        "limits: {call_paths: 40, cps: 5, minutes_per_day: 6000, max_duration: 4h}}}\n"
        "routes: [{via: x, limits: {minutes_per_day: 1}}]",
    )
    assert policy.peers["x"].limits == Limits(40, 5, 6000, 14_400.0)
    assert policy.routes[0].limits == Limits(minutes_per_day=1)
    assert policy.peers["office"].limits is None


@pytest.mark.parametrize(
    "limit", ["call_paths: 0", "cps: 0", "minutes_per_day: 0", "max_duration: 0s", "max_duration: 5", "x: 1"]
)
def test_a_limit_is_something(errors, well, limit):
    assert len(errors(well, f"routes: [{{via: office, limits: {{{limit}}}}}]")) == 1
