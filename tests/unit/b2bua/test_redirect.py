"""What a 3xx says: numbers in the order of preference, and why."""

import pytest

from sbc.b2bua.redirect import numbers_of, reason_of
from sbc.core import limits
from sbc.sip.message import Response


def response(*contacts, fields=()):
    return Response(302, "", (*[("Contact", text) for text in contacts], *fields))


@pytest.mark.parametrize(
    ("contacts", "numbers"),
    [
        (["<sip:+12@x>"], ["+12"]),
        (["<sip:+12@x>;q=0.2, <sip:+13@y>;q=0.9", "<tel:+14>"], ["+14", "+13", "+12"]),
        (["sip:+12@x;q=0.1", "<sip:+13@x>;q=zero", "<sip:+14@x>;q=7"], ["+14", "+12", "+13"]),
        (["<sip:+12@x>", "<sip:+12@y:5070;transport=tcp>;q=0.1"], ["+12"]),
        (["<sip:%2B12;npdi@x>"], ["+12"]),
        (["*"], []),
        (["<sip:x>", "<mailto:a@x>", "<sip:>", '"', "<sip:+12@x"], []),
        (["<sip:>", "<sip:+12@x>", "<"], ["+12"]),
        ([], []),
    ],
)
def test_numbers_in_their_order_and_what_cannot_be_read_left_out(contacts, numbers):
    assert [number for number, _ in numbers_of(response(*contacts))] == numbers


# RFC: 5630
def test_a_sips_uri_is_known_as_one():
    assert numbers_of(response("<sips:+12@x>, <sip:+13@x>", "<sip:+12@x>")) == [("+12", True), ("+13", False)]


# BOUND: REDIRECT_CONTACTS
def test_no_more_than_a_few_are_tried():
    assert len(numbers_of(response(*[f"<sip:+1{n}@x>" for n in range(500)]))) == 5


@pytest.mark.parametrize(
    ("diversion", "rang", "reason"),
    [
        (None, False, "unconditional"),
        (None, True, "deflection"),
        ("<sip:a@x>;reason=no-answer", True, "no-answer"),
        ('<sip:a@x>;reason="time-of-day", <sip:b@x>;reason=away', False, "time-of-day"),
        ("<sip:a@x>", True, "deflection"),
        ("<sip:a@x>;reason=at-pbx-77", False, "unknown"),
        ("<", False, "unconditional"),
    ],
)
def test_why_is_what_it_says_or_what_can_be_seen(diversion, rang, reason):
    fields = () if diversion is None else (("Diversion", diversion),)
    assert reason_of(response(fields=fields), rang=rang) == reason


# BOUND: REDIRECT_CONTACTS_READ
def test_what_stands_behind_many_that_say_nothing_is_not_looked_at():
    nothing = ["<mailto:a@x>"] * limits.REDIRECT_CONTACTS_READ
    assert numbers_of(response(*nothing[1:], "<sip:+12@x>")) == [("+12", False)]
    assert numbers_of(response(*nothing, "<sip:+12@x>")) == []
