# ruff: noqa: E501 (tables of exact texts)
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.address import Address, Transport
from sbc.policy import addresses, values
from sbc.policy.model import Listener, Server
from sbc.policy.problems import UnfitError


def wrong(parse, text):
    with pytest.raises(UnfitError) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("500ms", 0.5), ("1.5m", 90.0), ("4h", 14_400.0), ("1d", 86_400.0), ("0s", 0.0)],
)
def test_a_duration_has_a_unit(text, seconds):
    assert values.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["10", "1.5", "0"])
def test_a_bare_number_is_no_duration(text):
    assert wrong(values.duration, text) == f"`{text}` has no unit; expected a number with ms, s, m, h or d, such as 10s"


@pytest.mark.parametrize("text", ["", "s", "-1s", "10 s", "10S", "1e3s", ".5s", "1.s", "10sec", "٣s", "1" * 10 + "s"])
def test_other_texts_are_no_duration(text):
    assert wrong(values.duration, text).startswith(f"`{text}` is not a duration")


def test_a_timer_waits_for_something_and_not_for_ever():
    assert values.timer("1d") == 86_400
    assert wrong(values.timer, "0s") == "`0s` is out of range; expected more than 0s and at most 1d"
    assert wrong(values.timer, "25h") == "`25h` is out of range; expected more than 0s and at most 1d"
    assert values.patience("0s") == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udp:127.0.0.10:5060", Listener(Transport.UDP, Address("127.0.0.10", 5060))),
        ("tcp:127.0.0.10", Listener(Transport.TCP, Address("127.0.0.10", 5060))),
        ("udp:[2001:DB8::1]:5070", Listener(Transport.UDP, Address("2001:db8::1", 5070))),
    ],
)
def test_a_listener(text, expected):
    assert addresses.listener(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0.1:5060", "sctp:127.0.0.1:5060", "udp", "udp:", "udp:host:5060", "udp:0.0.0.0:5060", "udp:[::]:5060",
     "udp:224.0.0.1:5060", "udp:127.0.0.1:0", "udp:127.0.0.1:65536", "udp:127.0.0.1:", "udp:::1:5060", "tls:127.0.0.1:5061",
     "udp:[fe80::1%eth0]:5060"],
)  # fmt: skip
def test_no_listener(text):
    wrong(addresses.listener, text)


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("sip:127.0.0.40:5060", Server("127.0.0.40", 5060, Transport.UDP, "sip:127.0.0.40:5060")),
        ("sip:SIP.Example.com", Server("sip.example.com", None, Transport.UDP, "sip:SIP.Example.com")),
        ("sip:h;transport=TCP", Server("h", None, Transport.TCP, "sip:h;transport=TCP")),
        ("sip:[::1]:5070;transport=udp", Server("::1", 5070, Transport.UDP, "sip:[::1]:5070;transport=udp")),
    ],
)
def test_a_server(text, server):
    assert addresses.server(text) == server


@pytest.mark.parametrize(
    "text",
    ["", "sip:", "127.0.0.40", "tel:100", "sips:h", "sip:a@h", "sip:h:x", "sip:h:0", "sip:h;lr", "sip:h;transport=tls",
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
    ],
)
def test_an_admin_address(text, shown):
    assert addresses.admin(text) == shown


@pytest.mark.parametrize(
    "text", ["", "8088", "127.0.0.1", "localhost:8088", "0.0.0.0:8088", "192.0.2.1:80", "unix:", "OFF"]
)
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
    assert wrong(addresses.network, "any").startswith("`accept: any` requires `auth`, which is not built yet;")
    for text in ("", "host", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8", "fe80::1%eth0"):
        wrong(addresses.network, text)


@pytest.mark.parametrize(("text", "ports"), [("20000-29999", (20_000, 29_999)), ("1024-1025", (1024, 1025))])
def test_media_ports(text, ports):
    assert values.media_ports(text) == ports


@pytest.mark.parametrize(
    "text", ["", "20000", "29999-20000", "80-90", "1024-70000", "1025-1026", "2000-2000", "a-b", "1-2-3"]
)
def test_no_media_ports(text):
    wrong(values.media_ports, text)


@pytest.mark.parametrize(("text", "point"), [("cs3", 24), ("EF", 46), ("af41", 34), ("va", 44), ("0", 0), ("63", 63)])
def test_a_code_point(text, point):
    assert values.dscp(text) == point


@pytest.mark.parametrize("text", ["", "64", "cs8", "af44", "af51", "-1", "0x10", "063"])
def test_no_code_point(text):
    wrong(values.dscp, text)


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


def test_a_country_has_a_numbering_plan():
    assert values.country("us") == "US"
    assert wrong(values.country, "UK") == "`UK` is no country with a numbering plan; expected GB"
    assert wrong(values.country, "001").startswith("`001` is no country")


@pytest.mark.parametrize("text", ["200", "399", "700", "4O4", "", "4040"])
def test_only_failures_reject(text):
    assert wrong(values.reject_status, text) == f"`{text}` is no SIP failure; expected a status from 400 to 699"


@pytest.mark.parametrize("text", ["", "-a", "a b", "a" * 65, "a/b", "ä"])
def test_no_name(text):
    assert wrong(values.name, text).startswith(f"`{text}` cannot be a name")


def test_dids_take_numbers_and_ranges_only():
    assert values.did("+14155550100") == ("+14155550100", "+14155550100")
    assert values.did("100-199") == ("100", "199")
    for text in ("+1415555010X", "/1+/", "", "dids", "1-22"):
        wrong(values.did, text)


PARSERS = [
    values.name, values.label, values.path, values.duration, values.timer, values.patience, values.within(0, 32),
    values.reject_status, values.country, addresses.ip_literal, addresses.own_address, addresses.network, addresses.listener, addresses.admin,
    addresses.advertised, addresses.server, addresses.domain, values.media_ports, values.dscp, values.pattern, values.prefix, values.did,
]  # fmt: skip


@given(
    st.sampled_from(PARSERS),
    st.text(max_size=40) | st.from_regex(r"(sip|udp|tcp|unix):[\[\]0-9a-f:.;=@/%-]*", fullmatch=True),
)
def test_any_text_is_a_value_or_says_what_is_wrong(parse, text):
    try:
        parse(text)
    except UnfitError as error:
        parts = (error.wrong, error.expected)
    else:
        return
    assert all(parts)


def test_a_path_is_not_empty():
    assert values.path("./var") == "./var"
    assert wrong(values.path, "") == "an empty path; expected the path of a directory"


def test_patience_ends_after_a_day():
    assert wrong(values.patience, "2d") == "`2d` is out of range; expected 0s to 1d"


@pytest.mark.parametrize("text", ["", "a\tb", "a" * 65])
def test_no_label(text):
    assert wrong(values.label, text) == "this cannot be a name; expected 1 to 64 printable characters"
