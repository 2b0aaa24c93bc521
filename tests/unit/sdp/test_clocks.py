import pytest

from sbc.sdp.clocks import clocks_of, event_format
from sbc.sdp.model import Media


def audio(formats, *maps):
    return Media("audio", 4000, "RTP/AVP", tuple(formats.split()), None, tuple(f"a=rtpmap:{one}" for one in maps))


@pytest.mark.parametrize(
    ("media", "clocks"),
    [
        (audio("0 8 9 18"), {}),
        (audio("11 6 34"), {11: 44100, 6: 16000, 34: 90000}),
        (audio("11", "11 L16/8000"), {}),
        (audio("96 0", "96 opus/48000/2", "0 PCMU/8000"), {96: 48000}),
        (audio("0", "96 opus/48000/2"), {}),
        (audio("0", "0 PCMU/16000"), {0: 16000}),
        (audio("96 97 98 99", "96 a/0", "97 b/", "98 c/x", "99 d/123456789"), {}),
        (audio("200 x -1", "200 opus/48000", "x opus/48000", "-1 opus/48000"), {}),
    ],
)
def test_clocks_that_are_not_the_usual_one(media, clocks):
    assert dict(clocks_of(media)) == clocks


@pytest.mark.parametrize(
    ("media", "found"),
    [
        (audio("0"), None),
        (audio("0 101", "101 telephone-event/8000"), (101, 8000)),
        (audio("0 101", "101 Telephone-Event/16000"), (101, 16000)),
        (audio("0 101", "101 telephone-event"), (101, 8000)),
        (audio("98 97", "97 telephone-event/8000", "98 telephone-event/48000"), (98, 48000)),
        (audio("0", "101 telephone-event/8000"), None),
        (audio("101", "101 x-telephone-event/8000"), None),
        (audio("101", "101 telephone-event/0"), (101, 8000)),
        (audio("128 x", "128 telephone-event/8000", "x telephone-event/8000"), None),
    ],
)
def test_the_first_telephone_event(media, found):
    assert event_format(media) == found
