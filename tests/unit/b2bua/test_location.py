"""Where an emergency caller is, carried beside our session description."""

import pytest

from sbc.b2bua.location import NOWHERE, location_of
from sbc.sip.message import Request
from sbc.sip.multipart import description_of, parts_of

PIDF = b'<presence entity="pres:ann@example.com"/>'
MIXED = (
    b"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n"
    b"--x\r\nContent-Type: application/pidf+xml\r\nContent-ID: <ann@example.com>\r\n\r\n" + PIDF + b"\r\n--x--\r\n"
)


def _invite(content_type="multipart/mixed;boundary=x", body=MIXED, *fields):
    return Request("INVITE", "sip:911@x", (*fields, ("Content-Type", content_type)), body)


def test_a_location_in_the_body_travels_beside_our_description():
    location = location_of(_invite("multipart/mixed;boundary=x", MIXED, ("Geolocation", "<cid:ann@example.com>")))
    content_type, body = location.beside(b"v=0\r\no=sbc\r\n", "0f0f")
    assert location.fields == (("Geolocation", "<cid:ann@example.com>"),)
    sdp, pidf = parts_of(body, content_type)
    assert (sdp.content_type, sdp.body) == ("application/sdp", b"v=0\r\no=sbc\r\n")
    assert (pidf.content_type, pidf.body) == ("application/pidf+xml", PIDF)
    assert ("Content-ID", "<ann@example.com>") in pidf.fields


def test_a_location_travels_alone_where_no_offer_is_made():
    content_type, body = location_of(_invite()).beside(b"", "0f0f")
    assert [part.content_type for part in parts_of(body, content_type)] == ["application/pidf+xml"]


def test_a_location_may_be_all_that_the_body_is():
    location = location_of(_invite("application/pidf+xml", PIDF, ("Content-ID", "<ann@example.com>")))
    content_type, body = location.beside(b"v=0\r\n", "0f0f")
    assert [(part.content_type, part.body) for part in parts_of(body, content_type)] == [
        ("application/sdp", b"v=0\r\n"),
        ("application/pidf+xml", PIDF),
    ]


def test_a_plain_body_stays_plain():
    location = location_of(_invite("application/sdp", b"v=0\r\n"))
    assert location == NOWHERE
    assert location.beside(b"v=0\r\n", "0f0f") == ("application/sdp", b"v=0\r\n")


@pytest.mark.parametrize("body", [b"", b"garbage", b"--x\r\n"])
def test_a_body_that_cannot_be_read_has_no_location(body):
    assert location_of(_invite(body=body)) == NOWHERE


@pytest.mark.parametrize(
    ("content_type", "body", "description"),
    [
        ("application/sdp", b"v=0\r\n", b"v=0\r\n"),
        ("multipart/mixed;boundary=x", MIXED, b"v=0\r\n"),
        ("multipart/mixed;boundary=x", MIXED.replace(b"application/sdp", b"text/plain"), b""),
        ("multipart/mixed;boundary=x", b"", b""),
        ("Application/SDP ;charset=x", b"v=0\r\n", b"v=0\r\n"),
        ("application/pidf+xml", PIDF, b""),
    ],
)
def test_the_description_of_a_message_is_found(content_type, body, description):
    assert description_of(_invite(content_type, body)) == description


@pytest.mark.parametrize("head", [b"", b"Content-Type: application/sdp\r\nContent-Disposition: render\r\n"])
def test_what_may_name_addresses_of_the_inside_stays(head):
    body = b"--x\r\n" + head + b"\r\nv=0\r\no=- 1 1 IN IP4 10.0.0.5\r\n\r\n--x--\r\n"
    assert location_of(_invite("multipart/mixed;boundary=x", body)) == NOWHERE
