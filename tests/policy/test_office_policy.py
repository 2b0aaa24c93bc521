"""The example policy `office`: two sites, two carriers, and what happens when one of them is gone."""

import pytest

from sbc.policy.explain import dry_run
from sbc.policy.model import Facts

DESK = "+14155550115"
MOBILE = "+14155559999"
LONDON = "+442079460000"


def test_it_loads_without_a_warning(shipped):
    policy = shipped("office")
    assert policy.warnings == policy.unresolved == ()
    assert list(policy.peers) == ["office", "branch", "carrier-a", "carrier-b"]


def test_it_knows_its_peers_by_their_addresses(shipped):
    policy = shipped("office")
    for interface, host, name in (
        ("inside", "127.0.0.30", "office"),
        ("inside", "127.0.0.31", "branch"),
        ("outside", "127.0.0.41", "carrier-a"),
        ("outside", "127.0.0.50", "carrier-b"),
    ):
        assert policy.identify(interface, host, 33_000) is policy.peers[name]
    assert policy.identify("outside", "127.0.0.42", 5060) is None


@pytest.mark.parametrize(
    ("peer", "called", "caller", "expected"),
    [
        ("office", "911", DESK, ("emergency", (("carrier-a", "911", DESK), ("carrier-b", "911", "14155550115")))),
        ("branch", "112", "", ("emergency", (("carrier-a", "112", ""), ("carrier-b", "112", "")))),
        ("office", "19005550123", DESK, ("no-premium", 403)),
        ("office", "4155550212", DESK, ("between-sites", (("branch", "0212", "4155550115"),))),
        ("branch", "4155550112", "+14155550212", ("between-sites", (("office", "+14155550112", "+14155550212"),))),
        ("office", LONDON, DESK, ("abroad", (("carrier-a", LONDON, DESK),))),
        ("office", "18765550123", DESK, ("abroad", (("carrier-a", "+18765550123", DESK),))),
        ("office", LONDON, "+14155550100", (None, 404)),
        ("branch", LONDON, DESK, (None, 404)),
        (
            "office",
            "4155559999",
            DESK,
            ("outbound", (("carrier-a", MOBILE, DESK), ("carrier-b", "4155559999", "14155550115"))),
        ),
        ("carrier-a", "+14155550123", LONDON, ("inbound", (("office", "+14155550123", LONDON),))),
        ("carrier-b", "4155550212", "442079460000", ("inbound", (("branch", "0212", "011442079460000"),))),
        ("carrier-a", MOBILE, LONDON, (None, 404)),
        ("carrier-a", "911", LONDON, (None, 404)),
    ],
)
def test_where_calls_go(ask, peer, called, caller, expected):
    assert ask("office", peer, called, caller) == expected


@pytest.mark.parametrize(
    ("called", "targets", "reject"),
    [
        (
            "+14155550123",
            (
                ("carrier-b", "4155559999", "442079460000"),
                ("carrier-a", MOBILE, LONDON),
                ("branch", "0123", "011442079460000"),
            ),
            480,
        ),
        (
            "+14155550100",
            (
                ("carrier-a", "+14155559998", LONDON),
                ("carrier-b", "4155559998", "442079460000"),
                ("branch", "0100", "011442079460000"),
            ),
            0,
        ),
        ("+14155550212", (("carrier-b", "4155559999", "442079460000"), ("carrier-a", MOBILE, LONDON)), 480),
    ],
)
def test_where_calls_go_when_a_pbx_is_down(ask_when_down, called, targets, reject):
    assert ask_when_down("office", "carrier-a", called, LONDON) == (targets, reject)


def test_what_is_capped(shipped):
    policy = shipped("office")
    assert (policy.cps, policy.peers["carrier-a"].cps) == (50, 10)
    assert {name: rules.total for name, rules in policy.path_rules.items()} == {"carrier-a": 24, "carrier-b": 8}
    assert policy.peers["office"].limits.max_duration == 4 * 3600
    decision = policy.decide(Facts("office", LONDON, DESK))
    assert (decision.rule.limits.call_paths, decision.rule.limits.max_duration) == (4, 3600)


def test_why_shows_the_plan_and_the_caps(shipped):
    text = dry_run(shipped("office"), Facts("carrier-a", "+14155550123", LONDON)).text
    assert "forward to +14155559999 via carrier-b, carrier-a" in text
    assert "call paths 24, 1 kept for emergencies; when full, 486" in text


def test_what_each_peer_may_do_in_a_call(shipped):
    peers = shipped("office").peers
    assert {name: (peer.transfer, peer.redirect) for name, peer in peers.items()} == {
        "office": ("terminate", "follow"),
        "branch": ("terminate", "follow"),
        "carrier-a": ("refuse", "refuse"),
        "carrier-b": ("refuse", "refuse"),
    }
    assert {name for name, peer in peers.items() if "MESSAGE" in peer.methods} == {"office", "branch"}
    assert (peers["branch"].dtmf, peers["carrier-b"].t38) == ("info", "refuse")


def test_marks_of_the_office_stay_away_from_the_main_carrier(shipped):
    peers = shipped("office").peers
    assert peers["office"].headers.passed == peers["carrier-a"].headers.removed == ("X-Account-*",)
