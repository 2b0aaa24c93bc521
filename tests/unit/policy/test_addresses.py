# ruff: noqa: E501 (tables of exact texts)
import pytest

from sbc.core.address import Address, Transport
from sbc.policy import addresses
from sbc.policy.model import Listener, Server
from sbc.policy.problems import UnfitError


def wrong(parse, text):
    with pytest.raises(UnfitError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udp:127.0.0.10:5060", Listener(Transport.UDP, Address("127.0.0.10", 5060))),
        ("tcp:127.0.0.10", Listener(Transport.TCP, Address("127.0.0.10", 5060))),
        ("tls:127.0.0.10", Listener(Transport.TLS, Address("127.0.0.10", 5061))),
        ("udp:[2001:DB8::1]:5070", Listener(Transport.UDP, Address("2001:db8::1", 5070))),
    ],
)
def test_a_listener(text, expected):
    assert addresses.listener(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0.1:5060", "sctp:127.0.0.1:5060", "udp", "udp:", "udp:host:5060", "udp:0.0.0.0:5060", "udp:[::]:5060",
     "udp:224.0.0.1:5060", "udp:127.0.0.1:0", "udp:127.0.0.1:65536", "udp:127.0.0.1:", "udp:::1:5060", "tls:0.0.0.0:5061",
     "udp:[fe80::1%eth0]:5060"],
)  # fmt: skip
def test_no_listener(text):
    wrong(addresses.listener, text)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("sip:127.0.0.40:5060", Server("127.0.0.40", 5060, Transport.UDP, "sip:127.0.0.40:5060")),
        ("sip:SIP.Example.com", Server("sip.example.com", None, Transport.UDP, "sip:SIP.Example.com")),
        ("sip:h;transport=tls", Server("h", None, Transport.TLS, "sip:h;transport=tls", names_transport=True)),
        ("SIPS:h", Server("h", None, Transport.TLS, "SIPS:h", is_sips=True)),
        # RFC: 5630 §3.1.4: the transport of a SIPS URI is what TLS is spoken over
        (
            "sips:h:5071;transport=tcp",
            Server("h", 5071, Transport.TLS, "sips:h:5071;transport=tcp", names_transport=True, is_sips=True),
        ),
        ("sip:h;transport=TCP", Server("h", None, Transport.TCP, "sip:h;transport=TCP", names_transport=True)),
        (
            "sip:[::1]:5070;transport=udp",
            Server("::1", 5070, Transport.UDP, "sip:[::1]:5070;transport=udp", names_transport=True),
        ),
    ],
)
def test_a_server(text, server):
    assert addresses.server(text) == server


@pytest.mark.parametrize(
    "text",
    ["", "sip:", "127.0.0.40", "tel:100", "sips:h;transport=udp", "sips:", "sip:a@h", "sip:h:x", "sip:h:0", "sip:h;lr",
     "sip:h;transport=", "sip:h?a=b", "sip:::1", "sip:[::g]", "sip:[]", "sip:h h", "sip:-h", "sip:1.2.3", "sip:" + "a" * 300],
)  # fmt: skip
def test_no_server(text):
    wrong(addresses.server, text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("127.0.0.1:8088", "127.0.0.1:8088"),
        ("[::1]:80", "[::1]:80"),
        ("unix:/run/sbc", "unix:/run/sbc"),
        ("off", "off"),
        ("0.0.0.0:8088", "0.0.0.0:8088"),
        ("192.0.2.1:80", "192.0.2.1:80"),
    ],
)
def test_an_admin_address(text, shown):
    assert addresses.admin(text) == shown


@pytest.mark.parametrize("text", ["", "8088", "127.0.0.1", "localhost:8088", "unix:", "OFF"])
def test_no_admin_address(text):
    wrong(addresses.admin, text)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("127.0.0.1", "127.0.0.1/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("[::1]", "::1/128"),
    ],
)
def test_a_network(text, network):
    assert addresses.network(text) == network


def test_no_network():
    assert wrong(addresses.network, "10.0.0.1/8") == "`10.0.0.1/8` has bits set behind its prefix; expected 10.0.0.0/8"
    assert wrong(addresses.network, "any").startswith("`accept: any` is for pbxs with `auth`;")
    for text in ("", "host", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8", "fe80::1%eth0"):
        wrong(addresses.network, text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sbc.example.com:5060", "sbc.example.com:5060"),
        ("h", "h"),
        ("[::1]:1", "[::1]:1"),
        ("[::1]", "[::1]"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_advertised_host(text, shown):
    assert addresses.advertised(text) == shown


def test_any_network_is_a_word_of_its_own_for_pbxs():
    assert addresses.network_or_any("any") == "any"
    assert addresses.network_or_any("192.0.2.1") == "192.0.2.1/32"


@pytest.mark.parametrize(
    ("text", "aor"),
    [
        ("sip:+14155550100@carrier-a.example", ("+14155550100", "carrier-a.example", False)),
        ("SIP:a%20b@Carrier.Example", ("a%20b", "carrier.example", False)),
        ("sip:a@[2001:DB8::1]", ("a", "[2001:db8::1]", False)),
        ("sips:a@carrier.example", ("a", "carrier.example", True)),
    ],
)
def test_an_aor_is_a_user_and_a_host(text, aor):
    assert addresses.aor(text) == aor


@pytest.mark.parametrize(
    "text",
    ["", "carrier.example", "sip:carrier.example", "tel:+14155550100", "sip:a@h:5060", "sip:a@h;transport=udp",
     "sip:a:hunter2@h", "sip:hunter2 x@h", "sip:a@h?Subject=hunter2", "sip:@h", "sip:a@h_.x"],
)  # fmt: skip
def test_no_aor_and_no_password_repeated(text):
    assert "hunter2" not in wrong(addresses.aor, text)


@pytest.mark.parametrize("text", ["http://h", "https://hooks.example:8443/x?y=1", "http://[::1]:8080/"])
def test_a_webhook(text):
    assert addresses.webhook(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "hunter2", "ftp://h/hunter2", "http:///hunter2", "https://h:0/hunter2", "https://h:99999/hunter2", "https://[/hunter2",
     "https://a:hunter2@h/", "https://h/ hunter2", "https://h/\x7fhunter2", "https://hö/hunter2", "unix:/hunter2"],
)  # fmt: skip
def test_no_webhook_and_its_text_is_not_repeated(text):
    assert "hunter2" not in wrong(addresses.webhook, text)
