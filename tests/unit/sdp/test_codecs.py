from sbc.sdp.codecs import Codec, codecs_of, format_name

from .offers import with_media


def media(*lines: str):
    return with_media(*lines).media[0]


def test_a_mapped_format_is_called_by_its_map():
    assert format_name(media("m=audio 1 RTP/AVP 96", "a=rtpmap:96 opus/48000/2"), "96") == "opus"


def test_a_static_format_is_called_by_its_number_in_rfc_3551():
    assert format_name(media("m=audio 1 RTP/AVP 18"), "18") == "G729"


def test_a_map_may_redefine_a_static_number():
    assert format_name(media("m=audio 1 RTP/AVP 0", "a=rtpmap:0 L8/8000"), "0") == "L8"


def test_a_format_that_nobody_explains_keeps_its_number():
    assert format_name(media("m=audio 1 RTP/AVP 97", "a=rtpmap:9 x/1", "a=rtpmap:971 y/1"), "97") == "97"


def test_a_name_that_is_no_token_is_not_used():
    assert format_name(media("m=audio 1 RTP/AVP 97", "a=rtpmap:97 ünï/8000"), "97") == "97"


def test_what_is_not_rtp_is_called_by_its_format():
    assert format_name(media("m=image 1 udptl t38"), "t38") == "t38"


def test_codecs_keep_the_order_of_the_m_line():
    stream = media("m=audio 1 RTP/AVP 101 8 0 99", "a=rtpmap:101 Telephone-Event/8000", "a=rtpmap:0 pcmu/8000/1")
    assert codecs_of(stream) == {
        "101": Codec("telephone-event", "8000"),
        "8": Codec("pcma", "8000"),
        "0": Codec("pcmu", "8000"),
    }
    assert list(codecs_of(stream)) == ["101", "8", "0"]


def test_names_compare_without_case_and_rates_exactly():
    assert Codec("pcmu", "8000") == Codec("pcmu", "8000", "1")
    assert Codec("g722", "8000") != Codec("g722", "16000")


def test_dtmf_and_comfort_noise_are_no_sound():
    assert [c for c in ("pcmu", "telephone-event", "cn") if Codec(c, "8000").is_sound] == ["pcmu"]
