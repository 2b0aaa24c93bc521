"""Addresses with a name and parameters."""

import pytest

from sbc.sip.errors import ParseError
from sbc.sip.nameaddr import NameAddr, parse_name_addr
from sbc.sip.uri import parse_uri

BOB = parse_uri("sip:bob@example.net")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<sip:bob@example.net>", NameAddr("", BOB)),
        ("sip:bob@example.net", NameAddr("", BOB)),
        ("sip:bob@example.net ; tag = 1", NameAddr("", BOB, (("tag", "1"),))),
        ("<sip:bob@example.net;lr>;tag=1", NameAddr("", parse_uri("sip:bob@example.net;lr"), (("tag", "1"),))),
        ('"Bob"<sip:bob@example.net>', NameAddr("Bob", BOB)),
        ('"A. G. \\"Bob\\" \\\\"   <sip:bob@example.net>  ;x', NameAddr('A. G. "Bob" \\', BOB, (("x", None),))),
        ("Bob the Builder <sip:bob@example.net>", NameAddr("Bob the Builder", BOB)),
        ("token1~` token2'+_ <sip:bob@example.net>", NameAddr("token1~` token2'+_", BOB)),
        ("Bób (Work/Home) <sip:bob@example.net>", NameAddr("Bób (Work/Home)", BOB)),
        ('"Bell, Alexander; <x>" <sip:bob@example.net>', NameAddr("Bell, Alexander; <x>", BOB)),
        ("<tel:+1-415>", NameAddr("", parse_uri("tel:+1415"))),
        ("<urn:service:sos>", NameAddr("", parse_uri("urn:service:sos"))),
    ],
)
def test_addresses_are_read(text, expected):
    assert parse_name_addr(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "Bob", "<>", "<sip:bob@example.net", "sip:bob@example.net>", "< sip:bob@example.net>",
        "<sip:bob@example.net >",
        "Bell, Alexander <sip:bob@example.net>", '"Bob <sip:bob@example.net>', 'B"ob" <sip:bob@example.net>',
        "sip:bob@example.net?a=b", "sip:bo,b@example.net", "sip:bob@example.net extra", "<sip:bob@example.net> extra",
        "<sip:bob@example.net>;", "<sip:bob@example.net>;;", "<<sip:bob@example.net>>",
        "<sip:bob@example.net>,<sip:a@b>",
        "<sip:bob@example.net>;tag=1;tag=2", '<sip:"bob"@example.net>', "a;b <sip:bob@example.net>",
    ],
)  # fmt: skip
def test_malformed_addresses_are_refused(text):
    with pytest.raises(ParseError) as caught:
        parse_name_addr(text, "Contact")
    assert (caught.value.status, caught.value.header) == (400, "Contact")


@pytest.mark.parametrize("display", ["", "Bob", 'A "B" \\', "Bell, Alexander", "é", "tab\t", "\0\x7f"])
def test_what_is_printed_reads_the_same(display):
    address = NameAddr(display, BOB, (("tag", "x"), ("lr", None), ("y", '"a b"')))
    assert parse_name_addr(str(address)) == address
    assert address.tag == "x"


def test_a_name_lets_no_line_end_out():
    assert "\r" not in str(NameAddr("a\r\nEvil: b", BOB))
    assert "\n" not in str(NameAddr("a\r\nEvil: b", BOB))
