"""Who is banned, by whom, how long; and that no table grows without end."""

import pytest

from sbc.core import limits
from sbc.core.commands import BlockSource, Log, StoreState
from sbc.peering.bans import Bans, source_of
from sbc.policy.protection import BanRules

RULES = BanRules(strikes=3, within=10.0, lasts=60.0)


def sources(bans):
    return [ban.source for ban in bans.views()]


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", None),
        ("192.0.2.0/24", None),
        ("example.com", None),
        ("", None),
    ],
)
def test_a_source_is_an_address_or_the_64_of_one(host, source):
    assert source_of(host) == source


def test_strikes_within_the_time_ban_and_older_ones_do_not_count():
    bans = Bans(RULES)
    assert bans.strike("192.0.2.1", "x", 0.0) == []
    assert bans.strike("192.0.2.1", "x", 5.0) == []
    assert bans.strike("192.0.2.1", "x", 11.0) == []  # the first is too old
    outs = bans.strike("192.0.2.1", "x", 12.0)
    assert [type(out) for out in outs] == [Log, StoreState, BlockSource]
    assert sources(bans) == ["192.0.2.1"]


def test_a_ban_ends_by_itself_and_whoever_mirrors_it_has_the_time():
    bans = Bans(RULES)
    bans.strike("192.0.2.1", "x", 0.0, weight=99)
    assert bans.next_deadline() == 60.0
    assert bans.tick(60.0) == [StoreState("ban/192.0.2.1", None)]
    assert (sources(bans), bans.next_deadline()) == ([], None)


# BOUND: BANS
def test_when_the_table_is_full_the_oldest_automatic_ban_goes_and_the_operators_stay():
    bans = Bans(BanRules(strikes=1))
    bans.add("192.0.2.1", 10.0, "mine", 0.0)
    for n in range(limits.BANS + 5):
        bans.strike(f"198.51.{n >> 8}.{n & 255}", "x", 1.0)
    assert len(bans) == limits.BANS
    assert bans.is_banned("192.0.2.1")
    assert not bans.is_banned("198.51.0.0")
    assert bans.is_banned(f"198.51.{(limits.BANS + 4) >> 8}.{(limits.BANS + 4) & 255}")


def test_where_the_operator_has_banned_all_nobody_else_is():
    bans = Bans(BanRules(strikes=1))
    for n in range(limits.BANS):
        bans.add(f"198.51.{n >> 8}.{n & 255}", 1000.0, "", 0.0)
    assert bans.strike("192.0.2.1", "x", 1.0) == []
    bans.add("192.0.2.2", 1000.0, "", 1.0)
    assert (len(bans), bans.is_banned("192.0.2.2")) == (limits.BANS, True)


# BOUND: BAN_WHY_CHARACTERS
def test_why_is_as_long_as_a_line():
    bans = Bans(RULES)
    bans.add("192.0.2.1", 10.0, "x" * 5_000, 0.0)
    assert len(bans.views()[0].why) == limits.BAN_WHY_CHARACTERS
