"""G.711's two laws in an m= line: found, added, taken out, and one in the place of the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.sdp.g711 import added_law, behind, in_law_of, lacks_a_law, laws, with_other_law
from sbc.sdp.model import Media
from sbc.sdp.payload_types import meanings_of

RTPMAPS = {
    "0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000", "13": "CN/8000", "96": "pcma/8000", "97": "PCMU/8000/1",
    "98": "PCMU/16000", "101": "telephone-event/8000",
}  # fmt: skip


def audio(formats, *lines, kind="audio", port=4000, proto="RTP/AVP", mapped=True):
    numbers = tuple(formats.split())
    maps = [f"a=rtpmap:{n} {RTPMAPS[n]}" for n in numbers if n in RTPMAPS] if mapped else []
    return Media(kind, port, proto, numbers, None, (*maps, *lines))


@pytest.mark.parametrize(
    ("media", "found"),
    [
        (audio("0 8 101"), {"pcmu": "0", "pcma": "8"}),
        (audio("0 8 101", mapped=False), {"pcmu": "0", "pcma": "8"}),
        (audio("96 97"), {"pcma": "96", "pcmu": "97"}),
        (audio("8 96"), {"pcma": "8"}),
        (audio("98"), {}),
        (audio("9 18"), {}),
        (audio("0", port=0), {}),
        (audio("0", kind="video"), {}),
        (audio("0", proto="udptl"), {}),
        (audio("x 200 8", "a=rtpmap:x PCMU/8000", "a=rtpmap:200 PCMU/8000"), {"pcma": "8"}),
        (audio("0", "a=rtpmap:0 opus/48000/2", mapped=False), {}),
    ],
)
def test_the_laws_of_a_stream(media, found):
    assert laws(media) == found


@pytest.mark.parametrize(
    ("formats", "wider"),
    [("0", "0 8"), ("8 101", "8 0 101"), ("9 8 18 101 13", "9 8 18 0 101 13"), ("101 8", "101 8 0"), ("96", "96 0")],
)
def test_the_other_law_stands_behind_the_codecs(formats, wider):
    before = audio(formats)
    after = with_other_law(before)
    assert after.formats == tuple(wider.split())
    assert laws(after).keys() == {"pcma", "pcmu"}
    assert added_law(before, after) in ("0", "8")


@pytest.mark.parametrize("media", [audio("0 8"), audio("9 18"), audio("0", port=0), audio("0", kind="video")])
def test_where_there_is_none_or_both_nothing_is_added(media):
    assert with_other_law(media) is media


def test_a_number_that_means_something_else_is_not_taken():
    media = audio("8 0", "a=rtpmap:0 opus/48000/2", "a=rtpmap:8 PCMA/8000", mapped=False)
    assert with_other_law(media) is media


def test_lines_of_a_format_that_was_not_there_are_replaced():
    media = with_other_law(audio("8", "a=rtpmap:0 iLBC/8000", "a=fmtp:0 mode=20", "a=ptime:20"))
    assert media.lines == ("a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=ptime:20")


def test_a_format_goes_behind_other_codecs():
    assert behind(audio("0 8 101"), "0").formats == ("8", "0", "101")
    media = audio("8 0 101")
    assert behind(media, "0") is media
    assert behind(media, "9") is media


@pytest.mark.parametrize("formats", ["0 8", "8 0 101"])
def test_a_law_that_was_not_offered_goes_where_another_was(formats):
    told = in_law_of(audio(formats), audio("8 101"))
    assert "0" not in told.formats
    assert not [line for line in told.lines if "PCMU" in line]


@pytest.mark.parametrize("mapped", [True, False])
def test_where_there_is_no_other_it_becomes_the_law_that_was_offered(mapped):
    told = in_law_of(audio("0 101", "a=ptime:20"), audio("8 101", mapped=mapped))
    assert told.formats == ("8", "101")
    assert "a=rtpmap:8 PCMA/8000" in told.lines
    assert "a=ptime:20" in told.lines
    assert not [line for line in told.lines if "PCMU" in line or ":0 " in line]


def test_it_gets_the_number_that_the_offer_had():
    assert in_law_of(audio("0 101"), audio("96 101")).formats == ("96", "101")


@pytest.mark.parametrize("offered", ["0 8", "0", "9", "9 0"])
def test_what_was_offered_or_is_no_law_stays(offered):
    media = audio("0 101")
    assert in_law_of(media, audio(offered)) is media


def test_most_calls_have_both_laws_and_that_is_seen_at_once():
    assert not lacks_a_law(audio("0 8 101"))
    assert not lacks_a_law(audio("96", kind="video"))
    assert not lacks_a_law(audio("0", port=0))
    assert lacks_a_law(audio("8"))
    assert lacks_a_law(audio("96 97"))


@given(st.lists(st.sampled_from(sorted(RTPMAPS)), min_size=1, unique=True), st.sampled_from(["0 101", "8", "96 0 8"]))
def test_who_has_offered_hears_of_no_law_but_his_own(formats, offered):
    media, wish = audio(" ".join(formats)), audio(offered)
    told = in_law_of(media, wish)
    assert laws(told).keys() <= laws(wish).keys()
    assert len(set(told.formats)) == len(told.formats)
    others = [m.codec.name for m in meanings_of(media).values() if m.codec.name not in ("pcma", "pcmu")]
    assert [m.codec.name for m in meanings_of(told).values() if m.codec.name not in ("pcma", "pcmu")] == others
