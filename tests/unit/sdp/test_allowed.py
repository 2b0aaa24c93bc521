import pytest

from sbc.sdp.allowed import allowed, check_something_left, is_fax, ordered, without_fax
from sbc.sdp.model import SdpError

from .offers import with_media

WIDE = with_media(
    "m=audio 4000 RTP/AVP 96 0 9 13 98 101 99",
    "a=rtpmap:96 opus/48000/2",
    "a=rtpmap:98 telephone-event/48000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-16",
    "a=rtpmap:99 CN/16000",
    "a=ptime:20",
).media[0]


@pytest.mark.parametrize(
    ("names", "formats"),
    [
        ((), ("96", "0", "9", "13", "98", "101", "99")),
        (("pcmu",), ("0", "13")),
        (("pcmu", "telephone-event"), ("0", "13", "101")),
        (("opus", "telephone-event"), ("96", "98")),
        (("g722/8000", "pcmu/16000"), ("9", "13")),
    ],
)
def test_comfort_noise_follows_its_codec_and_events_need_their_own_name(names, formats):
    media = allowed(WIDE, names)
    assert media.formats == formats
    assert {line.split()[0].partition(":")[2] for line in media.lines if "rtpmap" in line} <= set(formats)
    assert "a=ptime:20" in media.lines


def test_the_only_events_stay_whatever_their_clock_rate():
    media = with_media("m=audio 4000 RTP/AVP 96 101", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000")
    assert allowed(media.media[0], ("opus", "telephone-event")).formats == ("96", "101")


@pytest.mark.parametrize("names", [("gsm",), ("telephone-event", "cn")])
def test_a_stream_without_sound_is_refused(names):
    assert allowed(WIDE, names).port == 0


def test_retransmission_follows_its_codec():
    media = with_media(
        "m=video 4000 RTP/AVPF 96 97 98 99",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:98 H264/90000",
        "a=rtpmap:99 rtx/90000",
        "a=fmtp:99 apt=98",
        "a=rtcp-fb:96 nack",
    ).media[0]
    kept = allowed(media, ("h264",))
    assert kept.formats == ("98", "99")
    assert "a=rtcp-fb:96 nack" not in kept.lines


def test_what_is_no_rtp_has_no_codecs():
    image = with_media("m=image 4000 udptl t38").media[0]
    assert allowed(image, ("pcmu",)) is image
    assert ordered(image, ("pcmu",)) is image


def test_order_puts_these_first_and_what_is_no_sound_last():
    assert ordered(WIDE, ("g722", "telephone-event", "pcmu")).formats == ("9", "0", "96", "98", "101", "13", "99")
    assert ordered(WIDE, ("telephone-event",)).formats[:3] == ("96", "0", "9")
    assert ordered(WIDE, ()) is WIDE


@pytest.mark.parametrize(
    ("line", "fax"),
    [("m=image 4000 udptl t38", True), ("m=application 4000 udp t38", True), ("m=audio 4000 RTP/AVP 0", False)],
)
def test_fax_is_told_by_its_kind_or_format(line, fax):
    media = with_media(line).media[0]
    assert is_fax(media) is fax
    assert (without_fax(media).port == 0) is fax


def test_something_must_be_left_of_what_was_wanted():
    wanted = with_media("m=audio 4000 RTP/AVP 0")
    refused = with_media("m=audio 0 RTP/AVP 0")
    check_something_left(refused, refused)
    with pytest.raises(SdpError) as error:
        check_something_left(wanted, refused)
    assert error.value.status == 488
