"""Digits between peers that send them in different ways: who is told of telephone-event, and which ends are heard."""
# RFC: 4733

import pytest

from sbc.b2bua.media import CallMedia, Side
from sbc.b2bua.sides import Dtmf
from sbc.media.wire import NO_EVENTS
from sbc.policy.model import CodecRules

from .calls import CARRIER, INSIDE, OFFICE, OUTSIDE, media, pool, sdp, shown, talk


def call_between(office: Dtmf, carrier: Dtmf, codecs: tuple[str, ...] = ()) -> CallMedia:
    call = media(pool())
    call.sides["ingress"] = Side(INSIDE, INSIDE, "address", 1, dtmf=office, recodes=False)
    call.open_egress(OUTSIDE, OUTSIDE, "address", 0.0, dtmf=carrier, codecs=CodecRules(codecs), recodes=False)
    return call


def test_a_peer_that_uses_info_is_told_of_no_events_and_the_other_sides_are_heard():
    call = call_between("pass", "info")
    asked, answered = talk(call, sdp(OFFICE, "audio 4000 0 101"), sdp(CARRIER, "audio 5000 0"))
    assert (shown(asked), shown(answered)) == (["audio 0"], ["audio 0 101"])
    stream = call.relay().streams[0]
    assert (stream.events, stream.report_digits) == ((101, NO_EVENTS), ("ingress",))
    assert (call.digits_to("ingress"), call.digits_to("egress")) == (0, None)


def test_the_same_where_the_peer_that_uses_info_calls():
    call = call_between("info", "pass")
    asked, answered = talk(call, sdp(OFFICE, "audio 4000 0"), sdp(CARRIER, "audio 5000 0 101"))
    assert (shown(asked), shown(answered)) == (["audio 0 101"], ["audio 0"])
    stream = call.relay().streams[0]
    assert (stream.events, stream.report_digits) == ((NO_EVENTS, 101), ("egress",))
    assert call.digits_to("egress") == 0


def test_a_peer_that_wants_events_is_offered_them_whatever_the_other_side_can():
    call = call_between("pass", "rfc4733")
    asked, answered = talk(call, sdp(OFFICE, "audio 4000 0"), sdp(CARRIER, "audio 5000 0 101"))
    assert (shown(asked), shown(answered)) == (["audio 0 101"], ["audio 0"])
    assert call.relay().streams[0].events == (NO_EVENTS, 101)


def test_events_cross_as_they_are_where_both_have_them():
    call = call_between("pass", "rfc4733")
    talk(call, sdp(OFFICE, "audio 4000 0 101"), sdp(CARRIER, "audio 5000 0 101"))
    stream = call.relay().streams[0]
    assert (stream.events, stream.report_digits) == ((101, 101), ())


@pytest.mark.parametrize("way", ["pass", "rfc4733"])
def test_nobody_is_offered_what_it_may_not_have(way):
    call = call_between("info", way, ("pcmu",))
    asked, _ = talk(call, sdp(OFFICE, "audio 4000 0"), sdp(CARRIER, "audio 5000 0"))
    assert shown(asked) == ["audio 0"]
    assert call.relay().streams[0].events == (NO_EVENTS, NO_EVENTS)


def test_the_digits_of_an_ordinary_call_are_counted_and_no_more():
    call = call_between("pass", "pass")
    talk(call, sdp(OFFICE, "audio 4000 0 101"), sdp(CARRIER, "audio 5000 0 101"))
    stream = call.relay().streams[0]
    assert (stream.events, stream.report_digits, stream.plays_digits) == ((101, 101), (), False)
    assert call.digits_to("egress") is None


def test_digits_are_counted_in_the_numbers_that_each_end_was_told():
    call = call_between("pass", "pass")
    answer = sdp(CARRIER, "audio 5000 0 96=telephone-event/8000")
    talk(call, sdp(OFFICE, "audio 4000 0 101", "audio 4002 0"), answer + b"m=audio 5002 RTP/AVP 0\r\n")
    first, second = call.relay().streams
    assert (first.events, first.event_rates) == ((101, 101), (8000, 8000))
    assert second.events is None


def test_who_has_not_agreed_to_events_is_not_listened_to():
    call = call_between("pass", "pass")
    talk(call, sdp(OFFICE, "audio 4000 0 101"), sdp(CARRIER, "audio 5000 0"))
    assert call.relay().streams[0].events is None
