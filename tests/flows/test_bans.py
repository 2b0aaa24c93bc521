"""Who guesses, scans or floods is banned, and nobody else: no peer, and no victim whose address was forged."""

import pytest

from sbc.b2bua.events import BanOrdered, LiftOrdered
from sbc.core import limits
from sbc.peering.bans import source_of
from sbc.sip.commands import CloseFlow
from sbc.testing.world import DID, FAR, INSIDE

from .knocking import (
    ANYWHERE,
    BOTH,
    HELPING,
    STRANGER,
    STRIKES,
    bans,
    credentials,
    dropped,
    flow,
    guesses,
    message,
    nonce_from,
    said,
)

# --- what bans --------------------------------------------------------------------------------------------------------


def test_ten_wrong_passwords_ban_and_the_ban_is_silence(world):
    sbc = world(ANYWHERE)
    assert guesses(sbc, flow()) == STRIKES
    assert bans(sbc) == [STRANGER]
    assert said(sbc, message(n=500), flow()) == []
    assert said(sbc, message("INVITE", n=501), flow(port=7777)) == []
    assert dropped(sbc, "banned") == 2
    assert list(sbc.blocked) == [STRANGER]
    assert [log.event for log in sbc.logs if log.event.startswith("ban.")] == ["ban.added"]
    sbc.run(limits.SERVER_NONCE_SECONDS + 700.0)
    assert bans(sbc) == []
    assert sbc.kept == {}
    assert said(sbc, message(n=502), flow()) != []
    assert sbc.idle()


def test_wrong_passwords_slower_than_the_policy_counts_ban_nobody(world):
    sbc = world(ANYWHERE)
    for n in range(4 * STRIKES):
        guesses(sbc, flow(), 1, first=n + 1)
        sbc.run(10.0)
    assert bans(sbc) == []
    assert sbc.idle()


def test_the_policy_says_how_many_and_how_long(world):
    sbc = world(ANYWHERE.replace("country: US}", "country: US, bans: {strikes: 2, for: 1h}}"))
    guesses(sbc, flow(), 2)
    (ban,) = sbc.switch.snapshot(sbc.now).bans
    assert ban.until - ban.since == pytest.approx(3600.0)
    sbc.run(3700.0)
    assert sbc.idle()


def test_bans_that_are_off_ban_nobody(world):
    sbc = world(ANYWHERE.replace("country: US}", "country: US, bans: off}"))
    guesses(sbc, flow(), 3 * STRIKES)
    assert bans(sbc) == []
    assert sbc.idle()


# --- a victim whose address is forged ---------------------------------------------------------------------------------


def test_nobody_can_have_another_banned_by_forging_his_address(world):
    """Rubbish, scanners' names, floods, made-up nonces and nonces that the attacker got himself: nothing of it."""
    sbc = world(ANYWHERE)
    victim, own = flow("198.51.100.200"), nonce_from(sbc, flow())
    for n in range(200):
        said(sbc, message(n=n, fields=credentials("made-up"), host="198.51.100.200"), victim)
        said(sbc, message(n=n, fields=credentials(own), host="198.51.100.200"), victim)
        said(sbc, message(n=n, agent="friendly-scanner"), victim)
        said(sbc, b"INVITE rubbish\r\n\r\n", victim)
        said(sbc, message(n=n).replace(b"sip:office@192.0.2.66", b"sip:x@127.0.0.1"), victim)
        sbc.run(0.05)
    assert bans(sbc) == []
    assert sbc.idle()


def test_over_a_connection_rubbish_counts_too(world):
    sbc = world(ANYWHERE)
    way = flow(connection=5)
    outs = [said(sbc, b"OPTIONS sip:x SIP/2.0\r\nbroken", way) for _ in range(STRIKES)]
    assert outs[:-1] == [[]] * (STRIKES - 1)
    assert bans(sbc) == [STRANGER]
    assert not sbc.switch.knows("inside", STRANGER, 40000)
    assert sbc.switch.knows("inside", "192.0.2.67", 40000)
    sbc.tell(LiftOrdered(STRANGER))
    assert sbc.idle()


def test_a_scanner_on_a_connection_is_banned_at_once_and_the_connection_closed(world):
    sbc = world(ANYWHERE)
    assert said(sbc, message(agent="friendly-scanner"), flow(connection=5)) == [CloseFlow(flow(connection=5))]
    assert bans(sbc) == [STRANGER]
    sbc.tell(LiftOrdered(STRANGER))
    assert sbc.idle()


@pytest.mark.parametrize(
    "agent",
    ["friendly-scanner", "SIPVicious 0.3", "sipcli/v1.8", "sundayddr", "VaxSIPUserAgent/3.1", "pplsip", "x smap 0.6"],
)
def test_a_scanner_gets_no_answer(world, agent):
    sbc = world(ANYWHERE)
    assert said(sbc, message("INVITE", agent=agent), flow()) == []
    assert dropped(sbc, "scanner") == 1
    assert sbc.idle()


@pytest.mark.parametrize("word", ["iwar", "Gulp", "sipcli", "vaxsip"])
def test_people_and_random_ids_that_have_a_scanners_letters_are_heard(world, word):
    """A Siwar is no scanner, nor is who has drawn such a Call-ID; over a connection it would ban all of the office."""
    sbc = world(ANYWHERE)
    for field in (b"<sip:office@10.0.0.1>;tag=a", b"x7@y"):
        data = message(n=7).replace(field, field.replace(b"a", word.encode()).replace(b"x7", b"S" + word.encode()))
        assert word.encode() in data
        assert said(sbc, data, flow(connection=5)) != []
    assert bans(sbc) == []
    assert sbc.idle()


def test_words_of_the_policy_are_signatures_too(world):
    sbc = world(ANYWHERE.replace("country: US}", "country: US, bans: {signatures: [EvilPhone]}}"))
    assert said(sbc, message(agent="evilphone 7"), flow()) == []
    assert said(sbc, message(agent="goodphone 7"), flow()) != []
    assert sbc.idle()


def test_a_peer_may_call_itself_what_it_likes(world):
    sbc = world()
    office = sbc.office()
    sbc.inject(message("OPTIONS", agent="friendly-scanner", host="10.0.0.5"), office)
    assert sbc.net.sent_to(office.name)[0].startswith(b"SIP/2.0 200")
    sbc.run(40.0)
    assert sbc.idle()


# --- who is never banned ----------------------------------------------------------------------------------------------


def test_a_peer_is_not_banned_by_the_operator_either(world):
    sbc = world(BOTH)
    for host in ("198.51.100.7", "192.0.2.9", "10.0.0.1", "203.0.113.1", "127.0.0.1", "::1"):
        sbc.tell(BanOrdered(source_of(host) or "", 3600.0, "a mistake"))
    assert bans(sbc) == []
    assert sbc.blocked == {}
    assert sbc.idle()


def test_a_reload_that_makes_a_peer_of_a_banned_source_frees_it(world):
    sbc = world(ANYWHERE)
    guesses(sbc, flow("192.0.2.9"))
    sbc.run(1.0)
    assert list(sbc.blocked) == ["192.0.2.9"]
    sbc.reload(BOTH)
    assert (bans(sbc), sbc.blocked) == ([], {})
    desk = sbc.phone("desk", "192.0.2.9:5060", through=INSIDE)
    assert desk.asks("OPTIONS") is not None
    sbc.run(40.0)
    assert any(data.startswith(b"SIP/2.0 200") for data in sbc.net.sent_to("desk"))
    assert [log.event for log in sbc.logs if log.event == "ban.lifted"] == ["ban.lifted"]
    assert sbc.idle()


def test_a_name_that_turns_out_to_be_a_peers_frees_it(world):
    named = ANYWHERE.replace('servers: ["sip:198.51.100.7:5060"]', 'servers: ["sip:gw.example"]')
    sbc = world(named, names={"gw.example": ["198.51.100.7"]})
    sbc.run(1.0)
    sbc.tell(BanOrdered("198.51.100.7", 3600.0, "x"))
    sbc.tell(BanOrdered("198.51.100.8", 3600.0, "x"))
    assert bans(sbc) == ["198.51.100.8"]
    sbc.switch.policy.learn_addresses("gw.example", ["198.51.100.8"])
    sbc.switch.keeping_out.names_changed()
    sbc.run(0.1)
    assert (bans(sbc), sbc.blocked) == ([], {})
    assert sbc.idle()


def test_who_has_logged_in_is_heard_though_his_nat_mate_is_banned(world):
    """One address, many people: the kernel is not told of it, and he who has shown his password goes on."""
    sbc = world(HELPING)
    pbx = sbc.phone("worker", f"{STRANGER}:5060", through=INSIDE, user=DID)
    pbx.has_credentials("office", "0ff1ce")
    assert pbx.registers(f"sip:{DID}@10.0.0.1").is_registered
    carrier = sbc.carrier()
    guesses(sbc, flow(port=9999))
    assert bans(sbc) == [STRANGER]
    assert sbc.blocked == {}
    pbx.invites(FAR)
    carrier.answers()
    assert pbx.is_talking
    pbx.hangs_up()
    assert said(sbc, message("INVITE", n=900), flow(port=9999)) == []
    sbc.tell(LiftOrdered(STRANGER))


@pytest.mark.parametrize("rules", ["bans: {strikes: 1, for: 1h}", "bans: off"])
def test_a_call_behind_a_banned_address_is_served_also_after_a_reload_of_bans_and_rates(world, rules):
    sbc = world(HELPING)
    pbx = sbc.phone("worker", f"{STRANGER}:5060", through=INSIDE, user=DID)
    pbx.has_credentials("office", "0ff1ce")
    assert pbx.registers(f"sip:{DID}@10.0.0.1").is_registered
    carrier = sbc.carrier()
    guesses(sbc, flow(port=9999))
    pbx.invites(FAR)
    sbc.reload(
        HELPING.replace("country: US}", f"country: US, {rules}}}").replace("accept: any", "accept: any, rate: 1")
    )
    assert bans(sbc) == [STRANGER]
    carrier.answers()
    pbx.holds()
    pbx.resumes()
    carrier.holds()
    assert pbx.is_talking
    pbx.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    sbc.run(1.0)
    pbx.invites(FAR)
    pbx.cancels()
    assert pbx.call.status == 487
    sbc.tell(LiftOrdered(STRANGER))
    assert sbc.idle()


# BOUND: BANNED_EMERGENCIES_PER_SECOND
def test_help_can_be_called_from_a_banned_address_where_somebody_has_logged_in(world):
    sbc = world(HELPING)
    pbx = sbc.phone("worker", f"{STRANGER}:5060", through=INSIDE, user=DID)
    pbx.has_credentials("office", "0ff1ce")
    pbx.registers(f"sip:{DID}@10.0.0.1")
    guesses(sbc, flow(port=9999))
    other = flow(port=8888)
    assert said(sbc, message("INVITE", n=901), other) == []
    (challenge,) = said(sbc, message("INVITE", n=902, to="911"), other)
    assert challenge.data.startswith(b"SIP/2.0 401")
    tries = [said(sbc, message("INVITE", n=910 + n, to="911"), other) for n in range(20)]
    assert len([one for one in tries if one]) < limits.BANNED_EMERGENCIES_PER_SECOND
    sbc.tell(LiftOrdered(STRANGER))


def test_where_nobody_has_logged_in_a_banned_address_is_silent_also_for_911(world):
    sbc = world(HELPING)
    guesses(sbc, flow())
    assert said(sbc, message("INVITE", n=902, to="911"), flow()) == []
    sbc.tell(LiftOrdered(STRANGER))
    assert sbc.idle()


# --- the operator, and restarts ---------------------------------------------------------------------------------------


def test_bans_survive_a_restart_but_not_their_end(world):
    sbc = world(ANYWHERE)
    sbc.tell(BanOrdered("192.0.2.70", 3600.0, "premium numbers"))
    sbc.tell(BanOrdered("2001:db8:0:1::/64", 60.0, ""))
    again = world(ANYWHERE, kept=sbc.kept)
    assert sorted(bans(again)) == ["192.0.2.70", "2001:db8:0:1::/64"]
    assert sorted(again.blocked) == sorted(bans(again))
    again.run(100.0)
    assert bans(again) == ["192.0.2.70"]
    (ban,) = again.switch.snapshot(again.now).bans
    assert (ban.by, ban.why) == ("operator", "premium numbers")
    again.tell(LiftOrdered("192.0.2.70"))
    assert (bans(again), again.kept) == ([], {})
    assert all(until < again.now for until in again.blocked.values())  # the kernel keeps the time itself
    assert again.idle()


def test_rubbish_that_was_kept_is_forgotten(world):
    sbc = world(
        ANYWHERE,
        kept={"ban/x": b"{}", "ban/192.0.2.1": b"\xff", "ban/192.0.2.2": b'{"since":1,"until":2,"by":"sbc","why":""}'},
    )
    assert (bans(sbc), sbc.kept) == ([], {})
    assert sbc.idle()


def test_of_ipv6_the_whole_64_is_banned(world):
    sbc = world(ANYWHERE)
    sbc.tell(BanOrdered("2001:db8:0:1::/64", 60.0, ""))
    assert sbc.switch.keeping_out.refuses("2001:db8:0:1:ffff::9")
    assert not sbc.switch.keeping_out.refuses("2001:db8:0:2::9")
    sbc.run(100.0)
    assert sbc.idle()


def test_thousands_of_bans_are_a_few_lines_and_one_alarm(world):
    sbc = world(ANYWHERE)
    for n in range(limits.BANS + 100):
        if n % limits.STRANGERS_MESSAGES_PER_SECOND == 0:
            sbc.run(1.0)
        said(sbc, message(agent="friendly-scanner"), flow(f"198.18.{n >> 8}.{n & 255}", connection=n + 1))
    assert len(bans(sbc)) == limits.BANS
    lines = [log.event for log in sbc.logs if log.event.startswith("ban.")]
    assert len(lines) < 30
    assert lines.count("ban.many") == 1
    sbc.run(700.0)
    assert bans(sbc) == []
    assert [log.event for log in sbc.logs if log.event == "ban.few_again"] == ["ban.few_again"]
    assert sbc.idle(but=["errors"])  # the alarm
