"""Admin addresses: three ways to write them, and nothing else."""

import pytest

from sbc.admin.address import TcpAddress, UnixAddress, parse_admin_address
from sbc.core.errors import OperatorError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8088", TcpAddress("127.0.0.1", 8088)),
        ("[::1]:8088", TcpAddress("::1", 8088)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("http://127.0.0.1:8088/", TcpAddress("127.0.0.1", 8088)),
        ("unix:/run/sbc/admin", UnixAddress("/run/sbc/admin")),
        ("unix:var/admin", UnixAddress("var/admin")),
    ],
)
def test_addresses_are_read(text, address):
    assert parse_admin_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8088",
        ":8088",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "::1:8088",
        "h:٣",
        "unix:",
        "unix:a\0b",
    ],
)
def test_what_is_no_address_is_an_operators_error_with_examples(text):
    with pytest.raises(OperatorError, match=r"expected 127\.0\.0\.1:8088"):
        parse_admin_address(text)


def test_a_unix_path_longer_than_the_system_takes_is_said_before_bind():
    assert parse_admin_address("unix:" + "a" * 107)
    with pytest.raises(OperatorError, match="at most 107 octets"):
        parse_admin_address("unix:" + "a" * 108)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
def test_loopback_is_recognised(text):
    assert parse_admin_address(text).is_loopback


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "localhost.example:1"])
def test_everything_else_is_not_loopback(text):
    assert not parse_admin_address(text).is_loopback


@pytest.mark.parametrize("text", ["127.0.0.1:8088", "[::1]:8088", "unix:/run/sbc/admin"])
def test_addresses_print_as_they_are_written(text):
    assert str(parse_admin_address(text)) == text
