"""Messages to octets."""

import pytest

from sbc.sip.message import Request, Response
from sbc.sip.serialize import serialize, serialize_request


def test_a_request_is_printed():
    message = Request("INVITE", "sip:a@b", (("Via", "SIP/2.0/UDP c"), ("Subject", "é")), b"body")
    assert serialize(message) == (
        b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c\r\nSubject: \xc3\xa9\r\nContent-Length: 4\r\n\r\nbody"
    )


def test_a_response_is_printed_even_without_a_phrase():
    assert serialize(Response(100, "", ())) == b"SIP/2.0 100 \r\nContent-Length: 0\r\n\r\n"


def test_the_length_is_counted_whatever_the_fields_say():
    message = Response(200, "OK", (("Content-Length", "99"), ("Content-Length", "1")), b"ab")
    assert serialize(message) == b"SIP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nab"


def test_a_request_of_ours_has_its_via_first():
    data = serialize_request("ACK", "sip:a@b", (("To", "x"),), b"", "SIP/2.0/UDP c;branch=d")
    assert data == b"ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c;branch=d\r\nTo: x\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("evil", ["a\r\nX: b", "a\nX: b", "a\rX: b", "a\r\n\r\nb"])
def test_a_line_end_within_a_line_is_never_sent(evil):
    for message in (
        Request("INVITE", "sip:a@b", (("Subject", evil),)),
        Request("INVITE", "sip:a@b", ((evil, "x"),)),
        Request("INVITE", evil, ()),
        Response(200, evil, ()),
    ):
        with pytest.raises(ValueError, match="CR or LF"):
            serialize(message)
    with pytest.raises(ValueError, match="CR or LF"):
        serialize_request("ACK", "sip:a@b", (), b"", evil)
