"""Typed headers and their names."""

import pytest

from sbc.sip.errors import ParseError
from sbc.sip.headers.cseq import CSeq, parse_cseq
from sbc.sip.headers.names import canonical_name
from sbc.sip.headers.reason import ReasonValue, parse_reason, q850_of
from sbc.sip.headers.via import Via, parse_via, salvage_via
from sbc.sip.message import Request


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        ("via", "Via"), ("v", "Via"), ("V", "Via"), ("CALL-ID", "Call-ID"), ("i", "Call-ID"), ("cseq", "CSeq"),
        ("www-authenticate", "WWW-Authenticate"), ("x", "Session-Expires"), ("To ", "To"), ("l\t ", "Content-Length"),
        ("x-my-HEADER", "X-My-Header"), ("X--y", "X--Y"), ("C%6Fntact", "C%6fntact"),
    ],
)  # fmt: skip
def test_every_header_has_one_name(spelt, name):
    assert canonical_name(spelt) == name


@pytest.mark.parametrize("name", ["", " ", " To", "a b", "a:b", "é", "a\0", "a" * 300])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ParseError):
        canonical_name(name)


@pytest.mark.parametrize(
    ("text", "via"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1", Via("UDP", "192.0.2.1", 5060, (("branch", "z9hG4bK1"),))),
        ("SIP/2.0/tcp Example.COM", Via("TCP", "example.com", None)),
        ("SIP / 2.0 / UDP  h : 1 ; rport ; branch = x", Via("UDP", "h", 1, (("rport", None), ("branch", "x")))),
        ("SIP/2.0/UNKNOWN [2001:DB8::1]:5", Via("UNKNOWN", "2001:db8::1", 5)),
        ("SIP/2.0/UDP h;received=2001:db8::9", Via("UDP", "h", None, (("received", "2001:db8::9"),))),
    ],
)
def test_via_is_read(text, via):
    assert parse_via(text) == via
    assert parse_via(str(via)) == via


@pytest.mark.parametrize(
    "text",
    ["", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 h", "SIP/3.0/UDP h", "SIP/2.0/UDP h:", "SIP/2.0/UDP h:0",
     "SIP/2.0/UDP h:65536", "SIP/2.0/UDP [::g]", "SIP/2.0/UDP ::1", "SIP/2.0/UDP h;", "SIP/2.0/UDP h;branch=a;branch=b",
     "SIP/2.0/UDP h h"],
)  # fmt: skip
def test_a_malformed_via_is_refused(text):
    with pytest.raises(ParseError):
        parse_via(text)


def test_rport_is_absent_asked_for_or_filled_in():
    assert [parse_via(f"SIP/2.0/UDP h{text}").rport for text in ("", ";rport", ";rport=", ";rport=5061")] == [
        None, "", "", "5061",
    ]  # fmt: skip
    assert parse_via("SIP/2.0/UDP h;received=192.0.2.9").received == "192.0.2.9"


@pytest.mark.parametrize(
    ("text", "salvaged"),
    [
        ("SIP/7.0/UDP h:5;;branch=z9hG4bK1;x", "SIP/2.0/UDP h:5;branch=z9hG4bK1"),
        ("SIP/2.0/UDP h garbage", "SIP/2.0/UDP h"),
        ("garbage", None),
        ("SIP/2.0/UDP h:99999", None),
        ("SIP/2.0/UDP [::g]", None),
    ],
)
def test_of_a_broken_via_what_an_answer_needs_is_kept(text, salvaged):
    via = salvage_via(text)
    assert (None if via is None else str(via)) == salvaged


def test_cseq_is_a_number_and_a_method():
    assert parse_cseq("0009 \t INVITE") == CSeq(9, "INVITE")
    assert parse_cseq("2147483647 X").number == 2**31 - 1


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "1INVITE", "-1 INVITE", "2147483648 INVITE", "1 INVITE x", "1 INV@TE", "1,2 X"]
)
def test_a_malformed_cseq_is_refused(text):
    with pytest.raises(ParseError):
        parse_cseq(text)


def test_reason_is_read_and_printed():
    value = parse_reason('q.850 ;cause=16 ;text="Normal, \\"clear\\""')
    assert value is not None
    assert (value.protocol, value.cause, value.text) == ("Q.850", 16, 'Normal, "clear"')
    assert parse_reason(str(value)) == value


@pytest.mark.parametrize("text", ["", ";cause=1", "SIP;;", "S P;cause=1", "SIP;cause=1;cause=2"])
def test_a_reason_that_cannot_be_read_is_none(text):
    assert parse_reason(text) is None


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        (["Q.850;cause=17"], 17),
        (['SIP;cause=200;text="a, b", Q.850;cause=16'], 16),
        (["Q.850;cause=x", "q.850;cause=3"], 3),
        (["Q.850;cause=0", "Q.850;cause=128", "Q.850;cause=99999999", "Q.850", "SIP;cause=486", ";;"], None),
        ([], None),
    ],
)
def test_the_first_q850_cause_counts(values, cause):
    message = Request("BYE", "sip:a@b", tuple(("Reason", value) for value in values))
    assert q850_of(message) == cause
    assert all(isinstance(value, ReasonValue) for value in message.reason_header)
