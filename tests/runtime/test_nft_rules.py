"""What the helper tells the kernel, and what it refuses to."""

import json

import pytest

from sbc.core import limits
from sbc.runtime import ban_helper, ban_wire
from sbc.runtime.ban_wire import Banned, Change, Clear, Replace
from sbc.runtime.nft_rules import document, element_of

SIP = (5060, 5061)


def commands(message):
    return json.loads(document(message))["nftables"]


def test_what_was_there_is_gone_and_the_frame_is_made_anew():
    done = commands(Replace(SIP, (Banned("192.0.2.1", 60), Banned("2001:db8:0:1::/64", 600))))
    assert [next(iter(one)) for one in done[:7]] == ["add", "add", "flush", "add", "delete", "add", "delete"]
    chain = done[1]["add"]["chain"]
    assert (chain["name"], chain["hook"], chain["prio"], chain["policy"]) == ("bans", "input", -10, "accept")
    elements = [one["add"]["element"] for one in done if "element" in one.get("add", {})]
    assert [(e["name"], e["elem"][0]["elem"]) for e in elements] == [
        ("banned4", {"val": "192.0.2.1", "timeout": 60}),
        ("banned6", {"val": "2001:db8:0:1::", "timeout": 600}),
    ]


# BOUND: BANS_IN_KERNEL
def test_the_sets_have_a_size():
    sets = [one["add"]["set"] for one in commands(Replace(SIP)) if "set" in one.get("add", {})]
    assert {one["size"] for one in sets} == {limits.BANS_IN_KERNEL}


def test_only_our_sip_ports_are_closed_to_them():
    rules = [one["add"]["rule"]["expr"] for one in commands(Replace(SIP)) if "rule" in one.get("add", {})]
    assert len(rules) == 2
    for expr in rules:
        assert expr[-1] == {"drop": None}
        assert any(one.get("match", {}).get("right") == {"set": [5060, 5061]} for one in expr)


def test_who_may_be_gone_is_added_before_he_is_deleted():
    done = commands(Change(("192.0.2.9",), (Banned("192.0.2.1", 60),)))
    assert [next(iter(one)) for one in done] == ["add", "delete", "add"]
    assert done[1]["delete"]["element"]["elem"] == ["192.0.2.9", "192.0.2.1"]
    assert done[2]["add"]["element"]["elem"] == [{"elem": {"val": "192.0.2.1", "timeout": 60}}]


def test_all_of_ours_can_be_taken_away_and_nothing_of_others():
    deleted = [one["delete"] for one in commands(Clear()) if "delete" in one]
    assert [next(iter(one.items()))[1]["name"] for one in deleted] == ["banned4", "banned6", "bans"]
    assert not any("table" in one for one in deleted)


@pytest.mark.parametrize(
    "source",
    ["127.0.0.1", "::1/64", "224.0.0.1", "0.0.0.0", "169.254.1.1", "fe80::/64", "ff02::/64", "::/64", "192.0.2.0/24",
     "0.0.0.0/0", "2001:db8::1", "2001:db8::/32", "::/0", "2001:db8::1/64", "localhost", "192.0.2.1; flush ruleset", "",
     "@banned4", "192.0.2.1-192.0.2.9"],
)  # fmt: skip
def test_what_nobody_bans_is_refused(source):
    with pytest.raises(ValueError, match=r".+"):
        element_of(source)
    assert ban_helper.perform(ban_wire.encode(Replace(SIP, (Banned(source, 60),))))
    assert ban_helper.perform(ban_wire.encode(Change((source,))))


@pytest.mark.parametrize("ports", [(), (0,), (65_536,), (-1,), tuple(range(1, 100))])
def test_ports_have_bounds(ports):
    with pytest.raises(ValueError, match="ports"):
        document(Replace(ports))


@pytest.mark.parametrize("seconds", [0, -1, 32 * 86_400])
def test_times_have_bounds(seconds):
    with pytest.raises(ValueError, match="seconds"):
        document(Change(bans=(Banned("192.0.2.1", seconds),)))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81\xa4type\xa5Flush", b"A" * 4096])
def test_what_is_no_message_is_refused(data):
    assert ban_helper.perform(data)


# BOUND: BANS_AT_ONCE
def test_too_many_at_once_are_refused():
    many = (Banned("192.0.2.1", 60),) * (limits.BANS_AT_ONCE + 1)
    assert "more than" in ban_helper.perform(ban_wire.encode(Change(bans=many)))
