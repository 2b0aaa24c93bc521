"""What the demo concludes: exit 0 only if audio was heard both ways in both calls."""

import pytest

from sbc.cli.demo import Voice, _verdict


def voices(*heard: int) -> list[Voice]:
    ways = [
        (1, "office", "carrier-a"),
        (1, "carrier-a", "office"),
        (2, "office", "carrier-a"),
        (2, "carrier-a", "office"),
    ]
    return [Voice(*way, 100, count) for way, count in zip(ways, heard, strict=True)]


@pytest.mark.parametrize(
    ("heard", "status"),
    [((100, 100, 100, 100), 0), ((100, 95, 100, 100), 0), ((100, 0, 100, 100), 1), ((100, 100, 100, 50), 1)],
)
def test_one_way_audio_is_no_success(heard, status, capsys):
    assert _verdict(voices(*heard)) == status
    assert ("NOT HEARD" in capsys.readouterr().out) is bool(status)


def test_silence_is_no_success():
    assert not Voice(1, "office", "carrier-a", 0, 0).is_good


def test_what_a_phone_complains_of_is_shown_and_fails(capsys):
    class Phone:
        name = "office"
        agent = type("Agent", (), {"complaints": ["INVITE: Max-Forwards is None"]})()
        heard = type("Heard", (), {"foreign": 3})()

    assert _verdict(voices(100, 100, 100, 100), Phone()) == 1
    out = capsys.readouterr().out
    assert "office: INVITE: Max-Forwards is None" in out
    assert "3 packets that were not for it" in out
