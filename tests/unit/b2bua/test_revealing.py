"""Texts that name hosts or addresses, and texts that do not."""

import pytest

from sbc.b2bua.revealing import names_in, names_of, reveals
from sbc.policy.model import Peer, Register, Server
from sbc.sip.message import Request


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.1", "at 192.168.1.20:5060", "2001:db8::1", "[fe80::1]", "00:0a:95:9d:68:16", "10%2E0.0.1",
        "10\\.0.0.1", "nas.local", "x.home.arpa", "Pbx.Corp.Example", "a-pbx.corp.example:5060",
    ],
)  # fmt: skip
def test_an_address_or_a_name_is_found(text):
    assert reveals(text, {"pbx.corp.example"})


@pytest.mark.parametrize(
    "text", ["hello", "16:49:29Z", "version 1.2.3", "www.home.com", "urn:alert:source:internal", "local", "+1 212 555"]
)
def test_an_ordinary_text_is_none(text):
    assert not reveals(text, {"pbx.corp.example"})


def test_a_message_names_its_side():
    request = Request(
        "INVITE",
        "sip:1@border.corp.example;transport=tcp",
        (
            ("Via", "SIP/2.0/TCP Edge.corp.example:5060;branch=z9hG4bK;received=10.0.0.1"),
            ("Contact", "<sip:phone7.lan:5070>"),
            ("From", "<sip:bob@carol.example>;tag=1"),
            ("Call-ID", "1@ids.example"),
            ("Subject", "x@not.example"),
            ("Record-Route", "<sip:proxy;lr>"),
        ),
    )
    assert names_in(request) == {
        "border.corp.example", "edge.corp.example", "corp.example", "phone7.lan", "carol.example", "ids.example",
        "proxy",
    }  # fmt: skip


def test_nobody_and_addresses_are_no_names():
    request = Request("INVITE", "sip:10.0.0.1", (("From", "<sip:anonymous@anonymous.invalid>"), ("Call-ID", "1@a")))
    assert names_in(request) == frozenset()


def test_a_peer_is_known_by_its_servers_and_domains():
    peer = Peer(
        "t", "trunk", "o", (Server("a.b.example"), Server("1.2.3.4")), domain="d.example", register=Register("u", "r")
    )
    assert names_of(peer) == {"a.b.example", "b.example", "d.example"}
