"""What the door lets in, repairs and refuses; and with which status."""

import pytest

from sbc.core import limits
from sbc.sip.message import Request, Response
from sbc.sip.nameaddr import Star
from sbc.sip.parse import ParseError, parse_message

from .messages import BODY, request, response


def parse(data, *, stream=False):
    return parse_message(data, stream=stream)


def refused(data, *, stream=False):
    with pytest.raises(ParseError) as caught:
        parse_message(data, stream=stream)
    return caught.value


def test_a_request_is_read():
    message = parse(request())
    assert isinstance(message, Request)
    assert (message.method, message.uri_text, message.body) == ("INVITE", "sip:bob@example.net", BODY)
    assert (message.via.host, message.via.port, message.via.branch) == ("192.0.2.30", 5060, "z9hG4bKabc")
    assert (message.from_.display, message.from_.tag, message.to.tag) == ("Alice", "a1", None)
    assert (message.call_id, message.cseq.number, message.cseq.method) == ("c1@192.0.2.30", 102, "INVITE")
    assert message.max_forwards == 70
    assert message.content_type == "application/sdp"
    assert [str(contact) for contact in message.contacts] == ["<sip:alice@192.0.2.30>"]


def test_a_response_is_read():
    message = parse(response(line="SIP/2.0 183 Session Progress"))
    assert isinstance(message, Response)
    assert (message.status, message.reason, message.cseq.method) == (183, "Session Progress", "INVITE")


@pytest.mark.parametrize("line", ["SIP/2.0 200 ", "SIP/2.0 200"])
def test_a_reason_phrase_may_be_empty(line):
    assert parse(response(line=line)).reason == ""


def test_names_are_canonical_however_they_were_spelt():
    message = parse(request("x-cUSTOM-name \t: 1", "S: hello", "p-asserted-identity: <sip:a@b>", k="timer"))
    assert message.header("X-Custom-Name") == "1"
    assert message.header("Subject") == "hello"
    assert message.header("P-Asserted-Identity") == "<sip:a@b>"
    assert message.supported == ("timer",)


def test_folded_lines_are_one_value():
    assert parse(request("Subject: one\r\n\ttwo\r\n   three")).header("Subject") == "one two three"


def test_a_folded_start_line_is_refused():
    assert refused(request(line="INVITE sip:bob@example.net\r\n SIP/2.0")).status == 400


def test_line_ends_before_the_start_line_are_ignored():
    assert parse(b"\r\n\r\n" + request()).method == "INVITE"


def test_what_is_no_utf8_goes_out_as_it_came_in():
    assert parse(request("Subject: \udcff\udcfe")).header("Subject").encode("utf-8", "surrogateescape") == b"\xff\xfe"


@pytest.mark.parametrize(
    "line",
    [
        "INVITE  sip:bob@example.net SIP/2.0",
        "INVITE sip:bob@example.net  SIP/2.0",
        "INVITE sip:bob@example.net SIP/2.0 ",
        "INVITE\tsip:bob@example.net SIP/2.0",
        "INVITE sip:bob@example.net; lr SIP/2.0",
        "INVITE <sip:bob@example.net> SIP/2.0",
        "INVITE sip:bob@example.net?Route=x SIP/2.0",
        "INVITE sip:bob@ SIP/2.0",
        "INVITE sip:bob@example.net",
        "INVITE sip:bob@example.net HTTP/1.1",
    ],
)
def test_a_malformed_request_line_is_answered_400(line):
    assert refused(request(line=line)).status == 400


def test_another_version_is_answered_505():
    error = refused(request(line="INVITE sip:bob@example.net SIP/3.0", via="SIP/3.0/UDP 192.0.2.30;branch=z9hG4bKabc"))
    assert error.status == 505
    assert error.partial.via.branch == "z9hG4bKabc"


def test_the_version_is_read_in_any_case():
    assert parse(request(line="INVITE sip:bob@example.net sip/2.0")).method == "INVITE"


def test_a_uri_of_unknown_scheme_is_let_in():
    assert parse(request(line="INVITE news:alt.test SIP/2.0")).uri.scheme == "news"


# BOUND: URI_OCTETS
def test_a_long_uri_is_answered_414():
    assert refused(request(line=f"INVITE sip:{'a' * limits.URI_OCTETS}@b SIP/2.0")).status == 414


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_a_base_header_must_be_there(name):
    error = refused(request(**{name.replace("-", "_"): None}))
    assert (error.status, error.header) == (400, name)


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type"])
def test_a_single_header_must_not_come_twice(name):
    twice = parse(request()).header(name)
    error = refused(request(f"{name}: {twice}"))
    assert error.status == 400
    assert error.partial is not None


@pytest.mark.parametrize(
    "value", ["2147483648 INVITE", "99999999999999999999 INVITE", "INVITE", "-1 INVITE", "1", "1 "]
)
def test_a_malformed_cseq_is_answered_400(value):
    assert refused(request(cseq=value)).status == 400


def test_leading_zeros_do_not_count():
    assert parse(request(cseq="00000000000000000000000009 INVITE", max_forwards="0068")).cseq.number == 9


def test_a_cseq_of_another_method_is_answered_400_and_501_where_the_method_is_unknown():
    assert refused(request(cseq="1 BYE")).status == 400
    assert refused(request(line="FOO sip:a@b SIP/2.0", cseq="1 BYE")).status == 501
    assert parse(request(line="FOO sip:a@b SIP/2.0", cseq="1 FOO")).method == "FOO"


@pytest.mark.parametrize("value", ["256", "-1", "x", "", "99999999999"])
def test_max_forwards_is_a_number_up_to_255(value):
    assert refused(request(max_forwards=value)).status == 400


def test_what_rfc_2543_lacked_may_be_missing():
    message = parse(request(via="SIP/2.0/UDP 192.0.2.1", max_forwards=None, From="sip:a@b", content_length=None))
    assert (message.via.branch, message.from_.tag, message.max_forwards, message.body) == (None, None, None, BODY)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("From", "Bell, Alexander <sip:a@b>;tag=1"),
        ("From", "sip:a@b;tag=1;tag=2"),
        ("To", '"Watson <sip:a@b>'),
        ("To", "< sip:a@b >"),
        ("To", "<sip:a@b"),
        ("Contact", "sip:a@b?Route=%3Csip:c%3E"),
        ("Contact", "<sip:a@b>;;"),
        ("Contact", "<sip:a@b>, garbage here"),
        ("Record-Route", "<sip:a"),
        ("Route", "no uri"),
        ("Via", "SIP/2.0/UDP 192.0.2.1;;branch=x"),
        ("Via", "SIP/2.0/UDP 192.0.2.1;branch=a, ,"),
        ("Via", "SIP/2.0/UDP 192.0.2.1:99999"),
        ("Call-ID", "a b"),
        ("Call-ID", ""),
    ],
)
def test_a_header_that_routes_or_matches_must_be_well_formed(name, value):
    error = refused(request(**{name.replace("-", "_"): value}))
    assert (error.status, error.header) == (400, name)


def test_every_via_is_checked_because_an_answer_repeats_it():
    assert refused(request("Via: nonsense")).status == 400


def test_a_star_contact_is_told_from_addresses():
    assert parse(request(line="REGISTER sip:b SIP/2.0", cseq="1 REGISTER", contact="*")).contacts == Star()


@pytest.mark.parametrize("octets", [b"a\x00b", b"a\x07b", b"a\x7fb", b"a\rb", b"a\nb", b'"\x01"'])
def test_control_characters_are_refused(octets):
    error = refused(request("Subject: @").replace(b"@\r\n\r\n", octets + b"\r\n\r\n"))
    assert error.status == 400
    assert error.partial.header("Subject") is None


def test_a_quoted_pair_may_hold_a_control_character():
    assert parse(request(to='"NUL:\\\0" <sip:a@b>')).to.display == "NUL:\0"


def test_quotes_of_two_headers_do_not_hide_a_control_character():
    assert refused(request('Subject: "', "X-One: \\\x01", 'X-Two: "')).status == 400


@pytest.mark.parametrize("line", ["no colon here", ": no name", "na me: value", "näme: value"])
def test_a_line_that_is_no_header_is_answered_400(line):
    assert refused(request(line)).status == 400


# --- bodies -----------------------------------------------------------------------------------------------------------


def test_octets_past_the_length_are_dropped_from_a_datagram():
    assert parse(request() + b"INVITE sip:smuggled@example.net SIP/2.0\r\n").body == BODY


@pytest.mark.parametrize("value", ["9999", "-1", "x", "", "1 2", "0x5", "99999999999999999999", "٣"])
def test_a_length_that_cannot_be_is_answered_400(value):
    assert refused(request(content_length=value)).status == 400


def test_a_stream_message_must_say_its_length():
    assert refused(request(content_length=None), stream=True).status == 400
    assert parse(request(content_length=None)).body == BODY


def test_the_header_section_must_end():
    assert refused(request(body=b"")[:-2]).status == 400


# --- bounds -----------------------------------------------------------------------------------------------------------


# BOUND: MESSAGE_OCTETS
def test_too_large_a_message_is_answered_513():
    assert refused(request(body=b"x" * limits.MESSAGE_OCTETS)).status == 513


# BOUND: HEADER_FIELDS, HEADER_VALUE_OCTETS, VIA_VALUES, ROUTE_VALUES
@pytest.mark.parametrize(
    "lines",
    [
        ["X-Long: " + "x" * 8000] * 5,
        ["X-Many: 1"] * limits.HEADER_FIELDS,
        ["X-Long: " + "x" * (limits.HEADER_VALUE_OCTETS + 1)],
        ["Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"] * limits.VIA_VALUES,
        ["Via: " + ", ".join(["SIP/2.0/UDP h"] * (limits.VIA_VALUES + 1))],
        ["Route: <sip:a;lr>"] * (limits.ROUTE_VALUES + 1),
        ["Record-Route: " + ", ".join(["<sip:a;lr>"] * (limits.ROUTE_VALUES + 1))],
    ],
    ids=["section", "fields", "value", "vias", "via list", "routes", "record-route list"],
)
def test_what_is_over_a_bound_is_answered_513(lines):
    error = refused(request(*lines))
    assert error.status == 513
    assert error.partial is not None


# --- what an answer can be made of ------------------------------------------------------------------------------------


def test_an_answer_repeats_only_a_via_that_could_be_read():
    error = refused(request(via="SIP/2.0/UDP 192.0.2.15:5062;;branch=z9hG4bKq;,;,,"))
    assert error.partial.headers("Via") == ["SIP/2.0/UDP 192.0.2.15:5062;branch=z9hG4bKq"]


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0\0\0\0", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01"])
def test_what_is_no_sip_cannot_be_answered(data):
    assert refused(data).partial is None


def test_neither_an_ack_nor_a_response_can_be_answered():
    assert refused(request(line="ACK sip:bob@example.net SIP/2.0", cseq="x ACK")).partial is None
    assert refused(response(cseq="x INVITE")).partial is None
    assert refused(response(line="SIP/2.0 4294967301 better not")).partial is None


def test_what_the_peer_wrote_is_not_in_the_reason():
    for data in (request(to="evil <<"), request("evil"), request(line="INVITE sip:evil SIP/2.0 evil")):
        assert "evil" not in refused(data).reason
