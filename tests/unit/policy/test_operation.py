"""The keys of `sbc:` about who may look, what is logged and where records go."""

import pytest

from sbc.policy.load import PolicyError
from sbc.policy.model import CdrRules, LogRules


def problems(load, text, **more):
    with pytest.raises(PolicyError) as caught:
        load(text, **more)
    return [str(problem) for problem in caught.value.problems]


def test_nothing_is_asked_for_by_default(load, well):
    policy = load(well)
    assert (policy.admin_token, policy.log, policy.hep, policy.cdr) == (None, LogRules(), None, CdrRules())


def test_an_address_beyond_loopback_takes_a_token(load, well):
    assert "there is no `admin_token`" in problems(load, well + "sbc: {admin: '192.0.2.1:8088'}")[0]
    policy = load(well + "sbc: {admin: '192.0.2.1:8088', admin_token: {env: T}}", environment={"T": "x" * 16})
    assert policy.admin_token.text == "x" * 16


def test_a_token_that_can_be_guessed_is_refused(load, well):
    found = problems(load, well + "sbc: {admin_token: {env: T}}", environment={"T": "x" * 15})
    assert "too short" in found[0]
    assert "xxx" not in found[0]


def test_a_token_that_cannot_be_had_is_said_and_keeps_the_program_down(load, well):
    policy = load(well + "sbc: {admin: '192.0.2.1:8088', admin_token: {env: T}}", environment={})
    assert (policy.admin_token, len(policy.unresolved)) == (None, 1)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("hep: {server: 'tcp:192.0.2.5:9060'}", "is not a capture server"),
        ("hep: {server: 'udp:homer.example:9060'}", "is not a capture server"),
        ("hep: {server: 'udp:192.0.2.5'}", "is not a capture server"),
        ("hep: {server: 'udp:0.0.0.0:9060'}", "is not one host's address"),
        ("hep: {server: 'udp:224.0.0.1:9060'}", "is not one host's address"),
        ("hep: {server: 'udp:255.255.255.255:9060'}", "is not one host's address"),
        ("hep: {server: 'udp:[ff02::1]:9060'}", "is not one host's address"),
        ("hep: {node: 1}", "has no `server`"),
        ("cdr: {keep: 1h}", "is out of range"),
        ("cdr: {keep: 400000d}", "is out of range"),
        ("cdr: {postgres: {url: 'postgresql://sbc:hunter2@db/sbc'}}", "the URL holds a password"),
        ("cdr: {postgres: {url: 'postgresql://db/sbc?password=hunter2'}}", "the URL holds a password"),
        ("cdr: {postgres: {url: 'postgresql://db/sbc?p%61ssword=hunter2'}}", "the URL holds a password"),
        ("cdr: {postgres: {url: 'postgresql://db/sbc#?password=hunter2'}}", "the URL holds a password"),
        ("cdr: {postgres: {url: 'postgresql://db/sbc?a=b&sslpassword=hunter2'}}", "the URL holds a password"),
        ("cdr: {postgres: {url: 'mysql://db/sbc'}}", "no URL of PostgreSQL"),
        ("cdr: {postgres: {}}", "has no `url`"),
        ("log: {numbers: some}", "is not a choice here"),
    ],
)
def test_what_cannot_be_meant(load, well, text, wrong):
    found = problems(load, f"{well}sbc: {{{text}}}")
    assert wrong in found[0]
    assert "hunter2" not in found[0]


def test_records_may_stay_for_ever(load, well):
    assert load(well + "sbc: {cdr: {keep: forever}}").cdr.keep is None
