"""What a SIPS URI asks of Contact, and of whoever sends it."""

import pytest

from sbc.policy.model import TALK_METHODS
from sbc.sip.checks import Refusal, refusal_of
from sbc.sip.parse import parse_message
from sbc.sip.sips import asks_for_sips, is_contradictory, wants_sips_back, warning

from .messages import request as octets


def request(uri, *extra, contact="<sip:a@192.0.2.1>"):
    return parse_message(octets(*extra, line=f"INVITE {uri} SIP/2.0", Contact=contact), stream=False)


# RFC: 5630
@pytest.mark.parametrize(
    ("uri", "fields", "asks"),
    [
        ("sip:b@h", (), False),
        ("sips:b@h", (), True),
        ("sip:b@h", ("Route: <sips:p;lr>",), True),
        ("sip:b@h", ("Route: <sip:p;lr>", "Route: <sips:q;lr>"), False),
        ("tel:+1", (), False),
    ],
)
def test_our_contact_is_sips_where_the_request_or_its_first_route_is(uri, fields, asks):
    assert asks_for_sips(request(uri, *fields)) is asks


# RFC: 5630
@pytest.mark.parametrize(
    ("uri", "fields", "contact", "wants"),
    [
        ("sip:b@h", (), "<sip:a@h>", False),
        ("sips:b@h", (), "<sips:a@h>", True),
        ("sip:b@h", (), "<sips:a@h>", True),
        ("sip:b@h", ("Record-Route: <sips:p;lr>",), "<sip:a@h>", True),
        ("sip:b@h", ("Record-Route: <sip:p;lr>",), "<sips:a@h>", False),
    ],
)
def test_our_contact_in_an_answer(uri, fields, contact, wants):
    assert wants_sips_back(request(uri, *fields, contact=contact)) is wants


# RFC: 5630
def test_a_sips_uri_with_a_sip_contact_gets_400():
    bad = request("sips:b@h")
    assert is_contradictory(bad)
    assert refusal_of(bad, TALK_METHODS) == Refusal(400)
    assert not is_contradictory(request("sips:b@h", contact="<sips:a@h>"))
    assert not is_contradictory(request("sip:b@h"))


def test_a_warning_names_us_by_no_address():
    assert warning((380, "SIPS Not Allowed"), "sbc") == (("Warning", '380 sbc "SIPS Not Allowed"'),)
