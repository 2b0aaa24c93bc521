"""Who counts as one client host of the admin API."""

import socket
from collections import Counter

import pytest

from sbc.core import limits
from sbc.runtime.http_clients import Clients, network_of


@pytest.mark.parametrize("host", ["", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_no_host_that_is_counted(host):
    assert network_of(host) == ""


def test_all_addresses_that_one_host_may_take_are_one():
    assert network_of("2001:db8::1") == network_of("2001:db8::dead:beef:0:1")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0")


def test_each_address_of_ipv4_is_a_host():
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")


# BOUND: ADMIN_CLIENTS_PER_HOST
async def test_one_network_of_ipv6_does_not_keep_the_others_out():
    with socket.socket() as listener:
        clients = Clients(None, listener, Counter())
        clients._clients = {object(): f"2001:db8::{n:x}" for n in range(limits.ADMIN_CLIENTS_PER_HOST)}

        assert clients._is_too_many("2001:db8::ffff")
        assert not clients._is_too_many("2001:db8:0:1::1")
        assert not clients._is_too_many("::1")
