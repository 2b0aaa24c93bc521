from sbc.sdp.events import event_formats, with_events, without_events
from sbc.sdp.own_offer import own_stream

from .offers import PHONE, session, with_media

SOUND = with_media("m=audio 4000 RTP/AVP 0 101", "a=rtpmap:101 opus/48000/2").media[0]


def test_events_are_put_in_under_a_free_number():
    media = with_events(SOUND)
    assert media.formats == ("0", "101", "96")
    assert "a=rtpmap:96 telephone-event/8000" in media.lines
    assert with_events(media) is media


def test_events_are_put_in_like_the_offers():
    phone = session(PHONE).media[0]
    media = with_events(with_media("m=audio 4000 RTP/AVP 0").media[0], phone)
    assert media.formats == ("0", "101")
    assert "a=fmtp:101 0-16" in media.lines
    assert with_events(SOUND, phone) is SOUND  # the number is taken


def test_events_are_taken_out_with_their_lines():
    media = without_events(session(PHONE).media[0])
    assert media.formats == ("0", "8")
    assert not [line for line in media.lines if "101" in line]
    assert without_events(media) is media


def test_only_live_sound_gets_events():
    for line in ("m=audio 0 RTP/AVP 0", "m=video 4000 RTP/AVP 31", "m=image 4000 udptl t38"):
        media = with_media(line).media[0]
        assert with_events(media) is media
        assert without_events(media) is media


def test_the_usual_sound_of_our_own():
    media = own_stream()
    assert media.formats == ("0", "8", "101")
    assert event_formats(media) == ["101"]


def test_our_own_sound_has_the_codecs_that_are_named_and_known():
    assert own_stream(("g722", "opus", "unheard-of", "l16/44100")).formats == ("9", "96", "11")
    assert own_stream(("unheard-of", "telephone-event")).port == 0
