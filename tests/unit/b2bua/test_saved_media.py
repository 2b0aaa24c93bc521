"""A call's media as a value: small, cheap, no key where anybody looks. That nothing is lost, every flow test shows."""

import msgspec
import pytest

from sbc.b2bua.listening import Expected, Listening, Way
from sbc.b2bua.saved_listening import restore_listening, save_listening
from sbc.b2bua.saved_media import SavedMedia, restore_media, save_media
from sbc.b2bua.saved_side import read_side, restore_side
from sbc.b2bua.totals import Totals
from sbc.media import wire
from sbc.testing.secure_sdp import PhoneSrtp
from sbc.testing.world import FAR, World

IN, OUT = ("192.0.2.1", 20000), ("198.51.100.1", 30000)


@pytest.fixture
def call():
    sbc = World()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    [call] = sbc.switch.calls.values()
    return call


def test_a_plain_call_is_small(call):
    assert len(msgspec.msgpack.encode(save_media(call.media))) < 1_800


def test_what_has_not_changed_is_not_written_down_again(call):
    one, other = save_media(call.media), save_media(call.media)
    assert one == other
    assert one.ingress is other.ingress
    assert one.egress is other.egress
    assert one.listening is other.listening


def test_a_damaged_side_is_an_error_and_takes_no_port(call):
    saved = save_media(call.media)
    in_use = call.context.ports.in_use
    for wrong in (b"", b"\xc1", b"\x90", bytes(saved.egress)[:-3]):
        damaged = msgspec.structs.replace(saved, ingress=msgspec.Raw(wrong))
        with pytest.raises(msgspec.DecodeError):
            restore_media(damaged, call.ref, call.context, 0.0)
    assert call.context.ports.in_use == in_use


@pytest.mark.parametrize(("is_followed", "more"), [(True, 0), (False, 1)])
def test_a_side_that_was_about_to_move_is_a_new_one_to_the_worker(call, is_followed, more):
    """The worker may have been told of where it was to move."""
    saved = msgspec.structs.replace(read_side(save_media(call.media).egress), is_followed=is_followed)
    again = restore_side(msgspec.Raw(msgspec.msgpack.encode(saved)), call.context.ids, None)
    assert again.epoch == call.media.sides["egress"].epoch + more


def test_a_place_of_no_description_is_an_error(call):
    side = read_side(save_media(call.media).ingress)
    for changes in ({"sent": 9}, {"said": 7}, {"sessions": ()}):
        wrong = msgspec.structs.replace(side, **changes)
        with pytest.raises(msgspec.DecodeError):
            read_side(msgspec.Raw(msgspec.msgpack.encode(wrong)))


def test_fields_of_a_later_version_are_passed_over_and_earlier_ones_have_fewer(call):
    saved = save_media(call.media)
    later = msgspec.msgpack.encode({"generation": 7, "later": 1, "is_answered": True})
    assert msgspec.msgpack.decode(later, type=SavedMedia) == SavedMedia(7, is_answered=True)
    side = msgspec.msgpack.decode(saved.ingress)
    del side["ports"]
    assert read_side(msgspec.Raw(msgspec.msgpack.encode({**side, "later": [1, 2]}))).ports == ()


def test_no_key_is_shown():
    sbc = World(peers={"office": {"srtp": "required"}, "carrier": {"srtp": "required"}})
    office, carrier = sbc.office(srtp=PhoneSrtp()), sbc.carrier(srtp=PhoneSrtp())
    office.invites(FAR)
    carrier.answers()
    [call] = sbc.switch.calls.values()
    saved = save_media(call.media)
    key = call.media.relay().streams[0].ingress.secured.send.key
    assert key in bytes(saved.ingress)
    shown = repr(saved) + str(saved) + repr(read_side(saved.ingress))
    assert "InlineKey(***)" in shown
    assert repr(key)[2:-1] not in shown
    assert key.hex() not in shown


def test_ports_are_taken_and_those_of_streams_that_have_ended_rest(call):
    saved = msgspec.structs.replace(save_media(call.media), dead=(("10.0.0.1", 29_000),))
    pool = call.context.ports
    for side in call.media.sides.values():
        pool.give_back(side.local, side.ports, 0.0)
    restore_media(saved, call.ref, call.context, 0.0)
    assert pool.in_use == 2
    assert pool.resting == 1


def test_an_exchange_that_was_on_its_way_is_marked_until_one_is_settled(call):
    media = call.media
    media.pass_offer("ingress", media.sides["ingress"].now.said, 0.0)
    saved = save_media(media)
    assert saved.is_changing
    again = restore_media(saved, call.ref, call.context, 0.0)
    assert again.was_changing
    put = again.resume(0.0)
    assert put.generation == media.generation + 1
    again.settle(0.0)
    assert not again.was_changing


def test_the_version_goes_on_from_what_was_sent_last_though_nobody_has_answered_it(call):
    media = call.media
    said = media.sides["ingress"].now.said
    other = msgspec.structs.replace(said, media=(msgspec.structs.replace(said.media[0], lines=("a=ptime:40",)),))
    media.pass_offer("ingress", other, 0.0)
    version = media.sides["egress"].origin.version
    again = restore_media(save_media(media), call.ref, call.context, 0.0).sides["egress"]
    assert again.origin.version == version
    assert again.now.told == media.sides["egress"].settled.told


# --- what was heard ---------------------------------------------------------------------------------------------------


def way():
    return Way(Expected(*IN, "PCMU", sends=True), Expected(*OUT, "PCMU", sends=True))


def count(one, other):
    return (wire.StreamCount(wire.EndCount(received=one), wire.EndCount(received=other)),)


def heard(*counts, restored_before=1):
    """A listening that hears these every two seconds, and is written down and read again before the last of them."""
    listening = Listening(Totals())
    listening.rewired((way(),), 1)
    for n, (one, other) in enumerate(counts):
        if n == len(counts) - restored_before:
            saved = save_listening(listening)
            listening = Listening(Totals())
            restore_listening(listening, saved)
        listening.take(1, count(one, other), 2.0 * n, is_answered=True)
    return listening


def packets(listening, *last):
    row = msgspec.json.decode(listening.finish(count(*last)))
    return row["ingress"][0]["packets"], row["egress"][0]["packets"]


def test_a_worker_that_went_on_has_the_counts_of_the_whole_life():
    assert packets(heard((100, 100), (200, 210), (900, 910)), 950, 960) == (950, 960)


def test_where_all_counters_were_lost_what_was_written_down_is_added():
    assert packets(heard((100, 100), (200, 210), (30, 40)), 50, 60) == (250, 270)


def test_where_nothing_is_heard_any_more_what_was_written_down_is_what_there_is():
    listening = heard((100, 100), (200, 210), (30, 40))
    row = msgspec.json.decode(listening.finish(()))
    assert row["ingress"][0]["packets"] == 230


def test_nobody_fell_silent_because_signalling_was_away():
    listening = Listening(Totals())
    listening.rewired((way(),), 1)
    for n in range(3):
        listening.take(1, count(100 * n, 100 * n), 2.0 * n, is_answered=True)
    saved = save_listening(listening)
    listening = Listening(Totals())
    restore_listening(listening, saved)
    assert listening.take(1, count(9_000, 9_000), 200.0, is_answered=True) == []
    assert listening.take(1, count(9_100, 9_100), 202.0, is_answered=True) == []


def test_who_was_found_silent_is_not_found_so_again():
    listening = Listening(Totals())
    listening.rewired((way(),), 1)
    found = []
    for n in range(60):
        found += listening.take(1, count(100 * n, 100 * min(n, 1)), 2.0 * n, is_answered=True)
    assert len(found) == 1
    again = Listening(Totals())
    restore_listening(again, save_listening(listening))
    for n in range(60, 120):
        assert again.take(1, count(100 * n, 100 * min(n, 1)), 2.0 * n, is_answered=True) == []
    assert msgspec.json.decode(again.finish(count(1, 1)))["fell_silent"]
