"""Messages that follow from others: what a response repeats and where it goes, ACK of a failure, CANCEL."""
# RFC: 3581

import pytest

from sbc.core.address import Address, Flow, Transport
from sbc.sip.build import ack_for_failure, cancel_for, echo_of, reply_flow, stamped_via, with_to_tag
from sbc.sip.message import Request
from sbc.sip.parse import ParseError, parse_message
from sbc.sip.serialize import serialize
from sbc.testing.build import FLOW, HERE, response_to
from sbc.testing.build import request as plain

from .messages import request as octets

SOURCE = Address("192.0.2.30", 40000)


def request(*extra, **changes):
    return parse_message(octets(*extra, **changes), stream=False)


def stamped(via, source=SOURCE):
    made = request(Via=via)
    return stamped_via(made, via, source)


# --- Via on receipt (§18.2.1, RFC 3581 §4) ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        # the source is what sent-by says, and no port is asked for: nothing to add
        ("SIP/2.0/UDP 192.0.2.30;branch=z9hG4bKa", "SIP/2.0/UDP 192.0.2.30;branch=z9hG4bKa"),
        # another address, and a name
        ("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;received=192.0.2.30"),
        ("SIP/2.0/UDP pbx.example.com", "SIP/2.0/UDP pbx.example.com;received=192.0.2.30"),
        # rport asks for both
        ("SIP/2.0/UDP 192.0.2.30;rport", "SIP/2.0/UDP 192.0.2.30;rport=40000;received=192.0.2.30"),
        ("SIP/2.0/UDP h;RPORT ;branch=z9hG4bKa", "SIP/2.0/UDP h;rport=40000 ;branch=z9hG4bKa;received=192.0.2.30"),
        # what only looks like rport is left alone
        ("SIP/2.0/UDP h;received=;rport", "SIP/2.0/UDP h;received=192.0.2.30;rport=40000"),
        ("SIP/2.0/UDP 192.0.2.30;received", "SIP/2.0/UDP 192.0.2.30;received=192.0.2.30"),
        ("SIP/2.0/UDP h;xrport;rport", "SIP/2.0/UDP h;xrport;rport=40000;received=192.0.2.30"),
        ("SIP/2.0/UDP rport;rport", "SIP/2.0/UDP rport;rport=40000;received=192.0.2.30"),
        ('SIP/2.0/UDP h;x=";rport";rport', 'SIP/2.0/UDP h;x=";rport";received=192.0.2.30;rport=40000'),
        # a received of the peer's own making is not believed
        ("SIP/2.0/UDP h;received=203.0.113.9", "SIP/2.0/UDP h;received=192.0.2.30"),
        ("SIP/2.0/UDP 192.0.2.30;received=203.0.113.9", "SIP/2.0/UDP 192.0.2.30;received=192.0.2.30"),
        # only the topmost of several in a field
        (
            "SIP/2.0/UDP a;rport, SIP/2.0/UDP b;rport",
            "SIP/2.0/UDP a;received=192.0.2.30;rport=40000, SIP/2.0/UDP b;rport",
        ),
        ('SIP/2.0/UDP a;x="1,2", SIP/2.0/UDP b', 'SIP/2.0/UDP a;x="1,2";received=192.0.2.30, SIP/2.0/UDP b'),
        ("SIP/2.0/UDP a;rport,SIP/2.0/UDP b", "SIP/2.0/UDP a;received=192.0.2.30;rport=40000, SIP/2.0/UDP b"),
    ],
)
def test_the_topmost_via_says_where_the_request_came_from(via, expected):
    assert stamped(via) == expected


def test_ipv6_is_stamped_without_brackets_as_3261_has_it_and_compared_in_any_spelling():
    source = Address("2001:db8::1", 5060)
    assert stamped("SIP/2.0/UDP [2001:DB8:0::1]", source) == "SIP/2.0/UDP [2001:DB8:0::1]"
    assert stamped("SIP/2.0/UDP [2001:db8::2]", source) == "SIP/2.0/UDP [2001:db8::2];received=2001:db8::1"


def test_a_stamped_via_can_be_read_again():
    for via in (
        "SIP/2.0/UDP h;rport",
        'SIP/2.0/UDP [::1]:7;x="a;b";rport;received=1.2.3.4',
        "SIP / 2.0 / UDP h : 5061",
    ):
        again = request(Via=stamped(via)).via
        assert again.received == SOURCE.host
        assert again.rport in (None, "40000")


# --- what a response repeats ------------------------------------------------------------------------------------------


def test_a_response_repeats_every_via_and_the_headers_that_8_2_6_2_names():
    made = request("Via: SIP/2.0/TCP proxy", "Record-Route: <sip:p;lr>", "Timestamp: 54", "Subject: x")
    assert [name for name, _ in echo_of(made, SOURCE)] == ["Via", "From", "To", "Call-ID", "CSeq", "Via", "Timestamp"]
    assert [value for name, value in echo_of(made, SOURCE) if name == "Via"][1] == "SIP/2.0/TCP proxy"


def test_of_a_header_that_a_bad_request_had_twice_the_first_is_repeated():
    with pytest.raises(ParseError) as caught:
        request("From: <sip:second@example.com>;tag=2", "Call-ID: second")
    echo = echo_of(caught.value.partial, SOURCE)
    assert [value for name, value in echo if name == "From"] == ['"Alice" <sip:alice@example.com>;tag=a1']
    assert [value for name, value in echo if name == "Call-ID"] == ["c1@192.0.2.30"]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("<sip:b@c>", "<sip:b@c>;tag=ours"),
        ("sip:b@c", "sip:b@c;tag=ours"),
        ("<sip:b@c>;tag=theirs", "<sip:b@c>;tag=theirs"),
        ("<sip:b@c>;TAG=theirs;x=1", "<sip:b@c>;TAG=theirs;x=1"),
        # what only looks like a tag
        ("<sip:b@c>;tagged=1", "<sip:b@c>;tagged=1;tag=ours"),
        ("<sip:b@c;tag=uri>", "<sip:b@c;tag=uri>;tag=ours"),
        ('"x;tag=1" <sip:b@c>', '"x;tag=1" <sip:b@c>;tag=ours'),
        ('<sip:b@c>;tag=theirs;x=">"', '<sip:b@c>;tag=theirs;x=">"'),
    ],
)
def test_to_gets_our_tag_unless_it_has_one(to, expected):
    made = request(To=to)
    assert dict(with_to_tag(made, echo_of(made, SOURCE), "ours"))["To"] == expected


def test_a_to_that_cannot_be_read_is_given_back_as_it_came():
    with pytest.raises(ParseError) as caught:
        request(To='"open <sip:b@c>')
    partial = caught.value.partial
    assert dict(with_to_tag(partial, echo_of(partial, SOURCE), "ours"))["To"] == '"open <sip:b@c>'


# --- where a response goes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("via", "port"),
    [
        ("SIP/2.0/UDP 192.0.2.9:5070", 5070),
        ("SIP/2.0/UDP 192.0.2.9", 5060),
        ("SIP/2.0/UDP elsewhere.example.com:6000", 6000),
        ("SIP/2.0/UDP 192.0.2.9:5070;rport", 40000),
        ("SIP/2.0/UDP 192.0.2.9;maddr=203.0.113.9", 5060),
    ],
)
def test_over_udp_to_the_source_address_and_the_port_of_rport_or_sent_by(via, port):
    flow = Flow(Transport.UDP, "inside", HERE, Address("192.0.2.9", 40000))
    assert reply_flow(request(Via=via), flow) == Flow(Transport.UDP, "inside", HERE, Address("192.0.2.9", port))


def test_over_a_stream_along_the_connection():
    flow = Flow(Transport.TCP, "inside", HERE, Address("192.0.2.9", 40000), 3)
    assert reply_flow(request(Via="SIP/2.0/TCP 192.0.2.9:5070"), flow) is flow


# --- requests that follow from an INVITE ------------------------------------------------------------------------------

INVITE = Request(
    "INVITE",
    "sip:b@192.0.2.9",
    tuple(
        f for f in plain("INVITE", sdp=True, fields=(("Route", "<sip:r;lr>"), ("Subject", "x"))).fields if f[0] != "Via"
    ),
)


def test_the_ack_of_a_failure_has_the_responses_to_and_nothing_of_the_session():
    response = response_to(plain("INVITE"), 404, to_tag="gone")
    ack = parse_message(ack_for_failure(INVITE, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKsame", response), stream=True)
    assert (ack.method, ack.uri_text, ack.to.tag, ack.cseq.number, ack.cseq.method) == (
        "ACK", INVITE.uri_text, "gone", 1, "ACK",
    )  # fmt: skip
    assert ack.via.branch == "z9hG4bKsame"
    assert ack.headers("Route") == ["<sip:r;lr>"]
    assert (ack.body, ack.header("Content-Type"), ack.header("Contact"), ack.header("Subject")) == (
        b"",
        None,
        None,
        None,
    )


def test_cancel_has_what_9_1_names_and_no_require_and_no_body():
    invite = Request("INVITE", INVITE.uri_text, (*INVITE.fields, ("Require", "x"), ("Proxy-Require", "y")), b"sdp")
    cancel = cancel_for(invite)
    for name in ("From", "To", "Call-ID", "Route", "Max-Forwards"):
        assert cancel.headers(name) == INVITE.headers(name)
    assert cancel.header("CSeq") == "1 CANCEL"
    for name in ("Require", "Proxy-Require", "Contact", "Content-Type", "Reason"):
        assert cancel.header(name) is None
    assert cancel.body == b""
    assert cancel_for(invite, reason="SIP;cause=200").header("Reason") == "SIP;cause=200"


def test_what_is_built_here_prints():
    made = plain("INVITE")
    echo = with_to_tag(made, echo_of(made, FLOW.remote), "ours")
    assert b"To: <sip:+441632960001@192.0.2.1>;tag=ours\r\n" in serialize(Request("X", "y", echo))
