"""The filters as programs, run here; in the real kernel: tests/loopback/test_resting_ports.py."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.mute import Instruction, mute, only_from, unmute

ATTACH, DETACH = 26, 27
NETWORK_HEADER = 0xFFF00000

HOSTS = st.ip_addresses().map(str)


def run(program: tuple[Instruction, ...], header: bytes) -> int:
    """How many octets are let in. `header`: of IP; loads beyond it end the program, as in the kernel."""
    word, at = 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        match code:
            case 0x20:
                offset = operand - NETWORK_HEADER
                assert 0 <= offset <= len(header) - 4
                word = int.from_bytes(header[offset : offset + 4])
            case 0x15:
                at += if_true if word == operand else if_false
            case 0x06:
                return operand


def header_from(host: str) -> bytes:
    """An IP header of that source, RFC 791 or RFC 8200; everything else in it is of no account."""
    address = ipaddress.ip_address(host)
    before, after = (12, 4) if address.version == 4 else (8, 16)
    return b"\xa5" * before + address.packed + b"\xa5" * after


@given(HOSTS)
def test_a_host_is_let_in_whole(host: str) -> None:
    assert run(only_from(host), header_from(host)) == 0xFFFFFFFF


@given(HOSTS, st.data())
def test_a_host_that_differs_in_one_bit_is_not(host: str, data: st.DataObject) -> None:
    address = ipaddress.ip_address(host)
    bit = data.draw(st.integers(0, address.max_prefixlen - 1))
    other = type(address)(int(address) ^ 1 << bit)
    assert run(only_from(host), header_from(str(other))) == 0


def test_muting_attaches_a_filter_of_one_instruction_that_lets_nothing_in() -> None:
    told: list[tuple[int, int, bytes | int]] = []

    class Recorder:
        def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
            told.append((level, option, value))

    mute(Recorder())
    unmute(Recorder())
    (_, attach, program), (_, detach, _) = told
    assert (attach, detach) == (ATTACH, DETACH)
    assert isinstance(program, bytes)
    assert struct.unpack("@HP", program)[0] == 1


def test_an_error_other_than_not_being_muted_is_not_hidden() -> None:
    class Broken:
        def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
            raise OSError(9, "bad descriptor")

    with pytest.raises(OSError, match="bad descriptor"):
        unmute(Broken())
