"""Of what a peer says and sends, how much goes on."""

import pytest

from sbc.b2bua.digits import digit_of
from sbc.b2bua.identity import parties_of
from sbc.b2bua.relaying import _packets
from sbc.b2bua.revealing import names_in
from sbc.core import limits
from sbc.sip.message import Request

from .test_headers import _crossed
from .test_identity import PBX, _invite, _sent


# BOUND: DISPLAY_CHARACTERS
def test_a_callers_name_is_cut_to_what_a_screen_shows():
    parties = parties_of(_invite(from_=f'"{"Ann" * 1_000}" <sip:+12125550123@pbx>;tag=1'), PBX)
    invite = _sent(PBX, parties)
    assert len(invite.from_.display) == limits.DISPLAY_CHARACTERS


# BOUND: NAMES_PER_MESSAGE
def test_of_the_names_that_a_message_is_full_of_only_so_many_are_looked_for():
    vias = tuple(("Via", f"SIP/2.0/UDP h{n}.inner.example;branch=z9hG4bK{n}") for n in range(500))
    few = names_in(Request("INVITE", "sip:a@x.example", vias[:10]))
    many = names_in(Request("INVITE", "sip:a@x.example", vias))
    assert len(few) >= 10
    assert len(many) <= 2 * limits.NAMES_PER_MESSAGE, "each, and its domain"


# BOUND: USER_TO_USER_CHARACTERS
@pytest.mark.parametrize(("octets", "crosses"), [(100, True), (2_000, False)])
def test_what_users_say_to_each_other_is_bounded(octets, crosses):
    fields = _crossed(("User-to-User", f"{'56' * (octets // 2)};encoding=hex"))
    assert any(name == "User-to-User" for name, _ in fields) is crosses


# BOUND: DIGIT_MILLISECONDS
@pytest.mark.parametrize(("said", "lasts"), [("1", 70), ("99999", 8_000), ("200", 200)])
def test_a_digits_length_is_cut(said, lasts):
    body = f"Signal=5\r\nDuration={said}\r\n".encode()
    info = Request("INFO", "sip:a@x.example", (("Content-Type", "application/dtmf-relay"),), body)
    assert digit_of(info).milliseconds == lasts


# BOUND: AUDIO_PACKETS_PER_SECOND, VIDEO_PACKETS_PER_SECOND, OTHER_PACKETS_PER_SECOND
def test_every_stream_has_a_rate():
    rates = [_packets(kind) for kind in ("audio", "AUDIO", "video", "image", "message", "")]
    audio, video, other = (
        limits.AUDIO_PACKETS_PER_SECOND,
        limits.VIDEO_PACKETS_PER_SECOND,
        limits.OTHER_PACKETS_PER_SECOND,
    )
    assert rates == [audio, audio, video, other, other, other]
