"""Rates and limits of a policy: what is counted goes on counting over a reload, minutes over a restart."""

from sbc.core.commands import StoreState
from sbc.peering.quotas import SAVE_SECONDS, Quotas
from sbc.policy.engine import Policy
from sbc.policy.model import Limits, Peer, Route, Server, Settings


def _policy(*, cps=None, trunk_cps=None, limits=None):
    trunk = Peer("carrier", "trunk", "outside", (Server("192.0.2.1"),), cps=trunk_cps)
    office = Peer("office", "pbx", "inside", (Server("192.0.2.2"),), limits=limits)
    return Policy(Settings(cps=cps), peers=(trunk, office), routes=(Route("r", reject=403, limits=limits),))


def test_without_rates_everything_is_admitted():
    quotas = Quotas(_policy())
    assert all(quotas.admits_any(0.0) and quotas.admits_to("carrier", 0.0) for _ in range(100))
    assert quotas.usage("pbx office") is None
    assert quotas.next_deadline() is None


def test_the_node_and_each_trunk_have_rates_of_their_own():
    quotas = Quotas(_policy(cps=2, trunk_cps=1))
    assert [quotas.admits_any(0.0) for _ in range(3)] == [True, True, False]
    assert [quotas.admits_to("carrier", 0.0) for _ in range(2)] == [True, False]
    assert quotas.admits_to("another", 0.0)


def test_a_reload_forgets_no_second_and_no_minute():
    limits = Limits(minutes_per_day=1)
    quotas = Quotas(_policy(cps=1, limits=limits))
    assert quotas.admits_any(0.0)
    usage = quotas.usage("pbx office")
    quotas.set_policy(_policy(cps=1, limits=Limits(minutes_per_day=5)))
    assert not quotas.admits_any(0.5)
    assert quotas.usage("pbx office") is usage
    assert usage.limits.minutes_per_day == 5


def test_minutes_are_kept_soon_where_they_have_changed():
    quotas = Quotas(_policy(limits=Limits(minutes_per_day=1)))
    quotas.start(0.0)
    assert quotas.next_deadline() == SAVE_SECONDS
    usage = quotas.usage("pbx office")
    assert usage.begin("ref", 0.0, 86_400.0) == ""
    usage.answered("ref", 0.0, 86_400.0)
    usage.end("ref", 59.0, 86_459.0)
    kept = {out.key: out for out in quotas.tick(60.0)}
    assert kept["usage/pbx office"] == StoreState("usage/pbx office", b"1 59000 60000")
    assert quotas.tick(60.0 + SAVE_SECONDS) == []
    again = Quotas(_policy(limits=Limits(minutes_per_day=1)))
    again.restore("pbx office", b"1 59000")  # as an earlier version kept them
    again.restore("pbx of a policy that is gone", b"1 1")
    assert again.usage("pbx office").minutes(0.0, 86_500.0) * 60 == 59.0


def test_a_call_that_goes_on_in_the_next_life_spends_no_second_twice_and_none_for_nothing():
    day = 86_400.0
    quotas = Quotas(_policy(limits=Limits(minutes_per_day=10)))
    usage = quotas.usage("pbx office")
    for ref, at in (("before", 10.0), ("after", 70.0)):
        usage.begin(ref, at, day + at)
        usage.answered(ref, at, day + at)
        if ref == "before":
            saved = usage.saved(60.0)
    again = Quotas(_policy(limits=Limits(minutes_per_day=10)))
    again.restore("pbx office", saved)
    usage = again.usage("pbx office")
    usage.resume("before", 10.0, 100.0, day + 100.0)
    usage.resume("after", 70.0, 100.0, day + 100.0)
    usage.resume("rings", None, 100.0, day + 100.0)
    assert usage.running == 3
    assert usage.minutes(100.0, day + 100.0) * 60 == 90.0 + 30.0
    for ref in ("before", "after", "rings"):
        usage.end(ref, 110.0, day + 110.0)
    assert usage.minutes(200.0, day + 200.0) * 60 == 100.0 + 40.0


def test_a_call_that_goes_on_over_midnight_and_a_death_counts_from_midnight():
    day = 86_400.0
    again = Quotas(_policy(limits=Limits(minutes_per_day=10)))
    again.restore("pbx office", b"1 50000 86350000")
    usage = again.usage("pbx office")
    usage.resume("ref", 300.0, day + 20.0, 2 * day + 20.0)
    assert usage.minutes(day + 30.0, 2 * day + 30.0) * 60 == 30.0


def test_what_was_kept_by_nobody_counts_as_nothing():
    quotas = Quotas(_policy(limits=Limits(minutes_per_day=1)))
    for saved in (b"", b"x", b"1", b"-1 5", b"1 " + b"9" * 60):
        quotas.restore("pbx office", saved)
    assert quotas.usage("pbx office").minutes(0.0, 0.0) == 0.0
