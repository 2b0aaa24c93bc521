import itertools

import pytest

from sbc.sdp.direction import Direction, direction_of, is_hold_address, stated_direction
from sbc.sdp.model import Connection

from .offers import with_media

AUDIO = "m=audio 4000 RTP/AVP 0"


def test_reversed_is_what_the_other_side_sees():
    assert [d.reversed() for d in Direction] == ["sendrecv", "recvonly", "sendonly", "inactive"]


def test_intersection_sends_and_receives_only_what_both_do():
    for one, other in itertools.product(Direction, Direction):
        both = one.intersect(other)
        assert (both.sends, both.receives) == (one.sends and other.sends, one.receives and other.receives)


def test_hold_is_not_wanting_to_hear():
    assert [d for d in Direction if d.is_hold] == ["sendonly", "inactive"]


@pytest.mark.parametrize(
    ("head", "below", "expected"),
    [
        ("", [], "sendrecv"),
        ("", ["a=recvonly"], "recvonly"),
        ("\na=sendonly", [], "sendonly"),
        ("\na=sendonly", ["a=sendrecv"], "sendrecv"),
        ("", ["a=inactive "], "inactive"),
        ("", ["a=sendonly", "a=recvonly"], "sendonly"),
    ],
)
def test_a_stream_inherits_the_direction_of_the_session(head, below, expected):
    offer = with_media(AUDIO, *below, head="c=IN IP4 192.0.2.10\nt=0 0" + head)
    assert direction_of(offer, offer.media[0]) == expected


@pytest.mark.parametrize(
    ("stated", "meant"),
    [("sendrecv", "sendonly"), ("sendonly", "sendonly"), ("recvonly", "inactive"), ("inactive", "inactive")],
)
def test_the_old_hold_takes_receiving_away(stated, meant):
    offer = with_media(AUDIO, f"a={stated}", head="c=IN IP4 0.0.0.0\nt=0 0")
    assert direction_of(offer, offer.media[0]) == meant


def test_an_address_of_the_stream_itself_lifts_the_hold_of_the_session():
    offer = with_media(AUDIO, "c=IN IP4 192.0.2.10", head="c=IN IP4 0.0.0.0\nt=0 0")
    assert direction_of(offer, offer.media[0]) is Direction.SENDRECV


@pytest.mark.parametrize(
    ("address", "hold"),
    [("0.0.0.0", True), ("::", True), ("nobody.INVALID", True), ("0.0.0.1", False), ("192.0.2.1", False)],
)
def test_hold_addresses(address, hold):
    assert is_hold_address(Connection("IP4", address)) is hold


def test_no_address_is_no_hold():
    assert not is_hold_address(None)


def test_only_a_direction_is_a_direction():
    assert stated_direction(("a=sendonly:x", "b=sendonly", "a=sendonlyx")) is None
    assert stated_direction(("a=ptime:20", "a=sendonly")) is Direction.SENDONLY
