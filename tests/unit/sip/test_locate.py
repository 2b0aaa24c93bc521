"""From the URI of a next hop to a flow, and names that are looked up meanwhile."""

import pytest

from sbc.core.address import Address, Flow, Transport
from sbc.sip.locate import REFRESH_SECONDS, RETRY_SECONDS, Local, Locator, Unlocated

V4, V6 = Address("192.0.2.1", 5060), Address("2001:db8::1", 5060)
LOCALS = {
    ("outside", Transport.UDP, False): Local(V4, "192.0.2.1:5060"),
    ("outside", Transport.UDP, True): Local(V6, "[2001:db8::1]:5060"),
    ("outside", Transport.TCP, False): Local(V4, "192.0.2.1:5060"),
}


@pytest.fixture
def locator():
    return Locator(LOCALS)


def udp(host, port=5060):
    return Flow(Transport.UDP, "outside", V6 if ":" in host else V4, Address(host, port))


@pytest.mark.parametrize(
    ("uri", "flow"),
    [
        ("sip:192.0.2.9", udp("192.0.2.9")),
        ("sip:x@192.0.2.9:5070;lr", udp("192.0.2.9", 5070)),
        ("sip:192.0.2.9;transport=UDP", udp("192.0.2.9")),
        ("sip:[2001:DB8::9]:5070", udp("2001:db8::9", 5070)),
        ("sip:192.0.2.9;transport=tcp", Flow(Transport.TCP, "outside", V4, Address("192.0.2.9", 5060))),
        ("sip:name.example.com;maddr=192.0.2.9", udp("192.0.2.9")),
    ],
)
def test_an_address_is_a_flow_at_once(locator, uri, flow):
    assert locator.locate(uri, "outside") == flow
    assert locator.locate(uri, "outside") == flow, "and remembered"


@pytest.mark.parametrize(
    "uri",
    [
        "tel:+14155550100",
        "sip:192.0.2.9;transport=sctp",
        "sips:192.0.2.9;transport=udp",
        "sips:192.0.2.9",
        "sip:[2001:db8::9];transport=tcp",
        "sip:224.0.1.75",
        "sip:0.0.0.0",
        "sip:255.255.255.255",
        "sip:[ff02::1]",
        "sip:x;maddr=224.0.1.75",
    ],
)
def test_what_cannot_be_sent_to_waits_for_nobody(locator, uri):
    unlocated = locator.locate(uri, "outside")
    assert isinstance(unlocated, Unlocated)
    assert unlocated.host == ""


def test_another_interface_has_other_listeners(locator):
    assert isinstance(locator.locate("sip:192.0.2.9", "inside"), Unlocated)


def test_a_name_must_be_awaited_until_its_addresses_are_known(locator):
    assert locator.locate("sip:x@Gw.Example.com", "outside") == Unlocated("looking up gw.example.com", "gw.example.com")
    locator.learn("GW.example.com", ("192.0.2.8", "192.0.2.9"), 0.0)
    assert locator.locate("sip:x@gw.example.com:5070", "outside") == udp("192.0.2.8", 5070)


def test_the_first_address_that_a_listener_can_reach_is_taken(locator):
    locator.learn("gw", ("2001:db8::9", "192.0.2.9"), 0.0)
    assert locator.locate("sip:gw;transport=tcp", "outside") == Flow(
        Transport.TCP, "outside", V4, Address("192.0.2.9", 5060)
    )


def test_a_name_without_addresses_is_not_awaited_again(locator):
    locator.learn("gw", (), 0.0)
    assert locator.locate("sip:gw", "outside") == Unlocated("gw has no address")


def test_a_failed_look_up_does_not_displace_what_was_good(locator):
    locator.learn("gw", ("192.0.2.9",), 0.0)
    locator.learn("gw", (), 100.0)
    assert locator.locate("sip:gw", "outside") == udp("192.0.2.9")


@pytest.mark.parametrize(("addresses", "after"), [(("192.0.2.9",), REFRESH_SECONDS), ((), RETRY_SECONDS)])
def test_a_name_is_looked_up_again_after_a_while_and_asked_for_once(locator, addresses, after):
    assert locator.due("sip:gw", "outside", 0.0) is None, "its first look-up is awaited"
    locator.learn("gw", addresses, 0.0)
    assert locator.due("sip:gw", "outside", after - 0.1) is None
    assert locator.due("sip:GW;lr", "outside", after) == "gw"
    assert locator.due("sip:gw", "outside", after + 0.1) is None


def test_an_address_is_never_looked_up(locator):
    locator.locate("sip:192.0.2.9", "outside")
    assert locator.due("sip:192.0.2.9", "outside", 1000.0) is None
    assert locator.due("tel:911", "outside", 1000.0) is None
