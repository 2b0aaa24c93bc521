"""m= lines that come, go and come back in a call: their places, their ports, and delayed offers of them."""

import pytest

from sbc.b2bua.media import OutOfPortsError
from sbc.b2bua.ports import PortPool
from sbc.core.ids import IdSource
from sbc.sdp.model import SdpError

from .calls import CARRIER, OFFICE, exchange, media, pool, sdp, session, shown, talk

SOUND, SOUND_BACK = "audio 4000 0", "audio 5000 0"
VIDEO, VIDEO_BACK = "video 4002 96=H264/90000", "video 5002 96=H264/90000"


def test_video_is_added_refused_removed_and_added_again():
    ports = pool()
    call = media(ports)
    talk(call, sdp(OFFICE, SOUND), sdp(CARRIER, SOUND_BACK))
    assert ports.in_use == 2
    asked, answered = talk(call, sdp(OFFICE, SOUND, VIDEO), sdp(CARRIER, SOUND_BACK, "video 0 96"))
    assert (shown(asked), shown(answered)) == (["audio 0", "video 96"], ["audio 0", "-video"])
    assert ports.in_use == 2
    talk(call, sdp(OFFICE, SOUND, VIDEO), sdp(CARRIER, SOUND_BACK, VIDEO_BACK))
    assert ports.in_use == 4
    assert len(call.relay().streams) == 2
    talk(call, sdp(OFFICE, SOUND, "video 0 96"), sdp(CARRIER, SOUND_BACK, "video 0 96"))
    assert ports.in_use == 2
    assert len(call.relay().streams) == 1
    asked, _ = exchange(call, "egress", sdp(CARRIER, SOUND_BACK, VIDEO_BACK), sdp(OFFICE, SOUND, VIDEO))
    assert shown(asked) == ["audio 0", "video 96"]
    call.release(9.0)
    assert ports.in_use == 0


def test_a_dead_m_line_serves_another_kind():
    call = media()
    talk(call, sdp(OFFICE, SOUND, VIDEO), sdp(CARRIER, SOUND_BACK, "video 0 96"))
    asked, answered = talk(call, sdp(OFFICE, "audio 0 0", "image 4002"), sdp(CARRIER, "audio 0 0", "image 5002"))
    assert shown(asked) == shown(answered) == ["-audio", "image t38"]
    assert [stream.rtp for stream in call.relay().streams] == [False]


def test_a_rejected_stream_gives_its_ports_back():
    ports = pool()
    call = media(ports)
    talk(call, sdp(OFFICE, SOUND), sdp(CARRIER, SOUND_BACK))
    call.pass_offer("ingress", call.read(sdp(OFFICE, SOUND, VIDEO)), 2.0)
    assert ports.in_use == 4
    call.restore(2.0)
    assert ports.in_use == 2


def test_a_stream_keeps_its_port_for_as_long_as_it_lives():
    call = media()
    first, _ = talk(call, sdp(OFFICE, SOUND, VIDEO), sdp(CARRIER, SOUND_BACK, VIDEO_BACK))
    second, _ = talk(call, sdp(OFFICE, "audio 0 0", VIDEO), sdp(CARRIER, "audio 0 0", VIDEO_BACK))
    assert session(first).media[1].port == session(second).media[1].port


def test_an_offer_with_fewer_m_lines_is_filled_up_and_its_answer_cut_back():
    """The peer is wrong (RFC 3264 §8); the other side need not notice."""
    call = media()
    talk(call, sdp(OFFICE, SOUND, VIDEO), sdp(CARRIER, SOUND_BACK, VIDEO_BACK))
    asked, answered = talk(call, sdp(OFFICE, SOUND), sdp(CARRIER, SOUND_BACK, "video 0 96"))
    assert (shown(asked), shown(answered)) == (["audio 0", "-video"], ["audio 0"])


@pytest.mark.parametrize(
    "answer", [[SOUND_BACK], [SOUND_BACK, "audio 5002 0"], [SOUND_BACK, VIDEO_BACK, "audio 5004 0"]]
)
def test_an_answer_with_other_m_lines_is_no_answer(answer):
    call = media()
    call.pass_offer("ingress", call.read(sdp(OFFICE, SOUND, VIDEO)), 1.0)
    with pytest.raises(SdpError) as refused:
        call.pass_answer(call.read(sdp(CARRIER, *answer)))
    assert refused.value.status == 488


def test_an_offer_may_come_from_the_called_side_first():
    call = media()
    asked, answered = exchange(call, "egress", sdp(CARRIER, "audio 5000 0 8"), sdp(OFFICE, "audio 4000 8"))
    assert (shown(asked), shown(answered)) == (["audio 0 8"], ["audio 8"])


def test_a_fork_may_answer_an_offer_that_others_have_overtaken():
    call = media()
    call.pass_offer("ingress", call.read(sdp(OFFICE, "audio 4000 0 8")), 1.0)
    first = call.offer
    call.pass_answer(call.read(sdp(CARRIER, "audio 5000 0")))
    call.settle(1.0)
    assert shown(call.pass_answer(call.read(sdp(CARRIER, "audio 5500 8")), first)) == ["audio 8"]


def test_no_answer_without_an_offer():
    call = media()
    with pytest.raises(SdpError):
        call.pass_answer(call.read(sdp(CARRIER, SOUND_BACK)))


def test_ports_may_run_out():
    call = media(PortPool(("10.0.0.1", "203.0.113.1"), 20000, 20001, IdSource(bytes)))
    with pytest.raises(OutOfPortsError):
        call.pass_offer("ingress", call.read(sdp(OFFICE, SOUND)), 1.0)


def test_a_refresh_is_known_by_its_text():
    call = media()
    talk(call, sdp(OFFICE, SOUND), sdp(CARRIER, SOUND_BACK))
    assert call.is_same("ingress", call.read(sdp(OFFICE, SOUND, version=5)))
    assert not call.is_same("ingress", call.read(sdp(OFFICE, "audio 4002 0")))
    assert call.is_same("egress", call.read(sdp(CARRIER, SOUND_BACK)))
    call.pass_offer("egress", call.read(sdp(CARRIER, SOUND_BACK)), 2.0)
    assert not call.is_same("ingress", call.read(sdp(OFFICE, SOUND)))
