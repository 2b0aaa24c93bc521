import pytest

from sbc.core.address import Address, Flow, Transport, bracketed, canonical_ip


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%ETH0", "fe80::1%eth0"),
        ("example.com", None),
        ("192.0.2.256", None),
        ("192.0.2.01", None),
        ("", None),
        ("[", None),
    ],
)
def test_an_ip_literal_has_one_text_form_and_a_name_has_none(text, canonical):
    assert canonical_ip(text) == canonical


def test_ipv6_is_bracketed_where_a_port_follows():
    assert str(Address("2001:db8::1", 5060)) == "[2001:db8::1]:5060"
    assert str(Address("192.0.2.1", 5060)) == "192.0.2.1:5060"
    assert bracketed("2001:db8::1") == "[2001:db8::1]"
    assert bracketed("[2001:db8::1]") == "[2001:db8::1]"
    assert bracketed("example.com") == "example.com"


def test_only_udp_needs_retransmission_and_only_tls_has_port_5061():
    assert [transport.is_reliable for transport in Transport] == [False, True, True]
    assert [transport.default_port for transport in Transport] == [5060, 5060, 5061]


def test_equal_flows_are_one_key():
    one = Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))
    other = Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))
    assert {one: 1}[other] == 1
    assert str(one) == "udp:192.0.2.1:5060-192.0.2.9:5060"
