"""What the machine's links and addresses mean for the policy's interfaces, and when it is told."""

import ipaddress

import pytest

from sbc.core.address import Address, Transport
from sbc.policy.model import Interface, Listener
from sbc.runtime.links import Held, InterfaceWatch, Link, Picture

LO = Link("lo", is_up=True, is_loopback=True)


def interface(name, *hosts, media=()):
    listeners = tuple(Listener(Transport.UDP, Address(host, 5060)) for host in hosts)
    return Interface(name, listeners, tuple(media) or hosts[:1])


def machine(*held, down=()):
    """`held`: "eth0 192.0.2.1/24" each."""
    pairs = [one.split() for one in ("lo 127.0.0.1/8", *held)]
    names = dict.fromkeys([name for name, _ in pairs if name != "lo"] + list(down))
    links = (LO, *(Link(name, is_up=name not in down) for name in names))
    return Picture(links, tuple(Held(ipaddress.ip_interface(address), name) for name, address in pairs))


WELL = machine("eth0 10.0.0.1/24", "eth1 192.0.2.1/24", "eth1 2001:db8::1/64")
NO_ADDRESS = machine("eth0 10.0.0.1/24", "eth1 2001:db8::1/64")
NO_LINK = machine("eth0 10.0.0.1/24", "eth1 192.0.2.1/24", "eth1 2001:db8::1/64", down=("eth1",))


@pytest.fixture
def watch():
    interfaces = {"inside": interface("inside", "10.0.0.1"), "outside": interface("outside", "192.0.2.1")}
    made = InterfaceWatch(interfaces)
    assert made.look(WELL, 0.0) == []
    return made


def told(changes):
    return [(change.interface, change.missing, change.why) for change in changes]


def test_an_address_that_is_gone_is_told_at_once(watch):
    assert told(watch.look(NO_ADDRESS, 1.0)) == [("outside", ("192.0.2.1",), "192.0.2.1 is gone")]
    assert watch.look(NO_ADDRESS, 2.0) == []


def test_a_link_that_is_down_is_told_at_once(watch):
    assert told(watch.look(NO_LINK, 1.0)) == [("outside", ("192.0.2.1",), "link eth1 is down")]


def test_a_device_that_is_taken_out_takes_its_addresses_along(watch):
    assert told(watch.look(machine("eth0 10.0.0.1/24"), 1.0))[0][2] == "192.0.2.1 is gone"


def test_another_reason_is_news(watch):
    watch.look(NO_LINK, 1.0)
    assert told(watch.look(NO_ADDRESS, 2.0))[0][2] == "192.0.2.1 is gone"


def test_what_comes_back_is_told_when_it_has_settled(watch):
    watch.look(NO_LINK, 1.0)
    assert watch.look(WELL, 5.0) == []
    assert watch.next_deadline() == pytest.approx(5.05)
    assert told(watch.tick(5.05)) == [("outside", (), "")]
    assert watch.next_deadline() is None


def test_what_is_lost_again_before_it_has_settled_is_no_news(watch):
    watch.look(NO_LINK, 1.0)
    watch.look(WELL, 5.0)
    assert watch.look(NO_LINK, 5.01) == []
    assert watch.next_deadline() is None


def test_a_loose_plug_must_be_well_for_longer_each_time(watch):
    now, waits = 1.0, []
    for _ in range(8):
        assert watch.look(NO_LINK, now)
        watch.look(WELL, now)
        waits.append(watch.next_deadline() - now)
        now += waits[-1]
        assert watch.tick(now)
        now += 0.01
    assert waits[:5] == pytest.approx([0.05, 2.0, 4.0, 8.0, 16.0])
    assert max(waits) <= 30.0


def test_after_a_quiet_minute_it_is_back_at_once_again(watch):
    for now in (1.0, 100.0):
        watch.look(NO_LINK, now)
        watch.look(WELL, now + 1)
        assert watch.next_deadline() == pytest.approx(now + 1.05)
        watch.tick(now + 2)


def test_each_lost_address_is_named_once():
    both = InterfaceWatch({"wan": interface("wan", "192.0.2.1", "2001:db8::1", media=("192.0.2.1",))})
    both.look(WELL, 0.0)
    assert told(both.look(NO_LINK, 1.0)) == [("wan", ("192.0.2.1", "2001:db8::1"), "link eth1 is down")]
    assert told(both.look(NO_ADDRESS, 2.0)) == []  # one is back: when it has settled
    assert told(both.tick(3.0)) == [("wan", ("192.0.2.1",), "192.0.2.1 is gone")]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.7.7.7"])
def test_all_of_the_loopback_network_is_there(host):
    one = InterfaceWatch({"lo": interface("lo", host)})
    assert one.look(machine(), 0.0) == []
    assert one.look(Picture((Link("lo", is_up=False, is_loopback=True),), machine().held), 1.0) != []


def test_what_was_never_there_is_not_watched():
    """An address of a local route, or of a standby node that may bind what it has not."""
    one = InterfaceWatch({"wan": interface("wan", "198.51.100.1")})
    assert one.look(WELL, 0.0) == []
    arrived = machine("eth1 198.51.100.1/24")
    assert one.look(arrived, 1.0) == []
    assert one.look(WELL, 2.0) != []


def test_a_scope_names_the_link():
    one = InterfaceWatch({"wan": interface("wan", "fe80::1%eth1")})
    here = machine("eth0 fe80::1/64", "eth1 fe80::1/64")
    assert one.look(here, 0.0) == []
    assert told(one.look(machine("eth0 fe80::1/64"), 1.0))[0][1] == ("fe80::1%eth1",)


def test_an_address_on_two_links_is_there_while_one_is_up(watch):
    two = machine("eth0 10.0.0.1/24", "eth1 192.0.2.1/24", "eth2 192.0.2.1/24", down=("eth1",))
    assert watch.look(two, 1.0) == []


def test_a_reload_changes_what_is_watched(watch):
    watch.look(NO_ADDRESS, 1.0)
    assert watch.change_interfaces({"inside": interface("inside", "10.0.0.1")}, 2.0) == []
    assert watch.look(machine(), 3.0)[0].interface == "inside"
