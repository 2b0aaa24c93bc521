"""Provider profiles: each file is a whole policy, without an error, and with no warning but of passwords not here."""

from pathlib import Path

import pytest

POLICIES = Path(__file__).parents[2] / "policies"
PROFILES = sorted(path.name for path in (POLICIES / "providers").glob("*.yaml"))
DESK = "+14155550105"
MOBILE = "+14155559999"
LONDON = "+442079460000"


def test_the_kinds_that_everybody_meets_are_there():
    assert {
        "registration.yaml",
        "static-ip.yaml",
        "srv-failover.yaml",
        "bulk-registration.yaml",
        "cloud-phone-system.yaml",
        "teams.yaml",
    } <= set(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_each_file_is_a_whole_policy_that_warns_of_nothing_but_secrets(shipped, name):
    policy = shipped(f"providers/{name}")
    assert policy.routes
    assert set(policy.warnings) <= set(policy.unresolved)


@pytest.mark.parametrize("name", PROFILES)
def test_every_pbx_has_an_emergency_route_and_no_premium_numbers(shipped, ask, name):
    for peer in shipped(f"providers/{name}").peers.values():
        if peer.kind == "pbx":
            emergency, premium = ("999", "09098790000") if "two-accounts" in name else ("911", "19005550123")
            assert shipped(f"providers/{name}").has_emergency_route(peer.name)
            assert ask(f"providers/{name}", peer.name, emergency, "")[1][0][1] == emergency
            assert ask(f"providers/{name}", peer.name, premium, "") == ("no-premium", 403)


@pytest.mark.parametrize("name", PROFILES)
def test_each_is_named_in_the_list_of_policies(name):
    assert f"`{name}`" in (POLICIES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "teams.yaml"])
def test_none_but_the_one_of_a_single_service_names_a_host_or_an_address_of_somebody_real(name):
    """RFC 2606, RFC 6761: example.com, .net and .org; RFC 5737 and RFC 1918: addresses."""
    text = (POLICIES / "providers" / name).read_text(encoding="utf-8")
    for words in text.replace('"', " ").replace(",", " ").replace(":", " ").replace("[", " ").split():
        word = words.strip("]}();/").partition("/")[0]
        if word.count(".") == 3 and word.replace(".", "").isdecimal():
            assert word.startswith(("192.0.2.", "198.51.100.", "203.0.113.", "10."))
        if word.endswith((".com", ".net", ".org")):
            assert word.rsplit("@")[-1].split(".")[-2] == "example"


@pytest.mark.parametrize(
    ("name", "peer", "called", "caller", "expected"),
    [
        ("registration", "office", "4155559999", DESK, ("outbound", (("carrier", MOBILE, DESK),))),
        ("registration", "office", LONDON, DESK, (None, 404)),
        ("registration", "carrier", "+14155550105", LONDON, ("inbound", (("office", DESK, LONDON),))),
        ("static-ip", "office", LONDON, DESK, ("outbound", (("carrier", LONDON, DESK),))),
        ("static-ip", "office", "+33123456789", DESK, (None, 404)),
        ("static-ip", "carrier", "14155550105", LONDON, ("inbound", (("office", DESK, LONDON),))),
        (
            "srv-failover",
            "office",
            "4155559999",
            DESK,
            ("outbound", (("main", MOBILE, DESK), ("spare", "14155559999", "14155550105"))),
        ),
        ("srv-failover", "spare", "14155550105", "442079460000", ("inbound", (("office", DESK, LONDON),))),
        ("bulk-registration", "office", LONDON, DESK, ("outbound", (("carrier", LONDON, DESK),))),
        ("bulk-registration", "carrier", DESK, LONDON, ("inbound", (("office", DESK, LONDON),))),
        ("cloud-phone-system", "cloud", "933", DESK, ("emergency", (("carrier", "933", DESK),))),
        ("cloud-phone-system", "cloud", LONDON, DESK, ("outbound", (("carrier", LONDON, DESK),))),
        ("cloud-phone-system", "carrier", DESK, LONDON, ("inbound", (("cloud", DESK, LONDON),))),
        ("teams", "teams", "+33123456789", DESK, ("outbound", (("carrier", "+33123456789", DESK),))),
        ("teams", "carrier", DESK, LONDON, ("inbound", (("teams", DESK, LONDON),))),
        (
            "two-accounts",
            "first",
            "02079461234",
            "02079460105",
            ("out-1", (("account-1", "02079461234", "02079460105"),)),
        ),
        (
            "two-accounts",
            "account-1",
            "02079460105",
            "00" + MOBILE[1:],
            ("in-1", (("first", "02079460105", "00" + MOBILE[1:]),)),
        ),
        ("two-accounts", "account-2", "02079460105", "", (None, 404)),
        ("two-accounts", "account-2", "02079460219", "", ("in-2", (("second", "+442079460219", ""),))),
    ],
)
def test_where_calls_go(ask, name, peer, called, caller, expected):
    assert ask(f"providers/{name}.yaml", peer, called, caller) == expected


@pytest.mark.parametrize(
    ("name", "peer", "expected"),
    [
        ("static-ip", "carrier", ((("carrier", MOBILE, LONDON),), 0)),
        ("srv-failover", "main", ((("main", MOBILE, LONDON), ("spare", "14155559999", "442079460000")), 480)),
        ("cloud-phone-system", "carrier", ((("carrier", MOBILE, LONDON),), 0)),
        ("registration", "carrier", ((), 0)),
    ],
)
def test_where_calls_go_when_the_pbx_is_down(ask_when_down, name, peer, expected):
    assert ask_when_down(f"providers/{name}.yaml", peer, DESK, LONDON) == expected


def test_two_accounts_at_one_carrier_are_told_apart_by_what_each_registered(shipped):
    policy = shipped("providers/two-accounts.yaml")
    candidates = policy.speakers("outside", "192.0.2.11", 5060)
    assert [peer.name for peer in candidates] == ["account-1", "account-2"]
    for user, expected in (("1000001", "account-1"), ("1000002", "account-2")):
        assert policy.which(candidates, user, "02079460219", None).name == expected
    assert policy.which(candidates, "unknown", "02079460219", None).name == "account-2"
