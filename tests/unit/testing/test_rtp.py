import pytest

from sbc.testing.rtp import SAMPLES, Heard, Tone, mu_law


def test_a_tone_is_heard_without_loss():
    tone, heard = Tone(7, 400), Heard()
    for _ in range(50):
        heard.take(tone.packet())
    assert (heard.packets, heard.lost, heard.foreign, heard.ssrc) == (50, 0, 0, 7)


def test_gaps_are_counted_also_where_sequence_numbers_wrap():
    tone, heard = Tone(7, 400), Heard()
    tone._sequence = 65534
    packets = [tone.packet() for _ in range(6)]
    for n in (0, 1, 4, 5):
        heard.take(packets[n])
    assert (heard.packets, heard.lost) == (4, 2)


def test_other_streams_and_other_protocols_are_foreign():
    heard = Heard()
    heard.take(Tone(7, 400).packet())
    heard.take(Tone(8, 400).packet())
    heard.take(b"\x00\x01\x00\x00" * 5)
    heard.take(b"")
    assert (heard.packets, heard.foreign) == (1, 3)


def test_a_packet_is_twenty_milliseconds_of_pcmu():
    data = Tone(7, 400).packet()
    assert len(data) == 12 + SAMPLES
    assert data[:2] == b"\x80\x00"


@pytest.mark.parametrize(("sample", "code"), [(0, 0xFF), (-1, 0x7F), (32767, 0x80), (-32768, 0x00), (1000, 0xCE)])
def test_mu_law_of_known_samples(sample, code):
    assert mu_law(sample) == code
