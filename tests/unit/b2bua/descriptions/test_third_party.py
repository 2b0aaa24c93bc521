"""Descriptions that no peer has asked us to pass: legs that change partners, offers of ours, answers on the spot."""

import pytest

from sbc.b2bua.ports import PortPool
from sbc.policy.model import CodecRules
from sbc.sdp.model import SdpError

from .calls import CARRIER, OFFICE, OUTSIDE, THIRD, exchange, media, pool, sdp, session, shown, talk, version

OFFER = sdp(OFFICE, "audio 4000 0 8 101")
ANSWER = sdp(CARRIER, "audio 5000 0 8 101")
HELD = OFFER + b"a=sendonly\r\n"


def joined(ports: PortPool, *, offered: bytes, answer: bytes):
    """The office talks to the carrier; then the carrier's place is taken by a third that a second call has dialled."""
    call, child = media(ports), media(ports)
    talk(call, OFFER, ANSWER)
    exchange(child, "ingress", offered, answer)
    call.take_side("egress", child.give_side("egress"), 3.0)
    child.release(3.0)
    return call


def test_a_leg_that_changes_partners_keeps_its_numbers_and_its_versions_go_on():
    ports = pool()
    call, child = media(ports), media(ports)
    first, told = talk(call, sdp(OFFICE, "audio 4000 96=opus/48000/2 0"), sdp(CARRIER, "audio 5000 96=opus/48000/2 0"))
    exchange(child, "ingress", sdp(OFFICE, "audio 4000 98=AMR/8000 0"), sdp(THIRD, "audio 6000 96=AMR/8000 0"))
    call.take_side("egress", child.give_side("egress"), 3.0)
    offer = call.reoffer("ingress", 3.0)
    assert offer is not None
    number = shown(offer)[0].split()[1]
    assert number not in ("96", "0")  # 96 has been opus there, and is so for ever
    assert version(offer) == version(told) + 1
    assert call.pass_answer(call.read(sdp(OFFICE, f"audio 4000 {number}=AMR/8000 0"))) == b""
    call.settle(3.0)
    stream = call.relay().streams[0]
    assert stream.ingress_to_egress == ((int(number), 96),)
    assert stream.egress_to_ingress == ((98, int(number)),)
    assert version(first) == 1


def test_nobody_is_told_what_he_knows():
    call = joined(pool(), offered=OFFER, answer=sdp(THIRD, "audio 6000 0 8 101"))
    assert call.reoffer("ingress", 3.0) is None
    assert call.reoffer("egress", 3.0) is None
    stream = call.relay().streams[0]
    assert stream.egress.remote is not None
    assert stream.egress.remote.host == THIRD


def test_a_smaller_answer_is_no_news_to_a_peer_that_uses_no_more():
    call = media()
    asked = call.own_offer("egress", 1.0)
    assert shown(asked) == ["audio 0 8 101"]
    call.pass_answer(call.read(sdp(CARRIER, "audio 5000 8 101")))
    call.settle(1.0)
    offer = call.reoffer("ingress", 1.0)
    assert offer is not None
    assert shown(offer) == ["audio 8 101"]
    call.pass_answer(call.read(sdp(OFFICE, "audio 4000 8 101")))
    call.settle(1.0)
    assert call.reoffer("egress", 1.0) is None
    stream = call.relay().streams[0]
    assert stream.ingress.remote is not None
    assert stream.egress.remote is not None


def test_a_codec_that_goes_is_news():
    call = media()
    call.own_offer("egress", 1.0)
    call.pass_answer(call.read(sdp(CARRIER, "audio 5000 0 8 101")))
    call.settle(1.0)
    assert call.reoffer("ingress", 1.0) is not None
    call.pass_answer(call.read(sdp(OFFICE, "audio 4000 8 101")))
    call.settle(1.0)
    again = call.reoffer("egress", 1.0)
    assert again is not None
    assert shown(again) == ["audio 8 101"]


@pytest.mark.parametrize(
    ("allow", "names"),
    [((), "audio 0 8 101"), (("g722", "telephone-event"), "audio 9 101"), (("opus", "pcma"), "audio 96 8")],
)
def test_an_offer_of_ours_has_the_codecs_of_its_peer(allow, names):
    assert shown(media(carrier=CodecRules(allow)).own_offer("egress", 1.0)) == [names]


def test_an_offer_of_ours_needs_a_codec_that_both_may_use():
    call = media(carrier=CodecRules(("g722",)), office=CodecRules(("pcma",)))
    with pytest.raises(SdpError) as refused:
        call.own_offer("egress", 1.0)
    assert refused.value.status == 488


def test_the_holds_of_a_former_partner_are_lifted_and_its_own_stays():
    call = media()
    talk(call, OFFER, ANSWER)
    exchange(call, "egress", ANSWER + b"a=sendonly\r\n", OFFER + b"a=recvonly\r\n")
    wanted = call.described("ingress")
    assert wanted is not None
    assert "a=sendrecv" in wanted.media[0].lines
    talk(call, HELD, ANSWER + b"a=recvonly\r\n")
    exchange(call, "egress", ANSWER + b"a=inactive\r\n", OFFER + b"a=inactive\r\n")
    wanted = call.described("ingress")
    assert wanted is not None
    assert "a=sendonly" in wanted.media[0].lines


def test_an_offer_that_tells_the_other_side_nothing_new_is_answered_on_the_spot():
    call = media()
    talk(call, OFFER, ANSWER)
    moved = call.read(sdp(OFFICE, "audio 4444 0 8 101", version=2))
    assert call.fits("egress", moved)
    before = call.last_sent("ingress")
    assert call.answer_locally("ingress", moved, 2.0) == before
    remote = call.relay().streams[0].ingress.remote
    assert remote is not None
    assert remote.port == 4444
    assert not call.fits("egress", call.read(HELD))


def test_an_offer_in_the_place_of_a_former_partner_is_answered_by_what_the_other_side_has():
    ports = pool()
    call, newcomer = media(ports), media(ports)
    talk(call, sdp(OFFICE, "audio 4000 8 101"), sdp(CARRIER, "audio 5000 8 101"))
    call.take_side("egress", newcomer.give_side("egress"), 2.0)
    offer = sdp(THIRD, "audio 6000 0 8 100=telephone-event/8000", "video 6002 96=H264/90000")
    answer = call.answer_locally("egress", call.read(offer), 2.0)
    assert shown(answer) == ["audio 8 100", "-video"]
    assert call.reoffer("ingress", 2.0) is not None
    stream = call.relay().streams[0]
    assert len(call.relay().streams) == 1
    assert stream.egress_to_ingress == ((100, 101),)
    assert stream.ingress_to_egress == ((101, 100),)


@pytest.mark.parametrize("wish", ["", ";a=rtcp-rsize"])
def test_short_rtcp_is_agreed_to_only_where_it_was_offered(wish):
    ports = pool()
    call, newcomer = media(ports), media(ports)
    talk(call, sdp(OFFICE, "audio 4000 8;a=rtcp-rsize"), sdp(CARRIER, "audio 5000 8;a=rtcp-rsize"))
    call.take_side("egress", newcomer.give_side("egress"), 2.0)
    answer = call.answer_locally("egress", call.read(sdp(THIRD, f"audio 6000 8{wish}")), 2.0)
    assert (b"a=rtcp-rsize" in answer) is bool(wish)


def test_a_telephone_with_the_other_law_takes_the_place_of_one():
    call = media(recodes=True)
    talk(call, sdp(OFFICE, "audio 4000 8"), sdp(CARRIER, "audio 5000 8"))
    answer = call.answer_locally("egress", call.read(sdp(THIRD, "audio 6000 0")), 2.0)
    assert shown(answer) == ["audio 0"]
    recoded = call.relay().streams[0].transcodings
    assert [(one.side, one.payload_type, one.becomes) for one in recoded] == [("ingress", 8, 0), ("egress", 0, 8)]


def test_nothing_in_common_is_488():
    call = media()
    talk(call, sdp(OFFICE, "audio 4000 8"), sdp(CARRIER, "audio 5000 8"))
    with pytest.raises(SdpError) as refused:
        call.answer_locally("egress", call.read(sdp(THIRD, "audio 6000 0")), 2.0)
    assert refused.value.status == 488


def test_the_m_lines_of_somebody_who_has_left_stay_refused_in_their_places():
    ports = pool()
    call, child = media(ports), media(ports)
    video = "video 4002 96=H264/90000"
    talk(call, sdp(OFFICE, "audio 4000 0", video), sdp(CARRIER, "audio 5000 0", "video 5002 96=H264/90000"))
    exchange(child, "ingress", sdp(OFFICE, "audio 4000 0"), sdp(THIRD, "audio 6000 0"))
    call.take_side("egress", child.give_side("egress"), 3.0)
    child.release(3.0)
    offer = call.reoffer("ingress", 3.0)
    assert offer is not None
    assert shown(offer) == ["audio 0", "-video"]
    call.pass_answer(call.read(sdp(OFFICE, "audio 4000 0", "video 0 96")))
    call.settle(3.0)
    assert ports.in_use == 2
    asked, answered = exchange(call, "egress", sdp(THIRD, "audio 6000 0 8"), sdp(OFFICE, "audio 4000 8", "video 0 96"))
    assert (shown(asked), shown(answered)) == (["audio 0 8", "-video"], ["audio 8"])
    call.release(4.0)
    assert ports.in_use == 0


def test_ports_move_with_the_leg_and_all_come_back():
    ports = pool()
    call = joined(ports, offered=OFFER, answer=sdp(THIRD, "audio 6000 0"))
    assert ports.in_use == 2
    assert call.sides["egress"].local == OUTSIDE
    call.release(4.0)
    assert ports.in_use == 0
    assert session(call.last_sent("egress")).media[0].port


def test_without_a_side_there_is_no_relay():
    call = media()
    talk(call, OFFER, ANSWER)
    call.give_side("egress")
    assert call.relay().streams == ()
