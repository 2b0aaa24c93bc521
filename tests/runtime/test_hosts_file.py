"""/etc/hosts: read when it changes, and never a reason to fail."""

import os

import pytest

from sbc.runtime.hosts_file import HostsFile, parse_hosts


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("192.0.2.1 pbx", {"pbx": ("192.0.2.1",)}),
        ("192.0.2.1\tPBX pbx.Office.example. # comment", {"pbx": ("192.0.2.1",), "pbx.office.example": ("192.0.2.1",)}),
        ("192.0.2.1 pbx\n2001:DB8::1 pbx\n192.0.2.1 pbx", {"pbx": ("192.0.2.1", "2001:db8::1")}),
        ("#192.0.2.1 pbx\n\n   \nnonsense pbx\nfe80::1%lo pbx\n192.0.2.1\n999.0.0.1 pbx", {}),
        ("192.0.2.1 a\r\n192.0.2.2 b\r\n", {"a": ("192.0.2.1",), "b": ("192.0.2.2",)}),
    ],
)
def test_names_are_read_as_hosts_5_says(text, names):
    assert parse_hosts(text) == names


def test_a_change_counts_at_once(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 pbx\n")
    hosts = HostsFile(path)
    assert hosts.addresses("pbx") == ("192.0.2.1",)
    path.write_text("192.0.2.22 pbx\n")
    os.utime(path, ns=(1, 1))
    assert hosts.addresses("pbx") == ("192.0.2.22",)
    path.unlink()
    assert hosts.addresses("pbx") is None


def test_localhost_is_the_loopback_without_a_line(tmp_path):
    hosts = HostsFile(tmp_path / "missing")
    assert hosts.addresses("localhost") == ("127.0.0.1", "::1")
    assert hosts.addresses("pbx.localhost") == ("127.0.0.1", "::1")
    assert hosts.addresses("localhost.example") is None


def test_bytes_that_are_no_text_do_no_harm(tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(b"\xff\xfe\x00 x\n192.0.2.1 pbx\n")
    assert HostsFile(path).addresses("pbx") == ("192.0.2.1",)
