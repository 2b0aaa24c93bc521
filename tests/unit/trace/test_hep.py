"""Packets of HEP3, read by a decoder of the test's own: vendor, type and length of each chunk, in network order."""

import ipaddress
import struct

import pytest

from sbc.core.address import Address, Flow, Transport
from sbc.trace.hep import packet
from sbc.trace.recorder import Entry


def chunks(data):
    assert data[:4] == b"HEP3"
    assert struct.unpack_from("!H", data, 4) == (len(data),)
    at, found = 6, {}
    while at < len(data):
        vendor, kind, length = struct.unpack_from("!HHH", data, at)
        assert vendor == 0
        assert kind not in found
        found[kind] = data[at + 6 : at + length]
        at += length
    assert at == len(data)
    return found


def entry(sent=False, transport=Transport.UDP, hosts=("192.0.2.1", "192.0.2.9"), data=b"INVITE"):
    ours, theirs = hosts
    return Entry(1.25, "ingress", sent, data, None, Flow(transport, "x", Address(ours, 5060), Address(theirs, 5070)))


def test_a_packet_says_who_sent_what_to_whom_and_when():
    assert chunks(packet("k3v7q2mxya", entry(), 1_700_000_000.5, 2001, None)) == {
        0x0001: b"\x02",
        0x0002: b"\x11",
        0x0003: ipaddress.ip_address("192.0.2.9").packed,
        0x0004: ipaddress.ip_address("192.0.2.1").packed,
        0x0007: (5070).to_bytes(2, "big"),
        0x0008: (5060).to_bytes(2, "big"),
        0x0009: (1_700_000_001).to_bytes(4, "big"),
        0x000A: (750_000).to_bytes(4, "big"),
        0x000B: b"\x01",
        0x000C: (2001).to_bytes(4, "big"),
        0x000F: b"INVITE",
        0x0011: b"k3v7q2mxya",
    }


def test_what_we_send_goes_the_other_way():
    found = chunks(packet("r", entry(sent=True), 0.0, 1, None))
    assert (found[0x0003], found[0x0007]) == (bytes([192, 0, 2, 1]), (5060).to_bytes(2, "big"))


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
def test_ipv6_and_streams_have_their_own_marks(transport):
    found = chunks(packet("r", entry(transport=transport, hosts=("2001:db8::1", "fe80::2%eth0")), 0.0, 1, None))
    assert (found[0x0001], found[0x0002]) == (b"\x0a", b"\x06")
    assert found[0x0005] == ipaddress.ip_address("fe80::2").packed
    assert found[0x0006] == ipaddress.ip_address("2001:db8::1").packed
    assert 0x0003 not in found


def test_the_servers_key_is_sent_where_there_is_one():
    assert chunks(packet("r", entry(), 0.0, 1, "k€y"))[0x000E] == "k€y".encode()


@pytest.mark.parametrize("octets", [65_507, 65_450, 70_000])
def test_what_fits_in_no_datagram_makes_no_packet(octets):
    assert packet("r", entry(data=b"x" * octets), 0.0, 1, None) is None


def test_the_longest_message_that_fits_is_sent_whole():
    data = packet("r", entry(data=b"x" * 65_300), 0.0, 1, None)
    assert len(data) <= 65_507
    assert chunks(data)[0x000F] == b"x" * 65_300


def test_notes_and_messages_of_unknown_ways_make_no_packet():
    assert packet("r", Entry(0.0, "", False, None, "why"), 0.0, 1, None) is None
    assert packet("r", Entry(0.0, "ingress", False, b"x", None), 0.0, 1, None) is None
