"""The example policy `quickstart`, run as an operator would: it loads without a warning and calls go where it says."""

from pathlib import Path

import pytest

from sbc.policy.explain import explain
from sbc.policy.load import load_policy
from sbc.policy.model import Facts

QUICKSTART = Path(__file__).parents[2] / "policies" / "quickstart"


@pytest.fixture(scope="module")
def policy():
    return load_policy([QUICKSTART])


def test_it_loads_without_a_warning(policy):
    assert policy.warnings == ()
    assert list(policy.peers) == ["office", "carrier-a"]


def test_it_knows_its_two_peers_by_their_addresses_and_nobody_else(policy):
    assert policy.identify("inside", "127.0.0.30", 5060) is policy.peers["office"]
    assert policy.identify("outside", "127.0.0.40", 5060) is policy.peers["carrier-a"]
    assert policy.identify("outside", "127.0.0.30", 5060) is None
    assert policy.identify("inside", "127.0.0.1", 5060) is None


@pytest.mark.parametrize(
    ("peer", "called", "expected"),
    [
        ("office", "911", ("emergency", "carrier-a", "911", 180.0)),
        ("office", "4155559999", ("outbound", "carrier-a", "+14155559999", 120.0)),
        ("office", "+442079460000", ("outbound", "carrier-a", "+442079460000", 120.0)),
        ("carrier-a", "+14155550123", ("inbound", "office", "+14155550123", 180.0)),
        ("carrier-a", "14155550199", ("inbound", "office", "+14155550199", 180.0)),
    ],
)
def test_where_calls_go(policy, peer, called, expected):
    decision = policy.decide(Facts(peer, called, "+14155550100"))
    target = decision.hunt[0]
    assert (decision.route, target.peer.name, target.called, target.no_answer) == expected


@pytest.mark.parametrize(
    ("peer", "called", "status"),
    [
        ("office", "19005551234", 403),
        ("office", "011331234567", 404),
        ("carrier-a", "+14155550200", 404),
        ("office", "100", 404),
    ],
)
def test_what_is_refused(policy, peer, called, status):
    assert policy.decide(Facts(peer, called, "+14155550100")).reject == status


def test_reasons_cite_the_files(policy):
    assert "routes.yaml:16:5: outbound: matched" in explain(policy, Facts("office", "4155559999", "100"))


def test_the_tutorial_shows_what_why_really_answers(monkeypatch):
    root = QUICKSTART.parents[1]
    monkeypatch.chdir(root)
    shown = explain(load_policy(["policies/quickstart"]), Facts("office", "4155559999", ""))
    assert shown in (root / "policies" / "README.md").read_text(encoding="utf-8")
