"""The capture file of a call, taken apart again by a reader of the test's own."""

import ipaddress
import struct

import pytest

from sbc.core.address import Address, Flow, Transport
from sbc.trace.packets import LINK_OCTETS
from sbc.trace.pcap import capture
from sbc.trace.recorder import Recorder

OURS = {4: "192.0.2.1", 6: "2001:db8::1"}
THEIRS = {4: "192.0.2.9", 6: "2001:db8::9"}


def flow(transport=Transport.UDP, family=4, port=5060):
    return Flow(transport, "outside", Address(OURS[family], 5060), Address(THEIRS[family], port))


def taped(*messages, wall=1_700_000_000.0):
    """Messages are (at, sent, data, flow)."""
    recorder = Recorder()
    for at, sent, data, way in messages:
        recorder.message("a", at, "ingress", sent, data, way)
    return capture(recorder.entries("a", keeps_length=True), wall)


def frames(file):
    """(time, packet) of each record."""
    magic, major, minor, zone, accuracy, snap, link = struct.unpack_from("<IHHiIII", file)
    assert (magic, major, minor, zone, accuracy, snap, link) == (0xA1B2C3D4, 2, 4, 0, 0, 262_144, 101)
    at, found = 24, []
    while at < len(file):
        seconds, micros, kept, whole = struct.unpack_from("<IIII", file, at)
        assert kept == whole
        found.append((seconds + micros / 1e6, file[at + 16 : at + 16 + kept]))
        at += 16 + kept
    return found


def folded(data):
    """The sum of RFC 1071: 0xFFFF over a header with a right checksum."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def unpacked(packet):
    """(protocol, source, destination, fragment key or None, offset, whether more follow, payload) of an IP packet."""
    if packet[0] >> 4 == 4:
        assert folded(packet[:20]) == 0xFFFF
        length, number, fragment = struct.unpack_from("!HHH", packet, 2)
        assert length == len(packet)
        more, offset = bool(fragment & 0x2000), (fragment & 0x1FFF) * 8
        return packet[9], packet[12:16], packet[16:20], number, offset, more, packet[20:]
    assert struct.unpack_from("!H", packet, 4)[0] == len(packet) - 40
    source, destination = packet[8:24], packet[24:40]
    if packet[6] != 44:
        return packet[6], source, destination, 0, 0, False, packet[40:]
    protocol, _, fragment, number = struct.unpack_from("!BBHI", packet, 40)
    return protocol, source, destination, number, fragment & 0xFFF8, bool(fragment & 1), packet[48:]


def pieces(file):
    """(protocol, source, destination, payload) of each whole IP packet, its fragments put together."""
    parts, found = {}, []
    for _, packet in frames(file):
        assert len(packet) <= LINK_OCTETS
        protocol, source, destination, number, offset, more, payload = unpacked(packet)
        collected = parts.setdefault((source, destination, number), bytearray())
        assert offset == len(collected)
        collected += payload
        if not more:
            found.append((protocol, source, destination, bytes(parts.pop((source, destination, number)))))
            pseudo = source + destination + struct.pack("!II", len(found[-1][3]), protocol)
            assert folded(pseudo + found[-1][3]) == 0xFFFF
    assert not parts
    return found


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 2, 1431, 1452, 1453, 1472, 1473, 4000, 60_001])
def test_a_datagram_comes_out_as_it_went_in_however_long(family, size):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    ((protocol, source, destination, udp),) = pieces(taped((0.0, False, data, flow(family=family, port=5099))))
    assert protocol == 17
    assert ipaddress.ip_address(source) == ipaddress.ip_address(THEIRS[family])
    assert ipaddress.ip_address(destination) == ipaddress.ip_address(OURS[family])
    assert struct.unpack_from("!HHH", udp) == (5099, 5060, 8 + size)
    assert udp[8:] == data


@pytest.mark.parametrize("family", [4, 6])
def test_a_connection_is_one_stream_of_octets_each_way(family):
    way = flow(Transport.TCP, family)
    said = [(0.0, False, b"a" * 700, way), (0.1, True, b"b" * 5000, way), (0.2, False, b"c" * 9000, way)]
    streams, acknowledged = {}, []
    for protocol, source, _, tcp in pieces(taped(*said)):
        assert protocol == 6
        number, ack = struct.unpack_from("!II", tcp, 4)
        stream = streams.setdefault(source, bytearray())
        assert number == 1 + len(stream)
        acknowledged.append(ack == 1 + sum(len(other) for who, other in streams.items() if who != source))
        stream += tcp[20:]
    theirs, ours = (ipaddress.ip_address(host[family]).packed for host in (THEIRS, OURS))
    assert streams == {theirs: b"a" * 700 + b"c" * 9000, ours: b"b" * 5000}
    assert all(acknowledged)


def test_two_connections_are_counted_apart():
    ways = [flow(Transport.TCP, port=port) for port in (5060, 6070)]
    packets = pieces(taped(*[(0.0, False, b"x" * 10, way) for way in ways]))
    assert [struct.unpack_from("!HHI", tcp) for _, _, _, tcp in packets] == [(5060, 5060, 1), (6070, 5060, 1)]


def test_times_are_of_the_wall_clock_to_the_microsecond():
    file = taped((12.345678, True, b"x", flow()), wall=1_700_000_000.5)
    assert [round(at, 6) for at, _ in frames(file)] == [1_700_000_012.845678]


def test_notes_and_messages_whose_way_nobody_knows_are_left_out():
    recorder = Recorder()
    recorder.note("a", 0.0, "routed")
    recorder.message("a", 0.1, "ingress", False, b"INVITE")
    assert frames(capture(recorder.entries("a"), 0.0)) == []


def test_the_zone_of_an_address_is_no_part_of_a_packet():
    way = Flow(Transport.UDP, "x", Address("fe80::1%eth0", 5060), Address("fe80::2%eth0", 5060))
    ((_, source, _, _),) = pieces(taped((0.0, False, b"x", way)))
    assert ipaddress.ip_address(source) == ipaddress.ip_address("fe80::2")


@pytest.mark.parametrize("family", [4, 6])
def test_what_no_datagram_could_carry_is_left_out_and_the_rest_stays(family):
    file = taped((1.0, True, b"x" * 65_530, flow(family=family)), (2.0, True, b"BYE", flow(family=family)))

    ((_, packet),) = frames(file)
    assert packet.endswith(b"BYE")
