"""`register` of trunks: the AOR, what follows from it, and what an operator may have forgotten."""

import pytest


def trunk(register: str, more: str = "") -> str:
    return f"trunks:\n  x: {{interface: outside, servers: sip:x.example, register: {register}{more}}}\n"


AUTH = ", auth: {username: a, password: {env: A}}"


def test_every_key_reaches_its_value(load, well):
    text = trunk('{aor: "sip:+14155550100@Carrier.Example", expires: 60s, gin: true, keepalive: 0s}', AUTH)
    register = load(well, text).peers["x"].register
    assert (register.user, register.host) == ("+14155550100", "carrier.example")
    assert (register.expires, register.gin, register.keepalive) == (60.0, True, 0.0)


def test_an_aor_is_enough(load, well):
    register = load(well, trunk("{aor: sip:a@h.example}", AUTH)).peers["x"].register
    assert (register.expires, register.gin, register.keepalive) == (600.0, False, 30.0)


def test_the_domain_is_that_of_the_aor_unless_it_is_named(load, well):
    aor = "{aor: sip:a@h.example}"
    assert load(well, trunk(aor, AUTH)).peers["x"].domain == "h.example"
    assert load(well, trunk(aor, AUTH + ", domain: d.example")).peers["x"].domain == "d.example"
    assert load(well).peers["carrier-a"].domain is None


def test_a_static_trunk_registers_nowhere(load, well):
    assert load(well, trunk("false")).peers["x"].register is None


def test_registering_without_an_account_is_a_warning(load, well):
    policy = load(well, trunk("{aor: sip:a@h.example}"), "routes: [{to: dids}]")
    assert [str(warning) for warning in policy.warnings] == [
        "b.yaml:2:3: `x` registers without `auth`; a carrier that challenges refuses it"
    ]


WRONG = [
    ("true", "`register` without an AOR; expected {aor: sip:USER@HOST}, or false"),
    ("{}", "`register` has no `aor`; expected sip:USER@HOST or sips:USER@HOST"),
    (
        "{aor: sip:h.example}",
        "this is no address of record; expected sip:USER@HOST, such as sip:+14155550100@carrier.example",
    ),
    ("{aor: sip:a@h, expires: 30s}", "`30s` is out of range; expected 60s to 1d"),
    ("{aor: sip:a@h, expires: 2d}", "`2d` is out of range; expected 60s to 1d"),
    ("{aor: sip:a@h, gin: yes}", "`yes` is neither true nor false; expected true or false"),
]


@pytest.mark.parametrize(("text", "error"), WRONG, ids=[text for text, _ in WRONG])
def test_no_registration(errors, well, text, error):
    assert [line.split(": ", 1)[1] for line in errors(well, trunk(text))] == [error]
