"""Bodies that cross: written anew, or left behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.bodies import ACCEPTED, NOTHING, body_across, may_cross
from sbc.b2bua.digits import Digit, digit_of, info_body
from sbc.policy.model import Peer, Server
from sbc.sip.message import Request, Response

PBX = Peer("office", "pbx", "inside", (Server("pbx.corp.example"),))
OURS = "203.0.113.9"


def _message(kind, body, *fields):
    named = (("From", "<sip:101@phones.inner.example>;tag=a"), ("Content-Type", kind), *fields)
    return Request("INFO", "sip:x@y.example", named, body if isinstance(body, bytes) else body.encode())


def _crossed(kind, body, *fields):
    return body_across(_message(kind, body, *fields), PBX, OURS)


def test_a_text_crosses_as_people_wrote_it():
    text = "Come to 10.0.0.1, Zoë"
    assert _crossed("text/plain;charset=UTF-8;x=pbx.corp.example", text) == (
        (("Content-Type", "text/plain;charset=UTF-8"),),
        text.encode(),
    )


def test_what_describes_a_body_is_written_anew():
    fields = (("Content-Disposition", "Info-Package ;handling=optional"), ("Content-Language", "da, en-GB"))
    assert _crossed("text/plain", "x", *fields)[0] == (
        ("Content-Type", "text/plain"),
        ("Content-Disposition", "Info-Package;handling=optional"),
        ("Content-Language", "da, en-GB"),
    )
    odd = (("Content-Disposition", "icon;host=pbx"), ("Content-Language", "<x>"), ("Content-ID", "<1@pbx>"))
    assert _crossed("text/plain", "x", *odd)[0] == (("Content-Type", "text/plain"),)


@pytest.mark.parametrize(
    "kind",
    ["application/sdp", "multipart/mixed;boundary=x", "text/html", "application/octet-stream", "message/sip", ""],
)
def test_a_type_that_nobody_reads_stays_behind(kind):
    assert _crossed(kind, "x") == NOTHING
    assert not may_cross(_message(kind, "x"))


def test_a_packed_body_stays_behind():
    assert _crossed("text/plain", "x", ("Content-Encoding", "gzip")) == NOTHING
    assert _crossed("text/plain", "x", ("Content-Encoding", "identity"))[1] == b"x"


def test_without_a_body_there_is_nothing_to_refuse():
    assert may_cross(Request("INFO", "sip:x@y", ()))
    assert "text/plain" in ACCEPTED[0][1]


@pytest.mark.parametrize(
    ("kind", "body", "digit"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160", Digit("5", 160)),
        ("application/dtmf-relay", "Signal= 11\nDuration= 250\n", Digit("#", 250)),
        ("application/dtmf-relay", "signal : d\r\n", Digit("D", 160)),
        ("application/dtmf-relay", "Signal=5\r\nDuration=1", Digit("5", 70)),
        ("application/dtmf-relay", "Signal=5\r\nDuration=99999", Digit("5", 8000)),
        ("application/dtmf", "*", Digit("*", 160)),
        ("application/dtmf", "10\r\n", Digit("*", 160)),
        ("application/dtmf-relay", "Signal=16\r\nDuration=160", None),
        ("application/dtmf-relay", "Signal=hf", None),
        ("application/dtmf-relay", "", None),
        ("application/dtmf", "55", None),
        ("application/dtmf", b"\xff", None),
        ("text/plain", "5", None),
        ("application/dtmf", "5" + " " * 2000, None),
    ],
)
def test_a_digit_is_read_as_telephones_write_it(kind, body, digit):
    assert digit_of(_message(kind, body)) == digit


@given(st.sampled_from("0123456789*#ABCD"), st.integers(70, 8000))
def test_a_digit_that_is_written_is_read_again(key, milliseconds):
    fields, body = info_body(key, milliseconds)
    assert digit_of(Request("INFO", "sip:x@y", fields, body)) == Digit(key, milliseconds)


def test_a_digit_crosses_in_the_form_that_it_came_in():
    assert _crossed("application/dtmf-relay", "Signal=11\nHost=10.0.0.1\n") == (
        (("Content-Type", "application/dtmf-relay"),),
        b"Signal=#\r\nDuration=160\r\n",
    )
    assert _crossed("application/dtmf", "7\r\n")[1] == b"7"
    assert _crossed("application/dtmf-relay", "Signal=hf\r\nDuration=300")[1] == b"Signal=HF\r\nDuration=300\r\n"
    assert _crossed("application/dtmf-relay", "Signal=x") == NOTHING


def test_a_mailbox_keeps_its_user_and_gets_our_host():
    body = (
        "Messages-Waiting: yes\r\nMessage-Account: sip:101;x@vm.corp.example:5080;transport=tcp\r\n"
        "Voice-Message: 2/8 (0/2)\r\nfax-message:1 / 0\r\nX-Host: 10.0.0.1\r\n\r\nFrom: <sip:bob@inner.example>\r\n"
    )
    assert _crossed("application/simple-message-summary", body)[1].decode() == (
        "Messages-Waiting: yes\r\nMessage-Account: sip:101@203.0.113.9\r\n"
        "Voice-Message: 2/8 (0/2)\r\nfax-message: 1/0\r\n"
    )


@pytest.mark.parametrize("account", ["tel:+1", "http://10.0.0.1/", "sip:10.0.0.1", "<<", "\ufffd", "sip:\ufffd@x"])
def test_an_account_that_is_no_mailbox_stays_behind(account):
    body = f"Messages-Waiting: no\r\nMessage-Account: {account}\r\n"
    assert _crossed("application/simple-message-summary", body)[1] == b"Messages-Waiting: no\r\n"


@pytest.mark.parametrize("body", ["", "\r\n", "hello", "Voice-Message: 1/1"])
def test_a_summary_must_begin_with_its_status(body):
    assert _crossed("application/simple-message-summary", body) == NOTHING


def test_of_a_sip_fragment_the_status_crosses():
    body = "SIP/2.0 486 pbx.corp.example is busy\r\nContact: <sip:10.0.0.1>\r\n"
    crossed = _crossed("message/sipfrag;version=2.0", body)
    assert crossed == ((("Content-Type", "message/sipfrag;version=2.0"),), b"SIP/2.0 486 Busy Here\r\n")
    assert _crossed("message/sipfrag", "SIP/2.0 302 Moved")[1] == b"SIP/2.0 502 Bad Gateway\r\n"
    assert _crossed("message/sipfrag", "SIP/2.0 2000 x") == NOTHING
    assert _crossed("message/sipfrag", "INVITE sip:10.0.0.1 SIP/2.0") == NOTHING


def test_a_decoder_may_ask_for_a_whole_picture():
    asked = "<media_control><vc_primitive><to_encoder><picture_fast_update/><host>10.0.0.1</host></to_encoder>"
    assert b"picture_fast_update" in _crossed("application/media_control+xml", asked)[1]
    assert b"10.0.0.1" not in _crossed("application/media_control+xml", asked)[1]
    assert _crossed("application/media_control+xml", "<media_control/>") == NOTHING


def test_a_body_of_a_response_crosses_too():
    response = Response(200, "OK", (("Content-Type", "text/plain"),), b"x")
    assert body_across(response, PBX, OURS)[1] == b"x"
    digit = Response(200, "OK", (("Content-Type", "application/dtmf"),), b"1")
    assert body_across(digit, PBX, OURS) == NOTHING


def test_a_document_is_written_for_its_receiver():
    body = '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="pres:bob@phones.inner.example"/>'
    crossed = _crossed("application/pidf+xml", body)[1].decode()
    assert 'entity="pres:bob@203.0.113.9"' in crossed
    assert _crossed("application/pidf+xml", "<!DOCTYPE x>" + body) == NOTHING


KINDS = [
    "application/dtmf-relay", "application/dtmf", "application/simple-message-summary", "message/sipfrag",
    "application/pidf+xml", "application/dialog-info+xml", "application/media_control+xml",
]  # fmt: skip


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_garbage_never_raises(kind, body):
    body_across(_message(kind, body), PBX, OURS)
