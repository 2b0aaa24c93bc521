"""What crosses between the two sides of a call's media, and what does not."""

import pytest
from msgspec.structs import replace

from sbc.policy.model import CodecRules
from sbc.sdp.model import SdpError

from .calls import CARRIER, OFFICE, exchange, media, sdp, session, shown, talk, version

OFFER = sdp(OFFICE, "audio 4000 0 8 101")
ANSWER = sdp(CARRIER, "audio 5000 0 101")


def test_an_ordinary_call_keeps_numbers_and_needs_no_rewriting():
    call = media()
    asked, answered = talk(call, OFFER, ANSWER)
    assert shown(asked) == ["audio 0 8 101"]
    assert shown(answered) == ["audio 0 101"]
    stream = call.relay().streams[0]
    assert stream.ingress_to_egress == stream.egress_to_ingress == ()
    assert stream.ingress.remote is not None
    assert stream.egress.remote is not None
    assert (stream.ingress.remote.host, stream.egress.remote.host) == (OFFICE, CARRIER)


def test_the_version_goes_up_exactly_with_the_text():
    call = media()
    first, told = talk(call, OFFER, ANSWER)
    again, told_again = talk(call, OFFER, ANSWER)
    assert (first, told) == (again, told_again)
    held, _ = talk(call, OFFER + b"a=sendonly\r\n", ANSWER + b"a=recvonly\r\n")
    assert version(held) == version(first) + 1


def test_a_rejected_offer_leaves_the_session_as_it_was_and_the_version_above_it():
    call = media()
    first, _ = talk(call, OFFER, ANSWER)
    before = call.relay().streams
    rejected = call.pass_offer("ingress", call.read(OFFER + b"a=sendonly\r\n"), 2.0)
    call.restore(2.0)
    assert call.relay().streams == before
    again = call.last_sent("egress")
    assert session(again).media == session(first).media
    assert version(again) == version(rejected) + 1 == version(first) + 2
    assert call.last_sent("egress") == again


def test_an_early_answer_to_a_rejected_offer_is_void():
    call = media()
    talk(call, OFFER, ANSWER)
    [before] = call.relay().streams
    call.pass_offer("ingress", call.read(sdp(OFFICE, "audio 4400 8")), 2.0)
    call.pass_answer(call.read(sdp(CARRIER, "audio 5500 8")))
    assert call.relay().streams[0].ingress.remote != before.ingress.remote
    call.restore(2.0)
    [after] = call.relay().streams
    # Both ends have moved and come back: where their packets come from is learned anew.
    ends = replace(after.ingress, epoch=2), replace(after.egress, epoch=2)
    assert (after.ingress, after.egress) == ends
    assert replace(after, ingress=before.ingress, egress=before.egress) == before


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        (CodecRules(("pcma",)), "audio 8"),
        (CodecRules(("pcma", "telephone-event")), "audio 8 101"),
        (CodecRules((), ("pcma",)), "audio 8 0 101"),
        (CodecRules(("pcmu", "pcma/8000"), ("pcma",)), "audio 8 0"),
    ],
)
def test_codecs_by_the_rules_of_the_peer_that_is_asked(rules, names):
    call = media(carrier=rules)
    assert shown(call.pass_offer("ingress", call.read(OFFER), 1.0)) == [names]


def test_codecs_that_the_asking_peer_may_not_have_are_not_asked_for():
    call = media(office=CodecRules(("pcmu",), ("pcmu",)))
    assert shown(call.pass_offer("ingress", call.read(OFFER), 1.0)) == ["audio 0"]


def test_no_codec_left_is_488():
    call = media(carrier=CodecRules(("opus",)))
    with pytest.raises(SdpError) as refused:
        call.pass_offer("ingress", call.read(OFFER), 1.0)
    assert refused.value.status == 488


def test_an_answer_with_other_numbers_comes_back_in_the_offers_numbers_and_packets_are_rewritten():
    call = media()
    _, answered = talk(call, OFFER, sdp(CARRIER, "audio 5000 0 96=telephone-event/8000"))
    assert shown(answered) == ["audio 0 101"]
    stream = call.relay().streams[0]
    assert stream.ingress_to_egress == ((101, 96),)
    assert stream.egress_to_ingress == ()


def test_fax_is_refused_where_the_peer_is_set_so_and_the_call_keeps_its_sound():
    call = media(carrier_fax=False)
    talk(call, OFFER, ANSWER)
    with pytest.raises(SdpError) as refused:
        call.pass_offer("ingress", call.read(sdp(OFFICE, "image 4000")), 1.0)
    assert refused.value.status == 488
    asked = call.pass_offer("ingress", call.read(sdp(OFFICE, "audio 4000 0", "image 4002")), 1.0)
    assert shown(asked) == ["audio 0", "-image"]


def test_fax_in_the_place_of_sound_and_back():
    call = media()
    talk(call, OFFER, ANSWER)
    asked, answered = exchange(call, "egress", sdp(CARRIER, "image 5000"), sdp(OFFICE, "image 4000"))
    assert (shown(asked), shown(answered)) == (["image t38"], ["image t38"])
    assert [stream.rtp for stream in call.relay().streams] == [False]
    talk(call, OFFER, ANSWER)
    assert [stream.rtp for stream in call.relay().streams] == [True]
