"""The kernel engine between namespaces: what crosses, what is passed up, what is dropped, and what is left behind."""
# RFC: 3550

import contextlib
import fcntl
import os
import random
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sbc.media import wire
from sbc.media.worker import slots
from sbc.media.worker.engine import NOT_YET, PASS_UP, Flow
from sbc.media.worker.statistics import Statistics

from . import frames
from .cables import Cable, inside, make_checksums_by_hand, udp
from .children import Child, is_full, program, until
from .in_kernel import KernelProcess
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

PBX6, INSIDE6 = "fd77::30", "fd77::10"
CARRIER6, OUTSIDE6 = "2001:db8:1::40", "2001:db8:1::20"
OUR_PORT, OUT_PORT, PBX_PORT, CARRIER_PORT = 20000, 20002, 4000, 5000
SLOT, SSRC = 7, 0x01020304
RELAYED, PASSED_UP, DROPPED = 7, -1, 2  # TC_ACT_REDIRECT, TC_ACT_UNSPEC, TC_ACT_SHOT
SPEECH, OTHER, NEVER_SEEN = 0, 18, 101
TYPES = bytes({SPEECH: 8, OTHER: OTHER}.get(kind, PASS_UP) for kind in range(128))
EF = 46
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x1, 0x1000
BOTH = pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])


class Lab:
    """A PBX, the SBC and a carrier; engines are processes that enter the SBC's namespaces, bpffs included."""

    def __init__(self, namespaces, folder, stack):
        self.namespaces = namespaces
        self._stack = stack
        self.bpffs = folder / "bpf"
        self.bpffs.mkdir()
        script = f"mount -t bpf bpf '{self.bpffs}' && echo mounted && exec sleep 600"
        prefix = (*namespaces.enter("sbc"), program("unshare"), "--mount")
        keeper = Child("bpffs", ["sh", "-c", script], folder, prefix=prefix)
        stack.callback(keeper.stop)
        keeper.until("mounted")
        self.enter = (program("nsenter"), "--target", str(keeper.pid), "--mount", "--net")
        self.pbx = stack.enter_context(contextlib.closing(Cable(namespaces, "pbx")))
        self.carrier = stack.enter_context(contextlib.closing(Cable(namespaces, "carrier")))
        self.inside = stack.enter_context(contextlib.closing(Cable(namespaces, "sbc", "inside")))
        self.outside = stack.enter_context(contextlib.closing(Cable(namespaces, "sbc", "outside")))
        for part, device, address in (
            ("pbx", "eth0", PBX6),
            ("sbc", "inside", INSIDE6),
            ("sbc", "outside", OUTSIDE6),
            ("carrier", "eth0", CARRIER6),
        ):
            self.ip(part, "address", "add", f"{address}/64", "dev", device, "nodad")
        for host in (CARRIER, CARRIER6):  # as it is when userland has sent there already
            self.ip("sbc", "neigh", "replace", host, "lladdr", self.carrier.address.hex(":"), "dev", "outside",
                    "nud", "permanent")  # fmt: skip

    def ip(self, part, *words):
        return self.run(part, program("ip"), *words)

    def run(self, part, *argv):
        argv = (*(self.enter if part == "sbc" else self.namespaces.enter(part)), *argv)
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def engine(self, *, attached=True, prefix=(), **configure):
        made = KernelProcess((*self.enter, *prefix), self.bpffs, **configure)
        self._stack.callback(made.stop)
        if attached and not made.refused:
            devices, reason = made.attach(INSIDE, INSIDE6)
            assert (devices, reason) == (["inside"], "")
        return made

    def socket(self, part, address):
        return self._stack.enter_context(udp(self.namespaces, part, address))


@pytest.fixture
def lab(namespaces, tmp_path, stack):
    return Lab(namespaces, tmp_path, stack)


def flow(family=4, **changes):
    pbx, ours, out, carrier = (PBX, INSIDE, OUTSIDE, CARRIER) if family == 4 else (PBX6, INSIDE6, OUTSIDE6, CARRIER6)
    known = {
        "local": ours,
        "port": OUR_PORT,
        "source": (pbx, PBX_PORT),
        "out": (out, OUT_PORT),
        "target": (carrier, CARRIER_PORT),
        "slot": SLOT * slots.SLOT_OCTETS,
        "ssrc": SSRC,
        "rate": 8000,
        "types": TYPES,
        "dscp": EF,
    }
    return Flow(**(known | changes))


def packet(data, family=4, *, port=PBX_PORT, host=None, check=True, **header):
    source = (host or (PBX if family == 4 else PBX6), port)
    target = (INSIDE if family == 4 else INSIDE6, OUR_PORT)
    return frames.packet(source[0], target[0], frames.datagram(source, target, data, check=check), **header)


def as_it_leaves(data):
    """The same RTP packet with the payload type that the carrier knows."""
    return data[:1] + bytes([data[1] & 128 | TYPES[data[1] & 127]]) + data[2:]


# --- what crosses -----------------------------------------------------------------------------------------------------


@BOTH
def test_a_packet_crosses_as_if_this_host_had_sent_it(lab, family):
    """Marker, payload type 0 as 8, ECN and flow label gone, 64 hops, DSCP EF; and this host is no router."""
    assert lab.run("sbc", "cat", "/proc/sys/net/ipv4/ip_forward") == "0\n"
    engine = lab.engine()
    receiver = lab.socket("carrier", (flow(family).target[0], CARRIER_PORT))
    assert engine.put(flow(family)) == ""
    data = frames.rtp(1, 160, kind=128 | SPEECH)
    lab.pbx.send(packet(data, family, tos=0x8B), lab.inside.address)
    sent, source = receiver.recvfrom(2048)  # the socket's code has found the checksum right: no card vouches for it
    assert (sent, source[:2]) == (as_it_leaves(data), flow(family).out)
    found = lab.carrier.hear(CARRIER_PORT)
    assert found.tos == EF << 2
    assert found.hops == 64
    assert (found.identification, found.label) == (0, 0)
    assert found.fragment == (0x4000 if family == 4 else 0)
    assert (found.ip_sum, found.udp_sum) == (0xFFFF, 0xFFFF)
    assert engine.value(SLOT, slots.PACKETS, 8) == engine.value(SLOT, slots.KERNEL_PACKETS, 8) == 1
    assert engine.value(SLOT, slots.OCTETS, 8) == len(data)


@BOTH
@pytest.mark.parametrize("by_hand", [False, True], ids=["checksum left to the card", "checksum made behind us"])
def test_a_checksum_that_a_card_is_to_make_comes_out_right(lab, family, by_hand):
    """veth hands over packets of sockets with the pseudo header's sum alone (CHECKSUM_PARTIAL)."""
    if by_hand:
        make_checksums_by_hand(lab.namespaces, "sbc", "outside")
    engine = lab.engine()
    receiver = lab.socket("carrier", (flow(family).target[0], CARRIER_PORT))
    engine.put(flow(family))
    sender = lab.socket("pbx", flow(family).source)
    data = frames.rtp(1)
    sender.sendto(data, (flow(family).local, OUR_PORT))
    assert receiver.recv(2048) == as_it_leaves(data)
    found = lab.carrier.hear(CARRIER_PORT)
    if by_hand:
        assert found.udp_sum == 0xFFFF
    else:
        (source, _), (target, _) = flow(family).out, flow(family).target
        pseudo = frames._pseudo_header(source, target, len(data) + 8)
        assert found.check == frames.checksum(pseudo)
    assert engine.value(SLOT, slots.KERNEL_PACKETS) == 1


def test_an_ipv4_datagram_without_a_checksum_goes_on_without_one(lab):
    engine = lab.engine()
    engine.put(flow())
    lab.pbx.send(packet(frames.rtp(1), check=False), lab.inside.address)
    found = lab.carrier.hear(CARRIER_PORT)
    assert (found.check, found.ip_sum) == (0, 0xFFFF)


@BOTH
def test_checksums_come_out_right_whatever_is_in_the_packet(lab, family):
    """Also those that become 0, which is written as 0xffff."""
    engine = lab.engine()
    engine.put(flow(family))
    chance = random.Random(5)
    for _ in range(2000 if is_full() else 200):
        data = frames.rtp(chance.randrange(65536), chance.randrange(2**32), octets=chance.randrange(20, 300))
        verdict, after, _ = engine.run(frames.frame(packet(data, family, tos=chance.randrange(256))))
        found = frames.read(after)
        assert (verdict, found.ip_sum, found.udp_sum, found.data) == (RELAYED, 0xFFFF, 0xFFFF, as_it_leaves(data))
    data = bytearray(frames.rtp(1))  # the last two octets of this one are chosen for a sum of 0
    _, after, _ = engine.run(frames.frame(packet(bytes(data), family)))
    short = struct.unpack("!H", data[-2:])[0] + frames.read(after).check
    data[-2:] = struct.pack("!H", short % 65535)
    _, after, _ = engine.run(frames.frame(packet(bytes(data), family)))
    assert (frames.read(after).check, frames.read(after).udp_sum) == (0xFFFF, 0xFFFF)


def test_what_the_flow_says_anew_is_in_force_at_once(lab):
    engine = lab.engine()
    engine.put(flow())
    engine.put(flow(target=(CARRIER, 5004), types=bytes(range(64)) + bytes([PASS_UP]) * 64))
    lab.pbx.send(packet(frames.rtp(1)), lab.inside.address)
    assert lab.carrier.hear(5004).data == frames.rtp(1)
    engine.remove(INSIDE, OUR_PORT)
    here = lab.socket("sbc", (INSIDE, OUR_PORT))
    lab.pbx.send(packet(frames.rtp(2)), lab.inside.address)
    assert here.recv(2048) == frames.rtp(2)


# --- what is passed up, what is dropped -------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0\1\0\x08" + bytes(20), id="STUN"),
        pytest.param(b"\x16\xfe\xfd" + bytes(30), id="DTLS"),
        pytest.param(b"\x80\xc8" + bytes(26), id="RTCP by mux"),
        pytest.param(frames.rtp(1, kind=72), id="payload type of RTCP"),
        pytest.param(frames.rtp(1, kind=NEVER_SEEN), id="payload type for userland"),
        pytest.param(frames.rtp(1, ssrc=9), id="other SSRC"),
        pytest.param(b"\x80\0" + bytes(9), id="short"),
        pytest.param(b"", id="empty"),
    ],
)
def test_what_is_not_plain_reaches_our_socket(lab, family, data):
    engine = lab.engine()
    here = lab.socket("sbc", (flow(family).local, OUR_PORT))
    engine.put(flow(family))
    lab.pbx.send(packet(data, family), lab.inside.address)
    assert here.recv(2048) == data
    assert engine.slot(SLOT) == bytes(slots.SLOT_OCTETS)


def test_ip_that_is_not_plain_reaches_our_socket(lab):
    """Options, fragments, extension headers, padding behind a datagram that is shorter than an Ethernet frame."""
    engine = lab.engine()
    here = lab.socket("sbc", (INSIDE, OUR_PORT))
    here6 = lab.socket("sbc", (INSIDE6, OUR_PORT))
    engine.put(flow())
    engine.put(flow(6))
    data = frames.rtp(1)
    whole = frames.datagram((PBX, PBX_PORT), (INSIDE, OUR_PORT), data)
    for ip in (
        packet(data, options=b"\x01\x01\x01\x00"),
        frames.packet(PBX, INSIDE, whole[:64], fragment=0x2000),
        frames.packet(PBX, INSIDE, whole[64:], fragment=64 // 8),
        packet(data) + b"padding",
    ):
        lab.pbx.send(ip, lab.inside.address)
    lab.pbx.send(packet(data, 6, options=bytes([frames.UDP, 0, 1, 4, 0, 0, 0, 0])), lab.inside.address)
    assert [here.recv(2048) for _ in range(3)] == [data] * 3
    assert here6.recv(2048) == data
    assert engine.slot(SLOT) == bytes(slots.SLOT_OCTETS)


def test_frames_that_are_not_plain_are_passed_up(lab):
    engine = lab.engine()
    engine.put(flow())
    ip = packet(frames.rtp(1))
    assert engine.run(frames.frame(ip, tag=5))[0] == PASSED_UP
    assert engine.run(frames.frame(ip, to=b"\2\0\0\0\0\1"))[0] == PASSED_UP  # for another host
    assert engine.run(frames.frame(ip), gso=(2, 100))[0] == PASSED_UP
    lying = bytearray(ip)
    lying[25] += 1  # the length in UDP's header
    assert engine.run(frames.frame(bytes(lying)))[0] == PASSED_UP
    assert engine.run(frames.frame(packet(frames.rtp(1), 6, check=False)))[0] == PASSED_UP
    for octets in range(34, 62):  # the kernel makes no test of what is shorter
        assert engine.run(frames.frame(ip)[:octets])[0] == PASSED_UP
    assert engine.slot(SLOT) == bytes(slots.SLOT_OCTETS)
    assert engine.run(frames.frame(ip))[0] == RELAYED


def test_where_there_is_no_way_to_the_target_userland_is_to_know(lab):
    engine = lab.engine()
    here = lab.socket("sbc", (INSIDE, OUR_PORT))
    for target in ("203.0.113.1", "198.51.100.77", OUTSIDE, "127.0.0.1"):  # no route, no neighbour, ourselves
        engine.put(flow(target=(target, CARRIER_PORT)))
        lab.pbx.send(packet(frames.rtp(1)), lab.inside.address)
        assert here.recv(2048) == frames.rtp(1)
    assert engine.slot(SLOT) == bytes(slots.SLOT_OCTETS)


def test_a_way_that_is_lost_or_changed_is_noticed_within_a_moment(lab):
    """The way is kept for a quarter of a second; another flow in the slot, or a longer packet, asks at once."""
    engine = lab.engine()
    engine.put(flow())
    ip = frames.frame(packet(frames.rtp(1)))
    assert engine.run(ip)[0] == RELAYED
    lab.ip("sbc", "route", "add", "unreachable", f"{CARRIER}/32")
    assert engine.run(frames.frame(packet(frames.rtp(1, octets=161))))[0] == PASSED_UP
    time.sleep(0.3)
    assert engine.run(ip)[0] == PASSED_UP
    lab.ip("sbc", "route", "del", "unreachable", f"{CARRIER}/32")
    assert engine.run(ip)[0] == RELAYED
    engine.put(flow(target=("198.51.100.77", CARRIER_PORT)))
    assert engine.run(ip)[0] == PASSED_UP
    engine.put(flow())
    too_long = frames.frame(packet(frames.rtp(1, octets=1480)))
    assert engine.run(ip)[0] == RELAYED
    assert engine.run(too_long)[0] == PASSED_UP  # 1,520 octets; the device takes 1,500


@BOTH
def test_a_foreign_packet_is_dropped_and_counted(lab, family):
    engine = lab.engine()
    here = lab.socket("sbc", (flow(family).local, OUR_PORT))
    engine.put(flow(family))
    stranger = "10.77.0.66" if family == 4 else "fd77::66"
    for ip in (
        packet(frames.rtp(1), family, port=PBX_PORT + 1),
        packet(frames.rtp(1), family, host=stranger),
        packet(b"\0\1\0\x08" + bytes(20), family, host=stranger),
    ):
        lab.pbx.send(ip, lab.inside.address)
    assert lab.carrier.hear(CARRIER_PORT, 0.2) is None
    with pytest.raises(TimeoutError):
        here.recv(2048)
    assert engine.value(SLOT, slots.FOREIGN) == 3
    assert engine.value(SLOT, slots.PACKETS) == 0


def test_packets_beyond_the_rate_are_dropped_and_counted(lab):
    engine = lab.engine()
    engine.put(flow(packets_per_second=10))
    verdicts = [engine.run(frames.frame(packet(frames.rtp(number))))[0] for number in range(30)]
    assert verdicts == [RELAYED] * 10 + [DROPPED] * 20
    assert engine.value(SLOT, slots.EXCESS) == 20
    assert engine.value(SLOT, slots.PACKETS) == 10
    engine.poke(SLOT, slots.SECOND_NS, (time.monotonic_ns() - 10**9).to_bytes(8, "little"))
    assert engine.run(frames.frame(packet(frames.rtp(30))))[0] == RELAYED
    assert engine.value(SLOT, slots.SECOND_COUNT) == 1


# --- statistics -------------------------------------------------------------------------------------------------------


def _story(chance, packets):
    """(sequence number, timestamp) of a stream to which everything happens."""
    sequence, timestamp = chance.randrange(65536), chance.randrange(2**32)
    for _ in range(packets):
        what = chance.random()
        if what < 0.55:
            sequence += 1
        elif what < 0.7:
            sequence += chance.choice((2, 3, 10, 62, 63, 64, 65, 2999, 3000))
        elif what < 0.74:
            sequence += chance.choice((3001, 3002, 30000, 65536 - 64, 65536 - 65))
        timestamp += chance.choice((0, 160, 160, 160, 161, 4000, 2**24, 2**24 + 1, 2**31, -160))
        back = chance.choice((0, 1, 2, 5, 62, 63, 64, 65)) if 0.74 <= what < 0.95 else 0
        yield (sequence - back) % 65536, timestamp % 2**32


@pytest.mark.parametrize(("rate", "seed"), [(8000, 1), (8000, 2), (48000, 3), (90000, 4)])
def test_statistics_are_the_userland_engines_bit_by_bit(lab, seed, rate):
    """Loss, reordering, doubles, jumps and jitter of every size; also after a silence, which is no jitter."""
    engine = lab.engine()
    engine.put(flow(rate=rate))
    memory = bytearray(slots.SLOT_OCTETS)
    reference = Statistics(memory, 0)
    chance = random.Random(seed)
    for sequence, timestamp in _story(chance, 3000 if is_full() else 500):
        if chance.random() < 0.02:
            former = (time.monotonic_ns() - chance.choice((1, 9, 11, 100)) * 10**9).to_bytes(8, "little")
            engine.poke(SLOT, slots.LAST_NS, former)
            memory[slots.LAST_NS : slots.LAST_NS + 8] = former
            reference.load()
        assert engine.run(frames.frame(packet(frames.rtp(sequence, timestamp))))[0] == RELAYED
        in_kernel = engine.slot(SLOT)
        now_ns = int.from_bytes(in_kernel[slots.LAST_NS : slots.LAST_NS + 8], "little")
        reference.take(sequence, timestamp, SSRC, rate, now_ns)
        seen = slice(slots.LAST_NS, slots.FOREIGN)
        assert in_kernel[seen] == memory[seen], (sequence, timestamp)
    assert int.from_bytes(memory[slots.LOST : slots.LOST + 4], "little", signed=True) > 0
    assert memory[slots.REORDERED : slots.REORDERED + 4] != bytes(4) != memory[slots.DUPLICATES : slots.DUPLICATES + 4]


def test_the_program_takes_a_fraction_of_a_microsecond(lab):
    """A flow whose packets leave as they came, so that one frame can be judged over and over. The bound is generous."""
    engine = lab.engine()
    lab.ip("sbc", "neigh", "replace", PBX, "lladdr", lab.pbx.address.hex(":"), "dev", "inside", "nud", "permanent")
    ends = {"source": (INSIDE, OUT_PORT), "out": (INSIDE, OUT_PORT), "target": (PBX, PBX_PORT)}
    lab.ip("sbc", "address", "add", f"{PBX}/32", "dev", "outside")  # so that the flow's address is one of ours
    engine.attach(PBX)
    lab.ip("sbc", "address", "del", f"{PBX}/32", "dev", "outside")
    assert engine.put(flow(local=PBX, port=PBX_PORT, types=bytes(range(128)), **ends)) == ""
    source, target = ends["out"], ends["target"]
    ip = frames.packet(source[0], target[0], frames.datagram(source, target, frames.rtp(1)))
    verdict, after, nanoseconds = engine.run(frames.frame(ip), repeat=100_000)
    assert (verdict, engine.value(SLOT, slots.PACKETS)) == (RELAYED, 100_000)
    assert frames.read(after).udp_sum == 0xFFFF
    assert nanoseconds < 3000


# --- devices ----------------------------------------------------------------------------------------------------------


def test_an_address_without_a_fit_device_has_a_reason(lab):
    engine = lab.engine(attached=False)
    assert engine.put(flow()) == NOT_YET
    lab.ip("sbc", "tuntap", "add", "dev", "l3", "mode", "tun")
    lab.ip("sbc", "address", "add", "192.0.2.1/32", "dev", "l3")
    devices, reason = engine.attach(INSIDE, "127.0.0.1", "192.0.2.1", "192.0.2.2")
    assert devices == ["inside"]
    assert set(reason.split("; ")) == {
        "127.0.0.1: lo is a loopback device",
        "192.0.2.1: l3 has no Ethernet header",
        "192.0.2.2: no device holds this address",
    }
    assert engine.put(flow(local="127.0.0.1")) == "lo is a loopback device"
    assert engine.put(flow()) == ""


def test_filters_of_others_stay_and_get_their_turn(lab):
    """What we pass up, another's filter behind ours still sees; when we go, it and its qdisc stay."""
    tc, dropping = program("tc"), ("bpf", "da", "bytecode", f"1,6 0 0 {DROPPED}")
    lab.run("sbc", tc, "qdisc", "add", "dev", "inside", "clsact")
    lab.run("sbc", tc, "filter", "add", "dev", "inside", "ingress", "prio", "2000", *dropping)
    engine = lab.engine()
    engine.attach(INSIDE)
    engine.put(flow())
    here = lab.socket("sbc", (INSIDE, OUR_PORT))
    lab.pbx.send(packet(frames.rtp(1)), lab.inside.address)
    assert lab.carrier.hear(CARRIER_PORT) is not None
    lab.pbx.send(packet(frames.rtp(1, ssrc=9)), lab.inside.address)
    with pytest.raises(TimeoutError):
        here.recv(2048)
    listed = lab.run("sbc", tc, "filter", "show", "dev", "inside", "ingress")
    assert listed.count("sbc-relay") == 1
    engine.close(detach=True)
    listed = lab.run("sbc", tc, "filter", "show", "dev", "inside", "ingress")
    assert "sbc-relay" not in listed
    assert "pref 2000" in listed


def test_what_was_taken_off_a_device_is_attached_again_when_asked(lab):
    engine = lab.engine()
    engine.put(flow())
    lab.run("sbc", program("tc"), "qdisc", "del", "dev", "inside", "clsact")
    lab.pbx.send(packet(frames.rtp(1)), lab.inside.address)
    assert lab.carrier.hear(CARRIER_PORT, 0.2) is None
    assert engine.attach(INSIDE) == (["inside"], "")
    lab.pbx.send(packet(frames.rtp(2)), lab.inside.address)
    assert lab.carrier.hear(CARRIER_PORT) is not None


def test_addresses_that_come_while_the_program_is_being_attached_are_not_forgotten(lab):
    engine = lab.engine(attached=False)
    assert engine.attach_all([[INSIDE], [INSIDE, OUTSIDE], [INSIDE, OUTSIDE]]) == [["inside"], ""]
    devices, reason = engine.waits(10.0)
    assert (sorted(devices), reason) == (["inside", "outside"], "")
    assert engine.waits(0.5) is None


def test_an_address_that_moves_to_another_device_is_followed(lab):
    """Seen by itself, and attached there at the next beat."""
    engine = lab.engine()
    engine.put(flow())
    lab.ip("sbc", "address", "del", f"{INSIDE}/24", "dev", "inside")
    assert engine.waits(0.3) is None
    engine.beat()
    assert engine.waits(0.3) is None  # nothing has appeared
    lab.ip("sbc", "address", "add", f"{INSIDE}/24", "dev", "outside")
    engine.waits(0.3)
    engine.beat()
    devices, reason = engine.waits(10.0)
    assert (sorted(devices), reason) == (["inside", "outside"], "")  # IPv6 is still inside
    lab.carrier.send(packet(frames.rtp(1)), lab.outside.address)
    assert lab.carrier.hear(CARRIER_PORT).data == as_it_leaves(frames.rtp(1))


def test_an_address_on_a_bridge_is_served_at_the_bridge(lab):
    engine = lab.engine(attached=False)
    for device, address, cable in (("br-in", INSIDE, "inside"), ("br-out", OUTSIDE, "outside")):
        lab.ip("sbc", "link", "add", device, "type", "bridge")
        lab.ip("sbc", "address", "del", f"{address}/24", "dev", cable)
        lab.ip("sbc", "link", "set", cable, "master", device)
        lab.ip("sbc", "address", "add", f"{address}/24", "dev", device)
        lab.ip("sbc", "link", "set", device, "up")
    mac = lab.carrier.address.hex(":")
    lab.ip("sbc", "neigh", "replace", CARRIER, "lladdr", mac, "dev", "br-out", "nud", "permanent")
    assert engine.attach(INSIDE, OUTSIDE) == (["br-in", "br-out"], "")
    engine.put(flow())
    bridge = Cable(lab.namespaces, "sbc", "br-in")
    lab.pbx.send(packet(frames.rtp(1)), bridge.address)
    bridge.close()
    assert lab.carrier.hear(CARRIER_PORT).data == as_it_leaves(frames.rtp(1))
    assert engine.value(SLOT, slots.KERNEL_PACKETS) == 1


def test_a_way_out_without_an_ethernet_header_will_do(lab):
    """The packet leaves by a tun device: what comes out of its other end is bare IP."""
    engine = lab.engine()
    with inside(lab.namespaces, "sbc"), Path("/dev/net/tun").open("r+b", buffering=0) as tun:
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("=16sH22x", b"l3", IFF_TUN | IFF_NO_PI))
        os.set_blocking(tun.fileno(), False)
        lab.ip("sbc", "address", "add", "192.0.2.1/32", "dev", "l3")
        lab.ip("sbc", "link", "set", "l3", "up")
        lab.ip("sbc", "route", "add", "203.0.113.0/24", "dev", "l3")
        engine.put(flow(out=("192.0.2.1", OUT_PORT), target=("203.0.113.9", CARRIER_PORT)))
        with udp(lab.namespaces, "sbc", ("192.0.2.1", OUT_PORT)) as ours:  # as userland has done before
            ours.sendto(b"first", ("203.0.113.9", CARRIER_PORT))
        lab.pbx.send(packet(frames.rtp(1)), lab.inside.address)
        until(lambda: engine.value(SLOT, slots.KERNEL_PACKETS) == 1, "a packet in the kernel")
        heard = [frames.read(frames.frame(ip)) for ip in iter(lambda: tun.read(2048), None)]
    heard = [found.data for found in heard if found is not None and found.target[1] == CARRIER_PORT]
    assert heard == [b"first", as_it_leaves(frames.rtp(1))]


# --- lives and deaths -------------------------------------------------------------------------------------------------


def test_flows_go_on_when_the_process_is_killed_and_the_next_one_counts_on(lab):
    engine = lab.engine()
    engine.put(flow())
    lab.pbx.send(packet(frames.rtp(1)), lab.inside.address)
    assert lab.carrier.hear(CARRIER_PORT) is not None
    engine.kill()
    for number in range(2, 22):
        lab.pbx.send(packet(frames.rtp(number)), lab.inside.address)
        assert lab.carrier.hear(CARRIER_PORT).data == as_it_leaves(frames.rtp(number))
    heir = lab.engine(attached=False)
    assert heir.flows() == {(INSIDE, OUR_PORT)}
    assert heir.held(INSIDE, OUR_PORT)["target"] == [CARRIER, CARRIER_PORT]
    assert heir.held(INSIDE, OUR_PORT + 2) is None
    assert heir.value(SLOT, slots.PACKETS, 8) == 21
    assert heir.put(flow()) == ""  # its helper has not been asked yet, but the flow shows that the device is ready
    lab.pbx.send(packet(frames.rtp(22)), lab.inside.address)
    assert lab.carrier.hear(CARRIER_PORT) is not None
    assert heir.value(SLOT, slots.PACKETS, 8) == 22
    assert heir.value(SLOT, slots.LOST) == 0


def test_flows_end_when_nobody_beats_and_do_not_begin_anew(lab):
    engine = lab.engine(orphan_seconds=1.0)
    engine.put(flow())
    engine.beat()
    assert engine.run(frames.frame(packet(frames.rtp(1))))[0] == RELAYED
    time.sleep(1.05)
    assert engine.run(frames.frame(packet(frames.rtp(2))))[0] == PASSED_UP
    engine.beat()
    assert engine.run(frames.frame(packet(frames.rtp(3))))[0] == RELAYED
    time.sleep(1.05)
    engine.kill()
    assert lab.engine(attached=False).flows() == set()


def test_each_worker_has_its_own_flows_in_common_maps(lab):
    first, second = (lab.engine(number=number, workers=2) for number in range(2))
    first.put(flow())
    second.put(flow(port=OUR_PORT + 4))
    assert first.flows() == {(INSIDE, OUR_PORT)}
    assert second.flows() == {(INSIDE, OUR_PORT + 4)}
    second.put(flow())  # the session has moved there
    assert (first.flows(), len(second.flows())) == (set(), 2)
    second.kill()
    alone = lab.engine(number=0, workers=1, attached=False)
    assert alone.flows() == {(INSIDE, OUR_PORT), (INSIDE, OUR_PORT + 4)}  # of a worker that there is no more


def test_nothing_is_left_of_many_flows_nor_of_the_engine(lab):
    engine = lab.engine()
    count = 10_000 if is_full() else 1_000
    for number in range(count):
        assert engine.put(flow(6 if number % 2 else 4, port=2 * number + 2)) == ""
    assert len(engine.flows()) == count
    for number in range(count):
        engine.remove(INSIDE6 if number % 2 else INSIDE, 2 * number + 2)
    assert engine.flows() == set()
    engine.put(flow())
    engine.close(detach=True)
    assert lab.run("sbc", "find", str(lab.bpffs), "-mindepth", "1", "-name", "sbc*") == ""
    assert "clsact" not in lab.run("sbc", program("tc"), "qdisc", "show")
    lab.socket("sbc", (INSIDE, OUR_PORT))
    assert lab.carrier.hear(CARRIER_PORT, 0.1) is None


@contextlib.contextmanager
def worker_for(lab, configure):
    """A worker's process in the SBC's namespaces that has been told this."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.settimeout(20)
    argv = [*lab.enter, sys.executable, "-m", "sbc.media.worker", "--control-fd", str(theirs.fileno())]
    worker = subprocess.Popen(argv, pass_fds=(theirs.fileno(),), env={**os.environ, "SBC_BPFFS": str(lab.bpffs)})
    theirs.close()
    with contextlib.closing(control):
        control.send(wire.encode(configure))
        running, ready = (wire.decode_reply(control.recv(65536)) for _ in range(2))
        assert isinstance(running, wire.Running)
        yield ready
    assert worker.wait(20) == 0


def test_a_worker_that_shall_not_use_the_kernel_ends_what_a_killed_one_left_there(lab):
    """Its ports are given to calls in userland, who would hear nothing."""
    first, second = (lab.engine(number=number, workers=2) for number in range(2))
    first.put(flow())
    second.put(flow(port=OUR_PORT + 4))
    first.kill()
    with worker_for(lab, wire.Configure("n", "userland", workers=2)) as ready:
        assert ready == wire.EngineReady("userland")
        assert (first_flows(lab), second.flows()) == (set(), {(INSIDE, OUR_PORT + 4)})
    second.kill()
    assert lab.run("sbc", "find", str(lab.bpffs), "-mindepth", "1", "-name", "sbc*") == ""  # it was the last to go
    assert "clsact" not in lab.run("sbc", program("tc"), "qdisc", "show")


def first_flows(lab):
    return lab.engine(attached=False, workers=2).flows()


def test_what_a_killed_worker_left_ends_too_where_the_engine_cannot_be_opened_again(lab):
    engine = lab.engine()
    engine.put(flow())
    place = lab.bpffs / "sbc" / "n"
    engine.kill()
    lab.run("sbc", "sh", "-c", f"cd '{place}' && mv slots s && mv routes slots && mv s routes")
    with worker_for(lab, wire.Configure("n", "kernel")) as ready:
        assert ready.engine == "userland"
        assert "the maps cannot be used" in ready.reason
        lab.run("sbc", "sh", "-c", f"cd '{place}' && mv slots s && mv routes slots && mv s routes")
        assert lab.engine(attached=False).flows() == set()


def test_pins_that_somebody_has_removed_are_made_anew(lab):
    lab.engine().kill()
    lab.run("sbc", "rm", f"{lab.bpffs}/sbc/n/slots")
    engine = lab.engine()
    assert engine.put(flow()) == ""
    assert engine.run(frames.frame(packet(frames.rtp(1))))[0] == RELAYED


def test_maps_of_another_layout_are_emptied_and_made_anew(lab):
    """The program that is still attached to the old ones must not relay what nobody can see any more."""
    old = lab.engine()
    old.put(flow())
    directory = lab.bpffs / "sbc" / "n"
    lab.run("sbc", "sh", "-c", f"mv '{directory}/alive' '{directory}/kept' && rm '{directory}'/relay-*")
    new = lab.engine(attached=False)
    assert new.refused == ""
    assert new.flows() == old.flows() == set()
    assert sorted(lab.run("sbc", "ls", str(directory)).split())[:2] == ["alive", "flows"]


def test_a_process_without_the_capabilities_is_told_which(lab):
    refused = lab.engine(prefix=(program("setpriv"), "--bounding-set=-all")).refused
    assert "no permission" in refused
    assert "CAP_BPF and CAP_NET_ADMIN" in refused


def test_two_capabilities_are_enough(lab):
    """No CAP_PERFMON, no CAP_SYS_ADMIN: the verifier is stricter then."""
    engine = lab.engine(prefix=(program("setpriv"), "--bounding-set=-all,+bpf,+net_admin"))
    assert engine.refused == ""
    assert engine.put(flow()) == ""
    lab.pbx.send(packet(frames.rtp(1)), lab.inside.address)
    assert lab.carrier.hear(CARRIER_PORT) is not None
    engine.close(detach=True)


def test_where_proc_sys_cannot_be_written_somebody_else_has_to_let_lo_forward(lab):
    """As in the unit of systemd, which does so before the worker starts, and in many containers."""
    script = 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && exec "$@"'
    read_only = (program("unshare"), "--mount", "sh", "-c", script, "sh")
    _, reason = lab.engine(attached=False, prefix=read_only).attach(INSIDE)
    assert reason.startswith(f"{INSIDE}: net.ipv4.conf.lo.forwarding is off and cannot be set")
    lab.run("sbc", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/lo/forwarding")
    assert lab.engine(attached=False, prefix=read_only).attach(INSIDE) == (["inside"], "")
