"""Digits between peers that send them in different ways: RFC 4733 packets, INFO, and one made of the other.

What is dialled within a call, a PIN perhaps, stands in no log, trace or record.
"""
# RFC: 4733

import pytest
from msgspec.structs import replace

from sbc.testing.world import DID, FAR
from sbc.trace.ladder import draw

from .transferring import refers, three

EVENTS = {"codecs": ("PCMU", "telephone-event")}
NO_EVENTS = {"codecs": ("PCMU",)}


def talking(world, *, caller="office", peers=None, office=EVENTS, carrier=EVENTS, **options):
    sbc = world(peers=peers, **options)
    pbx, trunk = sbc.office(**office), sbc.carrier(**carrier)
    one, other = (pbx, trunk) if caller == "office" else (trunk, pbx)
    one.invites(FAR if caller == "office" else DID)
    other.answers()
    return sbc, pbx, trunk


def infos(sbc, phone):
    return [data.rpartition(b"\r\n\r\n")[2] for data in sbc.net.sent_to(phone.name) if data.startswith(b"INFO")]


def ends(sbc, phone, *, secret="", after=80.0):
    """Hang up; the digits stand nowhere."""
    phone.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    if secret:
        ladder = draw(sbc.switch.trace.entries(sbc.cdr.only.ref))
        entries = b"".join(entry.data or b"" for entry in sbc.switch.trace.entries(sbc.cdr.only.ref))
        texts = [ladder, *[str(log) for log in sbc.logs], entries.decode("latin-1")]
        assert not [text for text in texts if f"Signal={secret}" in text or f"digit='{secret}'" in text]
        assert "Signal" not in "".join(texts)
    return sbc.idle(after=after)


@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_by_default_an_info_crosses_as_one(world, caller):
    sbc, office, carrier = talking(world, caller=caller)
    office.presses("5")
    carrier.presses("#", milliseconds=250)
    assert infos(sbc, carrier) == [b"Signal=5\r\nDuration=160\r\n"]
    assert infos(sbc, office) == [b"Signal=#\r\nDuration=250\r\n"]
    assert not sbc.media.played
    assert ends(sbc, office, secret="5")


def test_by_default_packets_cross_as_they_are(world):
    sbc, office, carrier = talking(world)
    assert sbc.dials(office, "5")
    assert sbc.dials(carrier, "6")
    assert not infos(sbc, carrier) + infos(sbc, office)
    assert ends(sbc, carrier)


def test_packets_keep_their_meaning_where_the_numbers_differ(world):
    sbc, office, carrier = talking(
        world,
        office={**EVENTS, "numbers": {"telephone-event": 101}},
        carrier={**EVENTS, "numbers": {"telephone-event": 96}},
    )
    assert sbc.dials(office, "5")
    assert sbc.dials(carrier, "6")
    assert ends(sbc, carrier)


@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("way", ["pass", "rfc4733"])
def test_a_pbx_of_old_dials_into_a_voice_menu(world, caller, way):
    """Its INFO becomes packets towards the carrier."""
    sbc, office, carrier = talking(
        world, caller=caller, peers={"office": {"dtmf": "info"}, "carrier": {"dtmf": way}}, office=NO_EVENTS
    )
    for digit in "12#":
        office.presses(digit)
    side = "egress" if caller == "office" else "ingress"
    assert [(play.stream, play.to, play.digit, play.milliseconds) for play in sbc.media.played] == [
        (0, side, digit, 160) for digit in "12#"
    ]
    assert office.got("200 INFO", "200 INFO", "200 INFO")
    assert not infos(sbc, carrier)
    assert ends(sbc, office, secret="1")


@pytest.mark.parametrize("caller", ["office", "carrier"])
def test_people_dial_into_the_voice_menu_of_a_pbx_of_old(world, caller):
    """Packets of the carrier become INFO, and do not cross."""
    sbc, office, carrier = talking(world, caller=caller, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS)
    for digit in "90*":
        assert not sbc.dials(carrier, digit, milliseconds=200)
    assert infos(sbc, office) == [b"Signal=%c\r\nDuration=200\r\n" % digit for digit in b"90*"]
    assert "INFO" not in carrier.heard
    assert sbc.hears(office, carrier)
    assert ends(sbc, office, secret="9")


def test_digits_do_not_overtake_each_other(world):
    """One INFO at a time, each after the answer to the one before."""
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS)
    office.ignores("INFO")
    for digit in "123":
        sbc.dials(carrier, digit)
    assert set(infos(sbc, office)) == {b"Signal=1\r\nDuration=160\r\n"}
    office.wakes()
    sbc.run(5.0)
    assert [infos(sbc, office)[n] for n in (-2, -1)] == [b"Signal=%c\r\nDuration=160\r\n" % digit for digit in b"23"]
    assert ends(sbc, office)


def test_digits_that_nobody_has_heard_in_time_are_dropped(world):
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS)
    office.ignores("INFO")
    for _ in range(40):
        sbc.dials(carrier, "1")
    sbc.run(35.0)
    office.wakes()
    sbc.run(5.0)
    assert "INFO" not in office.call.heard
    sbc.dials(carrier, "2")
    assert infos(sbc, office)[-1] == b"Signal=2\r\nDuration=160\r\n"
    assert office.is_talking
    assert ends(sbc, office)


@pytest.mark.parametrize("status", [200, 415, 481, 603])
def test_what_an_info_of_ours_gets_is_nobodys_business(world, status):
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS)
    office.answers_requests("INFO", status)
    sbc.dials(carrier, "1")
    sbc.dials(carrier, "2")
    assert len(infos(sbc, office)) == 2
    assert office.is_talking
    assert carrier.is_talking
    assert ends(sbc, carrier)


def test_a_peer_that_allows_no_info_gets_none(world):
    sbc = world(peers={"office": {"dtmf": "info"}})
    office, carrier = sbc.office(**NO_EVENTS), sbc.carrier(**EVENTS)
    office.disallows("INFO")
    office.invites(FAR)
    carrier.answers()
    sbc.dials(carrier, "1")
    assert not infos(sbc, office)
    assert ends(sbc, carrier)


def test_a_digit_that_cannot_be_played_is_not_swallowed(world):
    """The carrier has not agreed to telephone-event: the INFO crosses, and the carrier says what comes of it."""
    sbc, office, carrier = talking(
        world, peers={"office": {"dtmf": "info"}, "carrier": {"dtmf": "rfc4733"}}, office=NO_EVENTS, carrier=NO_EVENTS
    )
    carrier.answers_requests("INFO", 415)
    office.presses("5")
    assert not sbc.media.played
    assert infos(sbc, carrier) == [b"Signal=5\r\nDuration=160\r\n"]
    assert office.got("415 INFO")
    assert ends(sbc, office, secret="5")


def test_nor_where_the_hearer_allows_no_info(world):
    sbc = world(peers={"office": {"dtmf": "info"}, "carrier": {"dtmf": "rfc4733"}})
    office, carrier = sbc.office(**NO_EVENTS), sbc.carrier(**NO_EVENTS)
    carrier.disallows("INFO")
    office.invites(FAR)
    carrier.answers()
    office.presses("5")
    assert office.got("405 INFO")
    assert ends(sbc, office)


def test_a_hearer_that_allows_no_info_is_played_to(world):
    sbc = world(peers={"office": {"dtmf": "info"}})
    office, carrier = sbc.office(**NO_EVENTS), sbc.carrier(**EVENTS)
    carrier.disallows("INFO")
    office.invites(FAR)
    carrier.answers()
    office.presses("5")
    assert [play.digit for play in sbc.media.played] == ["5"]
    assert office.got("200 INFO")
    assert ends(sbc, office)


def test_into_a_menu_that_speaks_before_it_answers(world):
    sbc = world(peers={"office": {"dtmf": "info"}})
    office, carrier = sbc.office(**NO_EVENTS), sbc.carrier(**EVENTS)
    for phone in (office, carrier):
        phone.uses_100rel()
    office.invites(FAR)
    carrier.progresses(reliably=True)
    sbc.run(1.0)
    office._do(
        office.agent.request(office.call, "INFO", sbc.now, fields=(("Content-Type", "application/dtmf"),), body=b"7")
    )
    assert [play.digit for play in sbc.media.played] == ["7"]
    carrier.answers()
    assert ends(sbc, office, secret="7")


def test_other_infos_cross_where_digits_are_converted(world):
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS)
    office.requests("INFO", fields=(("Content-Type", "text/plain"),), body=b"hello")
    office.presses("!")  # a hook flash is no digit
    assert infos(sbc, carrier) == [b"hello", b"Signal=!\r\nDuration=160\r\n"]
    assert not sbc.media.played
    assert ends(sbc, office)


def test_after_the_media_worker_has_died(world):
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS)
    sbc.worker_dies()
    office.presses("5")
    assert office.got("200 INFO")
    sbc.worker_starts()
    office.presses("6")
    assert [play.digit for play in sbc.media.played] == ["5", "6"]
    sbc.dials(carrier, "7")
    assert infos(sbc, office) == [b"Signal=7\r\nDuration=160\r\n"]
    assert ends(sbc, office)


def test_on_hold_and_back(world):
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS)
    carrier.holds()
    office.presses("1")
    carrier.resumes()
    office.presses("2")
    assert sbc.media.played[-1].digit == "2"
    sbc.dials(carrier, "3")
    assert infos(sbc, office) == [b"Signal=3\r\nDuration=160\r\n"]
    assert ends(sbc, carrier)


def test_digits_heard_after_the_call_are_forgotten(world):
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS)
    carrier.ignores("BYE")
    office.hangs_up()
    sbc.dials(carrier, "3")
    assert not infos(sbc, office)
    carrier.wakes()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("caller", ["office", "carrier"])
@pytest.mark.parametrize("old", ["office", "branch"])
def test_after_a_transfer_they_go_the_way_of_who_is_there_now(world, caller, old):
    """Of two PBXs one is of the old kind: before the transfer the carrier talks with the one, then with the other."""
    sbc, office, carrier, branch = three(world, peers={old: {"dtmf": "info"}})
    for phone in (office, branch):
        is_old = phone is (office if old == "office" else branch)
        phone.agent.bench.voice = replace(
            phone.agent.voice, codecs=("PCMU",) if is_old else ("PCMU", "telephone-event")
        )
    one, other = (office, carrier) if caller == "office" else (carrier, office)
    one.invites(FAR if caller == "office" else DID)
    other.answers()
    ways = [_way(sbc, office, carrier)]
    refers(office)
    branch.answers()
    sbc.run(5.0)
    assert branch.is_talking
    ways.append(_way(sbc, branch, carrier))
    assert ways == (["info", "packets"] if old == "office" else ["packets", "info"])
    carrier.hangs_up()
    assert sbc.idle()
    assert len(sbc.cdr) == 2


def _way(sbc, phone, carrier):
    """In which form digits of the carrier arrive; and those of the phone are played where it sends INFO."""
    crossed = sbc.dials(carrier, "7")
    if crossed:
        assert sbc.dials(phone, "8")
        return "packets"
    assert infos(sbc, phone) == [b"Signal=7\r\nDuration=160\r\n"]
    before = len(sbc.media.played)
    phone.presses("8")
    assert [play.digit for play in sbc.media.played[before:]] == ["8"]
    return "info"


def test_digits_on_a_bad_network(world, chaos):
    """Each arrives once, in order."""
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS, **chaos)
    sbc.run(40.0)
    if office.is_talking and carrier.is_talking:
        for digit in "123":
            sbc.dials(carrier, digit)
        sbc.run(20.0)
        told = list(dict.fromkeys(infos(sbc, office)))
        assert told == [b"Signal=%c\r\nDuration=160\r\n" % digit for digit in b"123"]
        office.hangs_up()
    assert sbc.idle(after=160.0)
    assert len(sbc.cdr) == 1


def test_digits_by_info_on_a_bad_network(world, chaos):
    """Each is played once, however often its INFO came."""
    sbc, office, carrier = talking(world, peers={"office": {"dtmf": "info"}}, office=NO_EVENTS, **chaos)
    sbc.run(40.0)
    if office.is_talking and carrier.is_talking:
        for digit in "1233":
            office.presses(digit)
            sbc.run(20.0)
        assert [play.digit for play in sbc.media.played] == list("1233")
        office.hangs_up()
    assert sbc.idle(after=160.0)
    assert len(sbc.cdr) == 1
