"""The tester's voice and ear: a tone is told from another and from silence, in both laws; digits; loss; jitter."""

import struct

import pytest

from sbc.cli.tone import Ear, Voice, tone

INTERVAL = 0.02


def spoken(packets, *, law="PCMU", hertz=400):
    voice = Voice(0xFFFF_FF00, hertz)  # so that all numbers wrap
    voice.law, voice.number = law, {"PCMU": 0, "PCMA": 8}[law]
    return [voice.packet() for _ in range(packets)]


def heard(packets, *, hertz=400, event_number=None, delay=lambda n: 0.0):
    ear = Ear(hertz, event_number)
    for n, packet in enumerate(packets):
        ear.take(packet, 100.0 + n * INTERVAL + delay(n))
    return ear


@pytest.mark.parametrize("law", ["PCMU", "PCMA"])
def test_every_packet_of_the_tone_is_recognised(law):
    ear = heard(spoken(50, law=law))

    assert (ear.packets, ear.tone, ear.other, ear.silent, ear.lost, ear.law) == (50, 50, 0, 0, 0, law)


def test_another_tone_is_another_sound():
    ear = heard(spoken(50, hertz=600), hertz=400)

    assert (ear.tone, ear.other) == (0, 50)


@pytest.mark.parametrize(("number", "silence"), [(0, b"\xff"), (8, b"\xd5")])
def test_silence_is_silence(number, silence):
    packets = [struct.pack("!BBHII", 0x80, number, n, n * 160, 7) + silence * 160 for n in range(10)]

    assert (heard(packets).silent, heard(packets).tone) == (10, 0)


def test_both_laws_say_the_same_tone():
    assert tone("PCMU", 400) != tone("PCMA", 400)
    assert len(tone("PCMA", 400)) == 160


def test_digits_are_heard_once_each_and_the_tone_goes_on():
    voice = Voice(1, 400)
    voice.dial("1234", 101)
    ear = heard([voice.packet() for _ in range(80)], event_number=101)

    assert ear.digits == "1234"
    assert ear.tone == voice.sent


def test_digits_of_another_number_are_not_digits():
    voice = Voice(1, 400)
    voice.dial("12", 101)

    assert heard([voice.packet() for _ in range(40)], event_number=96).digits == ""


def test_the_same_digit_twice_is_two_digits():
    voice = Voice(1, 400)
    voice.dial("11", 101)

    assert heard([voice.packet() for _ in range(40)], event_number=101).digits == "11"


def test_packets_that_are_missing_are_lost():
    packets = spoken(100)
    del packets[10:20]
    ear = heard(packets)

    assert (ear.packets, ear.lost) == (90, 10)
    assert ear.loss == pytest.approx(0.1)


def test_packets_of_digits_are_not_lost_sound():
    voice = Voice(1, 400)
    voice.dial("12", 101)
    ear = heard([voice.packet() for _ in range(60)], event_number=101)

    assert ear.lost == 0


def test_a_packet_that_is_late_is_not_lost():
    packets = spoken(20)
    packets[5], packets[6] = packets[6], packets[5]

    assert heard(packets).lost == 0


def test_jitter_is_that_of_the_arrivals():
    even, uneven = heard(spoken(200)), heard(spoken(200), delay=lambda n: 0.010 * (n % 2))

    assert even.jitter_ms == pytest.approx(0, abs=0.01)
    assert uneven.jitter_ms == pytest.approx(10, rel=0.05)


def test_a_good_stream_scores_well_and_none_not_at_all():
    assert heard(spoken(50)).mos > 4.3
    assert heard([]).mos is None


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\xc8" + bytes(30), b"\x00" * 40, b"\x80\x00" + bytes(10)])
def test_what_is_no_sound_is_not_counted(data):
    assert heard([data]).packets == 0
