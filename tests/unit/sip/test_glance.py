"""A request seen at a glance is answered as the parser would have it; whatever is odd is left to the parser."""

import pytest

from sbc.core.address import Address, Flow, Transport
from sbc.sip.build import echo_of, reply_flow
from sbc.sip.glance import answer, glance
from sbc.sip.overload_params import report
from sbc.sip.parse import parse_message
from sbc.sip.transaction.key import server_key

FLOW = Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5062))
INVITE = (
    b"INVITE sip:+12125550123@192.0.2.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bKone;rport\r\n"
    b"Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKbelow\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "Reception, 2nd" <sip:1000@192.0.2.9>;tag=f1\r\n'
    b"To: <sip:+12125550123@192.0.2.1>\r\n"
    b"Call-ID: one@192.0.2.9\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def answered(data):
    seen = glance(data, "INVITE")
    assert seen is not None
    return answer(seen, FLOW, b"503 Service Unavailable", b"ours", b"Retry-After: 2\r\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b""),
        (b";rport", b""),
        (b"192.0.2.9:5062;branch", b"pbx.example;branch"),
        (b"192.0.2.9:5062;branch=z9hG4bKone;rport", b"192.0.2.9;branch=z9hG4bKone"),
        (b"Call-ID:", b"i:"),
        (b"From: ", b"f:   "),
        (b";rport", b";alias;rport"),
    ],
)
def test_it_is_answered_as_the_parser_would_have_it(old, new):
    data = INVITE.replace(old, new)
    request = parse_message(data, stream=False)
    sent = answered(data)
    response = parse_message(sent.data, stream=False)
    assert response.status == 503
    assert sent.flow == reply_flow(request, FLOW)
    wanted = dict(echo_of(request, FLOW.remote))
    assert response.header("To") == wanted["To"] + ";tag=ours"
    for name in ("From", "Call-ID", "CSeq"):
        assert response.header(name) == wanted[name]
    expected = [value for name, value in echo_of(request, FLOW.remote) if name == "Via"]
    assert [set(via.split(";")) for via in response.headers("Via")] == [set(via.split(";")) for via in expected]
    assert glance(data, "INVITE").key == server_key(request)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Call-ID: one@192.0.2.9\r\n", b""),
        (b"Call-ID: one", b"Call-ID: two\r\nCall-ID: one"),
        (b"To: <sip", b"To:\r\n <sip"),
        (b"To: <sip", b"TO: <sip"),
        (b"To: <sip", b"To : <sip"),
        (b"Max-Forwards: 70", b"Max-Forwards 70"),
        (b"CSeq: 1 INVITE", b"CSeq: 1 BYE"),
        (b"CSeq: 1 INVITE", b"CSeq: one INVITE"),
        (b"branch=z9hG4bKone", b"branch=one"),
        (b"branch=z9hG4bKone", b'branch="z9hG4bKone"'),
        (b"SIP/2.0/UDP 192.0.2.9:5062", b"SIP / 2.0 / UDP 192.0.2.9:5062"),
        (b";rport", b";rport;received=203.0.113.5"),
        (b";rport", b";rport;Received=203.0.113.5"),
        (b";rport", b";rport;MADDR=203.0.113.5"),
        (b";rport", b";maddr=203.0.113.5"),
        (b";rport", b";rport, SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKx"),
        (b"Reception", b"Recepti\x00n"),
        (b"Reception", b"Recepti\xc3\xb6n"),
        (b"Reception", b"Recep\rtion"),
        (b"Reception", b"Recep\ntion"),
        (b" SIP/2.0\r\nVia", b" SIP/3.0\r\nVia"),
        (b"Max-Forwards: 70", b"X: " + b"x" * 5_000),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_whatever_is_odd_is_left_to_the_parser(old, new):
    assert glance(INVITE.replace(old, new), "INVITE") is None


@pytest.mark.parametrize("tag", [b";tag=x", b" ; TAG = x", b";a=b;tag=x"])
def test_a_tag_of_to_says_that_it_is_in_a_dialog(tag):
    assert glance(INVITE, "INVITE").is_new
    assert not glance(INVITE.replace(b"@192.0.2.1>\r\n", b"@192.0.2.1>" + tag + b"\r\n"), "INVITE").is_new


def test_a_number_in_the_from_field_is_nobody_who_is_called():
    assert glance(INVITE, "INVITE").users() == {b"+12125550123"}
    tel = INVITE.replace(b"INVITE sip:+12125550123@192.0.2.1", b"INVITE tel:911;phone-context=+1")
    assert glance(tel, "INVITE").users() == {b"911", b"+12125550123"}


# RFC: 7339
def test_a_client_that_wants_to_hear_of_overload_hears_it():
    seen = glance(INVITE.replace(b";rport", b';rport;oc;oc-algo="loss"'), "INVITE")
    assert seen.wants_oc
    sent = answer(seen, FLOW, b"503 Service Unavailable", b"t", b"", report(40, 0.5, 7.0))
    via = parse_message(sent.data, stream=False).via
    assert {("oc", "40"), ("oc-validity", "500"), ("oc-seq", "7.000")} <= set(via.params)
