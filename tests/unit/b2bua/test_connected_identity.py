"""Who is there now, as the other side is told (RFC 4916, RFC 3325)."""
# RFC: 4916

import pytest
from msgspec.structs import replace

from sbc.b2bua.identity import connected_identity
from sbc.policy.model import CallerId, Peer, Server
from sbc.sip.message import Request, Response

PBX = Peer("office", "pbx", "inside", (Server("10.0.0.5"),))
TRUNK = Peer("carrier", "trunk", "outside", (Server("198.51.100.7"),), domain="carrier.example")
FROM = ("From", '"Carol" <sip:+13@pbx.corp.example>;tag=1')
PAI = ("P-Asserted-Identity", '"Dan" <sip:+14@10.0.0.5>')


def _told(*fields, from_=PBX, to=TRUNK, response=False, **more):
    message = Response(200, "", fields) if response else Request("UPDATE", "sip:x@y", fields)
    return connected_identity(message, from_, to, lambda number: number.removeprefix("+"), **more)


def test_a_new_from_is_told_as_an_asserted_identity():
    assert _told(FROM) == (("P-Asserted-Identity", "<sip:13@carrier.example>"),)
    assert _told(FROM, from_=TRUNK, to=PBX, our_host="10.0.0.1") == (
        ("P-Asserted-Identity", '"Carol" <sip:13@10.0.0.1>'),
    )


def test_an_asserted_identity_is_believed_before_from():
    assert _told(FROM, PAI, to=PBX, our_host="h") == (("P-Asserted-Identity", '"Dan" <sip:14@h>'),)


def test_a_response_tells_by_what_it_asserts_alone():
    assert _told(FROM, response=True) == ()
    assert _told(FROM, PAI, response=True) == (("P-Asserted-Identity", "<sip:14@carrier.example>"),)


def test_who_was_there_before_is_no_news():
    assert _told(FROM, known="+13") == ()
    assert _told(FROM, known="+12") != ()


@pytest.mark.parametrize("privacy", ["id", "user;id", "header"])
def test_a_trunk_keeps_a_secret_that_a_pbx_is_not_told(privacy):
    fields = (FROM, PAI, ("Privacy", privacy))
    assert _told(*fields) == (("P-Asserted-Identity", "<sip:14@carrier.example>"), ("Privacy", "id"))
    assert _told(*fields, to=PBX, our_host="h") == (
        ("P-Asserted-Identity", '"Anonymous" <sip:anonymous@anonymous.invalid>'),
        ("Privacy", "id"),
    )
    assert len(_told(*fields[:2], ("Privacy", f"{privacy};none"))) == 1


def test_an_anonymous_from_names_nobody():
    nobody = ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1')
    assert _told(nobody) == ()
    assert _told(nobody, to=PBX)[1] == ("Privacy", "id")


def test_a_pbx_shows_only_what_its_caller_id_allows():
    fixed = replace(PBX, caller_id=CallerId("fixed", "+19"))
    screened = replace(PBX, caller_id=CallerId("screen", "+19"))
    assert _told(FROM, from_=fixed) == (("P-Asserted-Identity", "<sip:19@carrier.example>"),)
    assert _told(FROM, from_=screened) == ()
    assert _told(FROM, from_=screened, owns=lambda number: number == "+13") != ()
    assert _told(FROM, from_=screened, owns=lambda _: False) == ()


def test_what_cannot_be_read_says_nothing():
    assert _told(("From", "<tel:+1>;tag=x"), ("P-Asserted-Identity", "<<"))[0][1] == "<sip:1@carrier.example>"
    assert _told(("From", "<sip:pbx.corp.example>;tag=x")) == ()


def test_a_peer_without_a_domain_is_told_at_its_own_server():
    assert _told(FROM, to=PBX) == (("P-Asserted-Identity", '"Carol" <sip:13@10.0.0.5>'),)
    assert _told(FROM, to=Peer("t", "trunk", "o", (Server("2001:db8::1"),)))[0][1] == "<sip:13@[2001:db8::1]>"
    assert _told(FROM, to=Peer("p", "pbx", "o", ()))[0][1] == '"Carol" <sip:13@anonymous.invalid>'
