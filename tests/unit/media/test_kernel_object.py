"""The BPF object is what its source says, and Python reads and fills what the C source declares."""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker import slots
from sbc.media.worker.engine import Flow
from sbc.media.worker.kernel import bpf, directory, flow, pins
from sbc.media.worker.kernel.elf import ElfError, MapSpec, read_object

OBJECT = Path(pins.OBJECT).read_bytes()
SOURCE = Path(pins.OBJECT).with_name("relay.bpf.c")
BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY = 1, 2
BPF_F_NO_PREALLOC, BPF_F_RDONLY_PROG, BPF_F_MMAPABLE = 1, 128, 1024


def _clang():
    """Debian's clang 14, whose output the package has; a missing one is an error where nothing may be skipped."""
    for name in ("clang-14", "clang"):
        path = shutil.which(name)
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout if path else ""
        if "clang version 14." in said:
            return path
    if os.environ.get("SBC_TEST_NO_SKIP"):
        pytest.fail("clang 14 is not installed")
    return pytest.skip("clang 14 is not installed")


@pytest.mark.slow
def test_the_object_is_what_the_compiler_makes_of_the_source_octet_by_octet(tmp_path):
    clang = _clang()
    shutil.copy(SOURCE, tmp_path)
    command = [clang, *pins.COMPILE[1:], "-c", SOURCE.name, "-o", "built.o"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "built.o").read_bytes() == OBJECT


def test_the_source_tells_the_command_that_the_tests_use():
    assert " ".join((*pins.COMPILE, "-c relay.bpf.c -o relay.bpf.o")) in SOURCE.read_text()


def test_the_source_includes_nothing():
    assert "#include" not in SOURCE.read_text()


def test_the_maps_are_as_python_packs_them():
    maps = read_object(OBJECT).maps
    assert set(maps) == set(pins.MAPS)
    assert maps["flows"] == MapSpec(
        BPF_MAP_TYPE_HASH, flow.KEY.size, flow.FLOW.size, slots.SLOTS, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG
    )
    assert maps["slots"] == MapSpec(BPF_MAP_TYPE_ARRAY, 4, slots.SLOT_OCTETS, slots.SLOTS, BPF_F_MMAPABLE)
    assert maps["routes"] == MapSpec(BPF_MAP_TYPE_ARRAY, 4, flow.ROUTE_OCTETS, slots.SLOTS, 0)
    assert maps["alive"] == MapSpec(BPF_MAP_TYPE_ARRAY, 4, 8, flow.WORKERS, BPF_F_RDONLY_PROG)


def test_every_map_is_loaded_by_an_instruction():
    program = read_object(OBJECT)
    assert {name for _, name in program.relocations} == set(pins.MAPS)
    for offset, _ in program.relocations:
        assert program.code[offset] == 0x18
        assert program.code[offset + 4 : offset + 8] == bytes(4)  # where the descriptor goes


def test_bpf_fib_lookup_asks_for_a_licence_that_is_compatible_with_the_gpl():
    assert read_object(OBJECT).licence == "Dual MIT/GPL"


def test_the_slot_of_the_c_source_has_the_fields_of_python_in_their_order():
    body = re.search(r"^struct slot \{.*?\n(.*?)^\};", SOURCE.read_text(), re.DOTALL | re.MULTILINE)[1]
    offset, offsets = 0, {}
    for kind, names in re.findall(r"^\t([us]\d+) (.*?);", body, re.MULTILINE):
        for name in names.split(", "):
            offsets[name.upper()] = offset
            offset += int(kind[1:]) // 8
    assert offset == slots.SLOT_OCTETS
    assert offsets == {name: getattr(slots, name) for name in offsets}
    assert {"PACKETS", "LOST", "SECOND_NS", "KERNEL_PACKETS", "OWNER"} <= set(offsets)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 500, len(OBJECT) - 1])
def test_an_object_that_is_cut_off_is_refused(size):
    with pytest.raises(ElfError):
        read_object(OBJECT[:size])


@given(st.integers(0, len(OBJECT) - 1), st.integers(1, 255))
def test_a_damaged_object_is_read_or_refused_but_never_breaks_the_reader(place, change):
    damaged = bytearray(OBJECT)
    damaged[place] ^= change
    with contextlib.suppress(ElfError):
        read_object(bytes(damaged))


def test_an_object_for_another_machine_is_refused():
    with pytest.raises(ElfError, match="no little-endian BPF object"):
        read_object(OBJECT[:18] + struct.pack("<H", 62) + OBJECT[20:])


# --- keys and values --------------------------------------------------------------------------------------------------


def _flow(**changes):
    known = {
        "local": "192.0.2.1",
        "port": 20000,
        "source": ("192.0.2.9", 4000),
        "out": ("198.51.100.1", 20002),
        "target": ("198.51.100.9", 5000),
        "slot": 3 * slots.SLOT_OCTETS,
        "ssrc": 0x01020304,
        "rate": 8000,
        "types": bytes(range(128)),
        "dscp": 46,
        "packets_per_second": 100,
    }
    return Flow(**(known | changes))


@given(st.ip_addresses().map(str), st.integers(1, 65535))
def test_a_key_says_which_address_and_port_it_is(local, port):
    key = flow.key_of(local, port)
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    assert flow.place_of(key) == (socket.inet_ntop(family, socket.inet_pton(family, local)), port)
    assert len(key) == flow.KEY.size


def test_the_same_octets_in_both_families_are_two_keys():
    assert flow.key_of("1.2.3.4", 5000) != flow.key_of("102:304::", 5000)


def test_a_value_has_the_flow_in_the_order_of_the_c_source():
    value = flow.value_of(_flow(), 2, 0x1_0000_0007)
    fields = flow.FLOW.unpack(value)
    assert fields[:6] == (7, 3, b"\1\2\3\4", 8000, 100, 2)
    assert [field[:4] for field in fields[6:9]] == [b"\xc0\0\2\x09", b"\xc6\x33\x64\1", b"\xc6\x33\x64\x09"]
    assert fields[9:12] == ((4000).to_bytes(2), (20002).to_bytes(2), (5000).to_bytes(2))
    assert fields[12] == 46 << 2
    assert fields[15] == bytes(range(128))
    assert fields[16] == fields[0]
    assert flow.is_of(value, 2, 3)
    assert not flow.is_of(value, 0, 3)
    assert flow.is_of(value, 0, 2)  # there is no third worker any more
    assert not flow.is_of(value, 1, 2)


@pytest.mark.parametrize(
    "hosts", [("192.0.2.9", "198.51.100.1", "198.51.100.9"), ("2001:db8::9", "2001:db8:1::1", "2001:db8:1::9")]
)
def test_a_flow_can_be_read_back_as_it_was_put(hosts):
    source, out, target = hosts
    local = "192.0.2.1" if "." in source else "2001:db8::1"
    put = _flow(local=local, source=(source, 4000), out=(out, 20002), target=(target, 5000))
    assert flow.flow_of(flow.key_of(local, 20000), flow.value_of(put, 5, 9)) == put


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"target": ("2001:db8::1", 5000)}, "address families differ"),
        ({"local": "fe80::1", "source": ("fe80::2", 1), "out": ("fe80::1", 2), "target": ("fe80::3", 4)}, "link-local"),
        ({"types": bytes(127)}, "cannot be"),
        ({"rate": 0}, "cannot be"),
        ({"rate": 1_000_001}, "cannot be"),
        ({"dscp": 64}, "cannot be"),
        ({"slot": 1}, "no counters"),
        ({"slot": slots.SLOTS * slots.SLOT_OCTETS}, "no counters"),
    ],
)
def test_what_the_program_cannot_do_has_a_reason(changes, why):
    with pytest.raises(flow.Unfit, match=why):
        flow.value_of(_flow(**changes), 0, 0)


@pytest.mark.parametrize("node", ["", "sbc-1", "sbc.example.net", "../..", "a/b", "ü" * 300, "x" * 300])
def test_a_node_s_directory_is_one_plain_name(node):
    place = Path(directory.directory_of(node))
    assert place.parent == Path(directory.directory_of("other")).parent
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", place.name)


def test_nodes_whose_names_look_alike_have_directories_of_their_own():
    assert len({directory.directory_of(node) for node in ("a.b", "a_b", "a/b", "", "sbc")}) == 5


def test_without_a_bpf_file_system_the_reason_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("SBC_BPFFS", str(tmp_path))
    with pytest.raises(pins.KernelError, match="no BPF file system is mounted at"):
        pins.open_pins("n")
    monkeypatch.setenv("SBC_BPFFS", str(tmp_path / "nothing"))
    with pytest.raises(pins.KernelError, match=r"no BPF file system at .*: No such file or directory"):
        pins.open_pins("n")


def test_an_old_kernel_is_named_as_the_reason(monkeypatch):
    monkeypatch.setattr(pins.os, "uname", lambda: os.uname_result(("Linux", "h", "5.4.0-1-amd64", "v", "x86_64")))
    assert pins._too_old() == "Linux 5.4.0-1-amd64 is too old: 5.10 is needed"


class Libc:
    """Its system calls fail with these error numbers, one after the other, and then succeed."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def syscall(self, *_):
        if not self.errors:
            return 5
        ctypes.set_errno(self.errors.pop(0))
        return -1


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EBUSY, errno.EINTR])
def test_what_fails_for_a_moment_only_is_tried_again_a_few_times(monkeypatch, code):
    """A flow that could not be removed would go on."""
    libc = Libc(*4 * [code])
    monkeypatch.setattr(bpf, "_libc", libc)
    assert bpf.get("/pinned") == 5
    libc.errors = 5 * [code]
    with pytest.raises(OSError, match=os.strerror(code)):
        bpf.get("/pinned")


def test_what_fails_for_good_is_not_tried_again(monkeypatch):
    libc = Libc(errno.EPERM, errno.EPERM)
    monkeypatch.setattr(bpf, "_libc", libc)
    with pytest.raises(PermissionError):
        bpf.get("/pinned")
    assert libc.errors == [errno.EPERM]
