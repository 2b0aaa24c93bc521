"""What a next hop means now: kept until an answer changes it, drawn anew each time, fresh for watched servers."""

from collections import Counter

import pytest

from sbc.core import limits
from sbc.core.commands import Log
from sbc.sip.commands import LookUp
from sbc.sip.events import LookedUp
from sbc.sip.locate import News, Unlocated

from .dns import Rig, udp

URI = "sip:gw.example;transport=udp"
WATCHED = (URI, "outside")


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def dns(rig):
    """One name with a primary and two that share what is left."""
    dns = rig.dns
    dns.srv(
        "_sip._udp.gw.example",
        (10, 70, 5060, "a.example"), (10, 30, 5060, "b.example"), (20, 0, 5060, "c.example"),
    )  # fmt: skip
    dns["a.example"], dns["b.example"], dns["c.example"] = ["192.0.2.10"], ["192.0.2.20"], ["192.0.2.30"]
    return dns


def move(rig, name, *addresses):
    rig.dns[name] = addresses
    rig.locator.learn(LookedUp(name, "A", addresses), rig.now)


# --- candidates -------------------------------------------------------------------------------------------------------


def test_a_thousand_calls_are_spread_by_weight_and_priorities_are_strict(rig, dns):
    rig.found(URI)
    orders = [rig.candidates(URI) for _ in range(1000)]
    assert all(len(order) == 3 and order[2] == udp("192.0.2.30") for order in orders)
    firsts = Counter(order[0].remote.host for order in orders)
    expected = {"192.0.2.10": 700, "192.0.2.20": 300}
    chi_square = sum((firsts[host] - often) ** 2 / often for host, often in expected.items())
    assert chi_square < 15.2, firsts  # one degree of freedom, 99.99 %
    assert rig.asks() == [], "nothing is asked again for a call"


def test_the_first_candidate_is_where_a_single_request_goes(rig):
    rig.dns["gw.example"] = ["192.0.2.8", "192.0.2.9"]
    rig.found("sip:gw.example:5060")
    assert rig.locator.locate("sip:gw.example:5060", "outside", 0.0) == udp("192.0.2.8")
    assert isinstance(rig.locator.locate("tel:911", "outside", 0.0), Unlocated)


def test_a_change_counts_for_the_next_call(rig, dns):
    rig.found(URI)
    move(rig, "c.example", "192.0.2.31")
    assert rig.candidates(URI)[2] == udp("192.0.2.31")


def test_a_name_that_is_used_after_its_lifetime_serves_once_more_and_is_asked_again(rig, dns):
    rig.found(URI)
    rig.now = 61.0
    assert len(rig.candidates(URI)) == 3
    asked = rig.asks()
    assert LookUp("_sip._udp.gw.example", "SRV") in asked
    assert len(asked) == 7, "SRV, and both families of three targets"
    rig.candidates(URI)
    assert rig.asks() == [], "once, not for every call"


@pytest.mark.parametrize("watched", [[], [WATCHED]])
def test_a_dead_resolver_changes_nothing(rig, dns, watched):
    rig.locator.watch(watched, 0.0)
    rig.found(URI)
    dns.failing |= {"_sip._udp.gw.example", "a.example", "b.example", "c.example"}
    for hours in range(50):
        rig.now = 61.0 + hours * 3600.0
        assert len(rig.candidates(URI)) == 3
        rig.answers()


def test_no_such_name_is_believed(rig, dns):
    rig.found(URI)
    dns.srv("_sip._udp.gw.example")
    rig.locator.learn(LookedUp("_sip._udp.gw.example", "SRV"), 1.0)
    assert rig.found(URI) == Unlocated("gw.example has no address")


@pytest.mark.parametrize("name", ["", ".", "..", "a" * 500, "*", "xn--", "a..b"])
def test_names_that_cannot_be_are_names_without_an_address(rig, name):
    found = rig.found(f"sip:{name}:5060")
    assert isinstance(found, Unlocated)
    assert not found.is_pending


# --- watched servers --------------------------------------------------------------------------------------------------


def test_a_watched_server_is_looked_up_without_being_used(rig, dns):
    rig.locator.watch([WATCHED], 0.0)
    assert rig.locator.watched() == (WATCHED,)
    rig.answers()
    assert len(rig.candidates(URI)) == 3


def test_what_a_watched_server_rests_on_is_fresh_for_ever_and_no_call_waits(rig, dns):
    rig.locator.watch([WATCHED], 0.0)
    rig.answers()
    for _ in range(100):
        rig.now = rig.locator.next_deadline()
        rig.dns.asked.clear()
        rig.answers()
        assert rig.dns.asked
        assert all(known.expires_at > rig.now for known in rig.locator._names._known.values() if known.records)
    assert rig.now > 90 * 60 * 0.5


def test_news_of_watched_servers_are_told_once(rig, dns):
    rig.locator.watch([WATCHED], 0.0)
    rig.answers()
    assert rig.locator.news() == News((WATCHED,), {"gw.example": ("192.0.2.10", "192.0.2.20", "192.0.2.30")})
    assert rig.locator.news() == News()
    move(rig, "a.example", "192.0.2.10")
    assert rig.locator.news() == News(), "the same again is none"


def test_a_host_speaks_from_all_addresses_of_all_servers_that_bear_its_name(rig, dns):
    dns["gw.example"] = ["192.0.2.99"]
    rig.locator.watch([WATCHED, ("sip:gw.example:5070", "outside")], 0.0)
    rig.answers()
    news = rig.locator.news()
    assert set(news.addresses["gw.example"]) == {"192.0.2.10", "192.0.2.20", "192.0.2.30", "192.0.2.99"}
    move(rig, "gw.example", "192.0.2.98")
    news = rig.locator.news()
    assert news.servers == (("sip:gw.example:5070", "outside"),)
    assert {"192.0.2.10", "192.0.2.98"} <= set(news.addresses["gw.example"])


# BOUND: GONE_ADDRESS_SECONDS
def test_who_is_gone_may_speak_for_another_hour_because_of_its_calls(rig, dns):
    rig.locator.watch([WATCHED], 0.0)
    rig.answers()
    rig.now = 100.0
    move(rig, "a.example", "192.0.2.11")
    assert rig.locator.addresses_of(*WATCHED) == ("192.0.2.11", "192.0.2.20", "192.0.2.30", "192.0.2.10")
    rig.locator.news()
    rig.now = 99.0 + limits.GONE_ADDRESS_SECONDS
    move(rig, "a.example", "192.0.2.11")
    assert "192.0.2.10" in rig.locator.addresses_of(*WATCHED)
    rig.now = 100.0 + limits.GONE_ADDRESS_SECONDS
    move(rig, "a.example", "192.0.2.11")
    assert rig.locator.addresses_of(*WATCHED) == ("192.0.2.11", "192.0.2.20", "192.0.2.30")
    assert rig.locator.news().servers == (WATCHED,)


def test_addresses_of_servers_that_are_not_watched(rig, dns):
    assert rig.locator.addresses_of(*WATCHED) == ()
    rig.found(URI)
    assert rig.locator.addresses_of(*WATCHED) == ("192.0.2.10", "192.0.2.20", "192.0.2.30")
    rig.candidates("sip:192.0.2.77")
    assert rig.locator.addresses_of("sip:192.0.2.77", "outside") == ("192.0.2.77",)


def test_a_target_that_is_no_longer_named_is_no_longer_asked_for(rig, dns):
    rig.locator.watch([WATCHED], 0.0)
    rig.answers()
    dns.srv("_sip._udp.gw.example", (10, 0, 5060, "b.example"))
    for _ in range(20):
        rig.now = rig.locator.next_deadline()
        rig.answers()
    dns.asked.clear()
    for _ in range(10):
        rig.now = rig.locator.next_deadline()
        rig.answers()
    assert {one.name for one in dns.asked} == {"_sip._udp.gw.example", "b.example"}


def test_half_an_answer_does_not_displace_the_whole_one_before(rig, dns):
    rig.locator.watch([WATCHED], 0.0)
    rig.answers()
    rig.locator.news()
    dns.srv("_sip._udp.gw.example", (10, 0, 5060, "new.example"))
    rig.locator.learn(dns.answer(LookUp("_sip._udp.gw.example", "SRV")), 1.0)
    assert rig.locator.news() == News()
    assert len(rig.locator.addresses_of(*WATCHED)) == 3


def test_a_reload_keeps_what_is_known_and_leaves_the_rest(rig, dns):
    other = ("sip:other.example:5060", "outside")
    dns["other.example"] = ["192.0.2.50"]
    rig.locator.watch([WATCHED, other], 0.0)
    rig.answers()
    dns.asked.clear()
    rig.locator.watch([other], 1.0)
    assert rig.locator.watched() == (other,)
    rig.answers()
    assert not dns.asked
    for _ in range(5):
        rig.now = rig.locator.next_deadline()
        rig.answers()
    assert {one.name for one in dns.asked} == {"other.example"}
    rig.locator.watch([], rig.now)
    assert rig.locator.next_deadline() is None


def test_an_address_that_is_watched_needs_nobody(rig):
    rig.locator.watch([("sip:192.0.2.9:5060", "outside"), ("sip:[2001:db8::9]", "plain"), ("garbage", "outside")], 0.0)
    assert rig.asks() == []
    assert rig.logs == []
    assert rig.locator.news() == News()
    assert rig.locator.next_deadline() is None


def test_the_log_says_once_what_was_found_and_what_was_lost(rig, dns):
    rig.locator.watch([WATCHED], 0.0)
    rig.answers()
    addresses = "udp:192.0.2.10:5060, udp:192.0.2.20:5060, udp:192.0.2.30:5060"
    assert rig.logs == [Log("info", "dns.found", (("server", URI), ("addresses", addresses)))]
    rig.logs.clear()
    dns.srv("_sip._udp.gw.example")
    for _ in range(5):
        rig.now = rig.locator.next_deadline()
        rig.answers()
    assert rig.logs == [Log("warning", "dns.not_found", (("server", URI), ("reason", "gw.example has no address")))]
    rig.logs.clear()
    dns["gw.example"] = ["192.0.2.9"]
    while not rig.logs:
        rig.now = rig.locator.next_deadline()
        rig.answers()
    assert [log.event for log in rig.logs] == ["dns.found"]


def test_what_is_remembered_of_next_hops_is_bounded(rig):
    for n in range(25_000):
        rig.candidates(f"sip:10.{n >> 8}.{n & 255}.1")
    assert len(rig.locator._literals) <= 10_000


# BOUND: WATCHED_ADDRESSES
def test_who_may_speak_as_one_server_is_bounded(rig, monkeypatch):
    monkeypatch.setattr(limits, "WATCHED_ADDRESSES", 3)
    rig.dns["gw.example"] = ["192.0.2.1", "192.0.2.2"]
    rig.locator.watch([("sip:gw.example:5060", "outside")], 0.0)
    rig.answers()
    for n in range(3, 8):
        move(rig, "gw.example", f"192.0.2.{n}", f"192.0.2.1{n}")
    (speakers,) = rig.locator.news().addresses.values()
    assert set(speakers) >= {"192.0.2.7", "192.0.2.17"}, "those of now come first"
    assert len(speakers) == 3
