"""Opening listeners: all or none, every problem at once, in an operator's words."""
# RFC: 2474

import socket

import pytest

from sbc.core.address import Address, Transport
from sbc.core.errors import OperatorError
from sbc.policy.model import Interface, Listener
from sbc.runtime.sockets import close_all, open_listeners


def interface(name, *listeners, media=("127.0.0.1",), dscp=0):
    return Interface(name, tuple(listeners), media, dscp_sip=dscp)


def free_port(kind=socket.SOCK_DGRAM, host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        sock.bind((host, 0))
        return sock.getsockname()[1]


def udp(host, port):
    return Listener(Transport.UDP, Address(host, port))


def tcp(host, port):
    return Listener(Transport.TCP, Address(host, port))


@pytest.mark.ipv6
def test_udp_and_tcp_of_both_families_are_opened_with_their_dscp():
    four, six = free_port(), free_port(host="::1")
    opened = open_listeners(
        [interface("inside", udp("127.0.0.1", four), tcp("127.0.0.1", four), dscp=24), interface("v6", udp("::1", six))]
    )
    try:
        assert [(entry.interface, entry.socket.type) for entry in opened] == [
            ("inside", socket.SOCK_DGRAM),
            ("inside", socket.SOCK_STREAM),
            ("v6", socket.SOCK_DGRAM),
        ]
        assert opened[0].socket.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 24 << 2
        assert opened[2].socket.getsockname()[:2] == ("::1", six)
    finally:
        close_all(opened)


def test_all_problems_are_said_at_once_and_nothing_stays_open():
    taken, free = free_port(), free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", taken))
        with pytest.raises(OperatorError) as problem:
            open_listeners(
                [
                    interface("inside", udp("127.0.0.1", free), udp("127.0.0.1", taken)),
                    interface("outside", tcp("203.0.113.9", 5060), media=("203.0.113.10",)),
                ]
            )
    lines = str(problem.value).splitlines()
    assert lines[0].startswith(f"interfaces.inside.sip udp:127.0.0.1:{taken}: address already in use; ")
    assert lines[1].startswith("interfaces.outside.sip tcp:203.0.113.9:5060: no network interface of this machine has")
    assert lines[2].startswith("interfaces.outside.media 203.0.113.10: no network interface of this machine has")
    assert len(lines) == 3
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", free))


def test_a_tcp_port_that_another_program_listens_on_is_in_use():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OperatorError, match="address already in use"):
            open_listeners([interface("inside", tcp("127.0.0.1", other.getsockname()[1]))])


def test_no_permission_is_said_as_such(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(OperatorError, match=r"udp:127\.0\.0\.1:1: no permission; a port below 1024"):
        open_listeners([interface("inside", udp("127.0.0.1", 1), media=())])
