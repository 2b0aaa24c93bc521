from hypothesis import given
from hypothesis import strategies as st

from sbc.sdp.payload_types import meanings_of, only, payload_type, renumbered, rewriting, speaks_alike, translation

from .offers import with_media


def stream(*formats: str, fmtp: tuple[str, ...] = ()):
    """Formats as `96=opus/48000/2`."""
    numbers = [f.partition("=")[0] for f in formats]
    lines = [f"a=rtpmap:{f.replace('=', ' ')}" for f in formats if "=" in f]
    return with_media(f"m=audio 4000 RTP/AVP {' '.join(numbers)}", *lines, *[f"a=fmtp:{f}" for f in fmtp]).media[0]


def test_only_what_makes_another_format_of_a_codec_is_part_of_its_meaning():
    h264 = stream("96=H264/90000", "97=H264/90000", fmtp=("96 packetization-mode=1", "97 packetization-mode=0"))
    meanings = meanings_of(h264)
    assert meanings["96"] != meanings["97"]
    level = stream("96=H264/90000", fmtp=("96 profile-level-id=42E01F",))
    other = stream("96=H264/90000", fmtp=("96 profile-level-id=42e034",))
    assert meanings_of(level) == meanings_of(other)
    events = stream("101=telephone-event/8000", fmtp=("101 0-15",))
    assert meanings_of(events) == meanings_of(stream("101=telephone-event/8000", fmtp=("101 0-16",)))


def test_a_number_that_nothing_explains_means_itself():
    assert not meanings_of(stream("101"))["101"].is_known
    assert translation(stream("101"), stream("101=telephone-event/8000")) == {"101": "101"}


def test_translation_prefers_the_same_number_then_the_same_meaning():
    theirs = stream("0=PCMU/8000", "97=AMR/8000", "98=AMR/8000", fmtp=("98 octet-align=1",))
    mine = stream("0", "96=AMR/8000", "99=AMR/8000", "110=GSM/8000", fmtp=("96 octet-align=1",))
    assert translation(mine, theirs) == {"0": "0", "96": "98", "99": "97"}


def test_rewriting_names_only_what_differs():
    one, other = stream("0", "96=opus/48000/2"), stream("0", "111=opus/48000/2")
    assert rewriting(one, other) == ((96, 111),)
    assert rewriting(one, one) == ()
    assert rewriting(stream("096=opus/48000/2", "1x=GSM/8000"), other) == ((96, 111),)


def test_a_stream_in_other_numbers_takes_its_lines_along():
    media = with_media(
        "m=video 4000 RTP/AVPF 96 97 98",
        "a=rtpmap:96 VP8/90000",
        "a=rtcp-fb:96 nack",
        "a=rtcp-fb:* ccm fir",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96;rtx-time=200",
        "a=rtpmap:98 H264/90000",
    ).media[0]
    moved = renumbered(media, {"96": "100", "97": "101"})
    assert moved.formats == ("100", "101")
    assert moved.lines == (
        "a=rtpmap:100 VP8/90000",
        "a=rtcp-fb:100 nack",
        "a=rtcp-fb:* ccm fir",
        "a=rtpmap:101 rtx/90000",
        "a=fmtp:101 apt=100;rtx-time=200",
    )
    assert renumbered(media, {"96": "96", "97": "97", "98": "98"}) is media


def test_redundancy_goes_where_the_numbers_inside_its_packets_would_be_wrong():
    media = stream("96=red/8000", "97=t140/1000", fmtp=("96 97/97",))
    assert renumbered(media, {"96": "96", "97": "100"}).formats == ("100",)
    assert renumbered(media, {"96": "98", "97": "97"}).formats == ("98", "97")


def test_two_formats_never_get_one_number():
    assert renumbered(stream("0", "96=PCMU/8000"), {"0": "0", "96": "0"}).formats == ("0",)


def test_a_subset_in_an_order_of_its_own():
    assert only(stream("0", "8", "18"), ("18", "0")).formats == ("18", "0")


def test_number_and_rate_of_a_codec():
    assert payload_type(stream("0", "100=telephone-event/48000"), "telephone-event") == (100, 48000)
    assert payload_type(stream("0", "100=telephone-event/x"), "telephone-event") == (100, 8000)
    assert payload_type(stream("0"), "telephone-event") is None


encodings = st.sampled_from(("opus/48000/2", "AMR/8000", "telephone-event/8000", "PCMU/8000", "red/8000", "rtx/90000"))
streams = st.dictionaries(st.integers(0, 127).map(str), encodings, min_size=1, max_size=6).map(
    lambda formats: stream(*[f"{number}={encoding}" for number, encoding in formats.items()])
)


@given(streams, streams)
def test_a_translation_never_changes_the_codec(one, other):
    mine, theirs = meanings_of(one), meanings_of(other)
    for number, there in translation(one, other).items():
        assert mine[number].codec == theirs[there].codec


@given(streams)
def test_a_stream_speaks_like_itself(one):
    assert speaks_alike(one, one)
    assert translation(one, one) == {number: number for number in one.formats}
