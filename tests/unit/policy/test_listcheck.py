"""Peers that may come from the same place, some with a revocation list: met by `check`, with its place."""

import pytest

from sbc.policy.load import load_policy
from sbc.policy.problems import PolicyError
from sbc.testing.certificates import Authority

INTERFACES = """\
interfaces:
  inside: {sip: tls:127.0.0.10:5061, media: 127.0.0.10, tls: {certificate: own.pem, key: own.key}}
  outside:
    sip: [udp:127.0.0.20:5060, tls:127.0.0.20:5061]
    media: 127.0.0.20
    tls: {certificate: own.pem, key: own.key, authorities: ca.pem%s}
trunks:
"""
AUTHORITY = Authority()
LISTED = "authorities: ca.pem, crl: crl.pem"


@pytest.fixture
def found(tmp_path):
    """Errors and warnings about lists, of trunks with these keys of `tls`, all at one address on `outside`."""
    AUTHORITY.issue("sbc.example").write(tmp_path, "own")
    (tmp_path / "ca.pem").write_text(AUTHORITY.pem)
    (tmp_path / "crl.pem").write_text(AUTHORITY.crl())

    def read(*peers, interface=""):
        text = INTERFACES % (f", {interface}" if interface else "")
        (tmp_path / "a.yaml").write_text(text + "".join(f"  {peer}\n" for peer in peers))
        try:
            kind, problems = "warning", load_policy([tmp_path / "a.yaml"]).warnings
        except PolicyError as error:
            kind, problems = "error", error.problems
            assert all("revocation list" in problem.wrong for problem in problems), problems
        return [
            (problem.where.line, problem.where.column, f"{kind}: {problem.wrong}")
            for problem in problems
            if "revocation list" in problem.wrong
        ]

    return read


def trunk(name, tls, *, more="", server="192.0.2.1", interface="outside"):
    servers = f"servers: 'sip:{server};transport=tls'"
    return f"{name}: {{interface: {interface}, {servers}, tls: {{domain: {name}.example, {tls}}}{more}}}"


def test_who_has_to_prove_himself_and_could_not_is_an_error(found):
    has = trunk("a", f"identity: certificate, {LISTED}")
    lacks = trunk("b", "identity: certificate, authorities: ca.pem")
    words = (
        "error: `a` has a revocation list and `b`, which may come from 192.0.2.1/32 on `outside` as well, has none: "
        "it is refused where it connects to us"
    )
    assert found(has, lacks) == [(8, 3, words)]
    assert found(lacks, has) == [(9, 3, words)]


def test_whose_address_is_enough_is_warned_of(found):
    ((line, _, words),) = found(trunk("a", LISTED), trunk("b", "identity: certificate"))
    assert line == 8
    assert words.startswith("warning: ")
    assert words.endswith("it proves nothing where it connects to us")


def test_a_list_of_the_interface_does_not_hold_for_who_has_authorities_of_his_own(found):
    both = trunk("a", "identity: certificate"), trunk("b", "identity: certificate")
    assert found(*both, interface="crl: crl.pem") == []
    own = trunk("b", "identity: certificate, authorities: ca.pem")
    ((line, _, _),) = found(both[0], own, interface="crl: crl.pem")
    assert line == 8


def test_who_may_come_from_anywhere_may_come_from_there_too(found):
    def branch(interface, tls=""):
        keys = "accept: any, transports: tls, auth: {username: b, password: s3cret}, dids: ['+14155550100']"
        return f"pbxs:\n  b: {{interface: {interface}, registers: true, {keys}{tls}}}"

    has = trunk("a", f"identity: certificate, {LISTED}")
    proves = ", tls: {domain: b.example, identity: certificate}"
    ((line, _, words),) = found(has + "\n" + branch("outside", proves))
    assert line == 8
    assert "`b`, which may come from 192.0.2.1/32 on `outside` as well" in words
    assert found(has + "\n" + branch("inside", proves)) == []
    assert found(has + "\n" + branch("outside")) == []  # it is not asked for a certificate


@pytest.mark.parametrize(
    "other",
    [
        trunk("b", "identity: certificate, " + LISTED),
        trunk("b", "identity: certificate", server="192.0.2.2"),
        trunk("b", "identity: address"),
        trunk("b", "identity: certificate", interface="inside"),
        "b: {interface: outside, servers: 'sip:192.0.2.1;transport=udp', transports: udp, domain: b.example}",
    ],
)
def test_no_word_about_who_does_not_stand_in_the_way(found, other):
    assert found(trunk("a", f"identity: certificate, {LISTED}"), other) == []
