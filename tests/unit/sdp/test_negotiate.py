import pytest

from sbc.sdp.describe import describe
from sbc.sdp.direction import Direction, direction_of
from sbc.sdp.model import SdpError, Session
from sbc.sdp.negotiate import answer, check_answer, check_next_offer
from sbc.sdp.parse import parse_sdp
from sbc.sdp.serialize import serialize_sdp

from .offers import PHONE, session, with_media

PHONE_2 = describe("198.51.100.7", 7000)


def shape(description: Session) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(m.kind, m.port, m.formats) for m in description.media]


# --- answer -----------------------------------------------------------------------------------------------------------


def test_common_codecs_in_the_offers_order_with_its_numbers():
    offer = with_media("m=audio 4000 RTP/AVP 8 96 0 18", "a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-11")
    (audio,) = answer(offer, PHONE_2).media
    assert (audio.port, audio.formats) == (7000, ("8", "96", "0"))
    assert audio.lines == ("a=rtpmap:96 telephone-event/8000", "a=fmtp:96 0-11", "a=ptime:20")


def test_the_answer_is_ours_but_for_the_time_which_is_the_offers():
    offer = with_media("m=audio 4000 RTP/AVP 0", head="c=IN IP4 192.0.2.10\nt=2873397496 2873404696")
    reply = answer(offer, PHONE_2)
    assert (reply.origin, reply.connection) == (PHONE_2.origin, PHONE_2.connection)
    assert reply.lines == ("t=2873397496 2873404696",)


@pytest.mark.parametrize(
    ("offered", "ours", "answered"),
    [
        ("sendrecv", Direction.SENDRECV, "sendrecv"),
        ("sendonly", Direction.SENDRECV, "recvonly"),
        ("recvonly", Direction.SENDRECV, "sendonly"),
        ("inactive", Direction.SENDRECV, "inactive"),
        ("sendrecv", Direction.SENDONLY, "sendonly"),
        ("sendonly", Direction.SENDONLY, "inactive"),
        ("recvonly", Direction.INACTIVE, "inactive"),
    ],
)
def test_direction_is_the_offers_turned_round_and_narrowed_by_ours(offered, ours, answered):
    offer = with_media("m=audio 4000 RTP/AVP 0", f"a={offered}")
    reply = answer(offer, describe("198.51.100.7", 7000, direction=ours))
    assert direction_of(reply, reply.media[0]) == answered


def test_the_old_hold_is_answered_as_hold():
    reply = answer(with_media("m=audio 4000 RTP/AVP 0", head="c=IN IP4 0.0.0.0\nt=0 0"), PHONE_2)
    assert direction_of(reply, reply.media[0]) is Direction.RECVONLY


def test_streams_that_we_do_not_have_are_refused_in_their_place():
    offer = with_media(
        "m=video 4002 RTP/AVP 31",
        "m=audio 4000 RTP/AVP 0",
        "m=audio 4004 RTP/AVP 0",
        "m=image 4006 udptl t38",
        "m=audio 0 RTP/AVP 0",
        "m=audio 4008 RTP/SAVP 0",
    )
    assert shape(answer(offer, PHONE_2)) == [
        ("video", 0, ("31",)),
        ("audio", 7000, ("0",)),
        ("audio", 0, ("0",)),
        ("image", 0, ("t38",)),
        ("audio", 0, ("0",)),
        ("audio", 0, ("0",)),
    ]


def test_an_opaque_stream_is_answered_by_its_formats():
    offer = with_media("m=image 4006 udptl t38 other")
    ours = with_media("m=image 7006 udptl t38")
    assert shape(answer(offer, ours)) == [("image", 7006, ("t38",))]


def test_a_stream_that_cannot_be_relayed_is_refused_even_if_we_have_its_like():
    offer = with_media("m=audio 4000 RTP/AVP 0", "m=message 4006 TCP/MSRP *")
    ours = with_media("m=audio 7000 RTP/AVP 0", "m=message 7006 TCP/MSRP *")
    assert shape(answer(offer, ours)) == [("audio", 7000, ("0",)), ("message", 0, ("*",))]


def test_audio_and_video():
    offer = with_media("m=audio 4000 RTP/AVP 0", "m=video 4002 RTP/AVP 97", "a=rtpmap:97 H264/90000")
    reply = answer(offer, describe("198.51.100.7", 7000, video_port=7002))
    assert shape(reply) == [("audio", 7000, ("0",)), ("video", 7002, ("97",))]


@pytest.mark.parametrize(
    "media",
    [
        ["m=audio 4000 RTP/AVP 18"],
        ["m=audio 4000 RTP/AVP 101", "a=rtpmap:101 telephone-event/8000"],
        ["m=audio 4000 RTP/SAVP 0"],
        ["m=video 4000 RTP/AVP 31"],
    ],
)
def test_nothing_in_common_is_488(media):
    with pytest.raises(SdpError) as caught:
        answer(with_media(*media), PHONE_2)
    assert caught.value.status == 488


def test_an_offer_without_a_live_stream_is_answered_in_kind():
    assert shape(answer(with_media("m=audio 0 RTP/AVP 0"), PHONE_2)) == [("audio", 0, ("0",))]
    assert shape(answer(with_media(), PHONE_2)) == []


def test_an_answer_passes_its_own_check_and_the_wire():
    reply = answer(session(PHONE), PHONE_2)
    check_answer(session(PHONE), reply)
    assert parse_sdp(serialize_sdp(reply)) == reply


# --- check_answer -----------------------------------------------------------------------------------------------------

OFFER = with_media("m=audio 4000 RTP/AVP 0", "m=video 0 RTP/AVP 31", "m=image 4004 udptl t38")


def test_an_answer_that_matches_stream_by_stream_passes():
    check_answer(OFFER, with_media("m=audio 1 RTP/AVPF 8", "m=video 0 RTP/AVP 34", "m=image 0 udptl t38"))


@pytest.mark.parametrize(
    "media",
    [
        pytest.param(["m=audio 1 RTP/AVP 0"], id="too few"),
        pytest.param(
            ["m=audio 1 RTP/AVP 0", "m=video 0 RTP/AVP 31", "m=image 1 udptl t38", "m=audio 0 RTP/AVP 0"], id="too many"
        ),
        pytest.param(["m=video 0 RTP/AVP 31", "m=audio 1 RTP/AVP 0", "m=image 1 udptl t38"], id="another order"),
        pytest.param(["m=audio 1 RTP/AVP 0", "m=video 1 RTP/AVP 31", "m=image 1 udptl t38"], id="refused, yet taken"),
        pytest.param(["m=audio 1 RTP/SAVP 0", "m=video 0 RTP/AVP 31", "m=image 1 udptl t38"], id="keyed"),
        pytest.param(["m=audio 1 udptl t38", "m=video 0 RTP/AVP 31", "m=image 1 udptl t38"], id="no longer RTP"),
    ],
)
def test_an_answer_that_cannot_be_matched_up_is_488(media):
    with pytest.raises(SdpError) as caught:
        check_answer(OFFER, with_media(*media))
    assert caught.value.status == 488


def test_streams_may_be_added_but_never_vanish():
    one, two = with_media("m=audio 1 RTP/AVP 0"), with_media("m=audio 1 RTP/AVP 0", "m=video 1 RTP/AVP 31")
    check_next_offer(one, two)
    check_next_offer(two, two)
    with pytest.raises(SdpError):
        check_next_offer(two, one)
