"""bpf(2) by ctypes: maps, programs, pins. As much of it as the kernel engine needs; no libbpf, no BTF.

Calls raise OSError as the system call sets errno. Attributes are laid out as `union bpf_attr` of linux/bpf.h.
"""

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from sbc.media.worker.kernel.elf import BpfObject, MapSpec

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE = 0, 1, 2, 3
_PROG_LOAD, _OBJ_PIN, _OBJ_GET, _PROG_TEST_RUN, _INFO, _LOOKUP_BATCH = 5, 6, 7, 10, 15, 24
_SCHED_CLS: Final = 3
_PSEUDO_MAP_FD: Final = 1
_BPFFS: Final = 0xCAFE4A11
_STATFS_OCTETS: Final = 256  # more than struct statfs has
_LOG_OCTETS: Final = 1 << 20
_BATCH: Final = 512
_MOMENTARY: Final = frozenset({errno.EAGAIN, errno.EBUSY, errno.EINTR})  # a signal, or a bucket that is just changed
_TRIES: Final = 5
_NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "ppc64le": 361}

_Octets = ctypes.Array[ctypes.c_char]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_number = _NUMBERS.get(os.uname().machine)


class ProgramError(OSError):
    """The kernel does not take the program; `strerror` has the last of what the verifier says."""


class MapInfo(Struct, frozen=True):
    spec: MapSpec
    name: str


class Ran(Struct, frozen=True):
    """Outcome of a test run. `nanoseconds`: for one packet, the mean."""

    verdict: int
    frame: bytes
    nanoseconds: int


def is_bpffs(path: str) -> bool:
    """Whether this directory is in a BPF file system. Raises OSError where there is no such directory."""
    buffer = ctypes.create_string_buffer(_STATFS_OCTETS)
    if _libc.statfs(os.fsencode(path), buffer):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    kind: int = struct.unpack_from("=L", buffer.raw)[0]  # the low half of a long, on machines that are little-endian
    return kind == _BPFFS


class Map:
    """An open map."""

    __slots__ = ("_attr", "_delete", "_key", "_value", "fd", "spec")

    def __init__(self, fd: int, spec: MapSpec) -> None:
        self.fd = fd
        self.spec = spec
        self._key = ctypes.create_string_buffer(spec.key_size)
        self._value = ctypes.create_string_buffer(spec.value_size)
        key, value = ctypes.addressof(self._key), ctypes.addressof(self._value)
        self._attr = _attr(struct.pack("=IxxxxQQQ", fd, key, value, 0))
        self._delete = _attr(struct.pack("=IxxxxQ", fd, key))  # refused where there is a value

    def update(self, key: bytes, value: bytes) -> None:
        self._key.raw = key
        self._value.raw = value
        _bpf(_MAP_UPDATE, self._attr)

    def lookup(self, key: bytes) -> bytes | None:
        self._key.raw = key
        try:
            _bpf(_MAP_LOOKUP, self._attr)
        except FileNotFoundError:
            return None
        return self._value.raw

    def delete(self, key: bytes) -> bool:
        """Whether there was such a key."""
        self._key.raw = key
        try:
            _bpf(_MAP_DELETE, self._delete)
        except FileNotFoundError:
            return False
        return True

    def entries(self) -> list[tuple[bytes, bytes]]:
        """All of a hash map; what others add or delete meanwhile may or may not be in it."""
        key_size, value_size = self.spec.key_size, self.spec.value_size
        keys = ctypes.create_string_buffer(_BATCH * key_size)
        values = ctypes.create_string_buffer(_BATCH * value_size)
        place = ctypes.create_string_buffer(max(key_size, 4))
        found: list[tuple[bytes, bytes]] = []
        into = ctypes.addressof(place)
        start = 0
        while len(found) <= 2 * self.spec.max_entries:
            attr = _attr(
                struct.pack(
                    "=QQQQIIQQ", start, into, ctypes.addressof(keys), ctypes.addressof(values), _BATCH, self.fd, 0, 0
                )
            )
            last = False
            try:
                _bpf(_LOOKUP_BATCH, attr)
            except FileNotFoundError:
                last = True
            (count,) = struct.unpack_from("=I", attr.raw, 32)
            found += zip(_pieces(keys.raw, key_size, count), _pieces(values.raw, value_size, count), strict=True)
            if last:
                break
            start = into
        return found

    def memory(self) -> mmap.mmap:
        """All values of a mappable array, shared with the kernel. Lives on when the map is closed."""
        return mmap.mmap(self.fd, self.spec.value_size * self.spec.max_entries)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def create_map(name: str, spec: MapSpec) -> Map:
    attr = struct.pack(
        "=7I16s", spec.kind, spec.key_size, spec.value_size, spec.max_entries, spec.flags, 0, 0, name.encode()
    )
    return Map(_bpf(_MAP_CREATE, _attr(attr)), spec)


def open_map(path: str) -> tuple[Map, MapInfo]:
    """A pinned map, and what it is."""
    fd = get(path)
    try:
        info = _info(fd)
    except OSError:
        os.close(fd)
        raise
    return Map(fd, info.spec), info


def load_program(name: str, program: BpfObject, maps: dict[str, Map]) -> int:
    """The descriptor of the loaded program. Raises ProgramError."""
    code = bytearray(program.code)
    for offset, wanted in program.relocations:
        code[offset + 1] |= _PSEUDO_MAP_FD << 4  # the source register's place says what kind of number it is
        struct.pack_into("=i", code, offset + 4, maps[wanted].fd)
    instructions = ctypes.create_string_buffer(bytes(code), len(code))
    licence = ctypes.create_string_buffer(program.licence.encode())
    try:
        return _load(name, instructions, licence, None)
    except OSError as error:
        log = ctypes.create_string_buffer(_LOG_OCTETS)
        try:
            return _load(name, instructions, licence, log)
        except OSError:
            lines = log.value.decode(errors="replace").strip().splitlines()
            said = " / ".join(lines[-3:-1] or lines) or error.strerror
            raise ProgramError(error.errno, said) from error


def pin(fd: int, path: str) -> None:
    where = ctypes.create_string_buffer(os.fsencode(path))
    _bpf(_OBJ_PIN, _attr(struct.pack("=QII", ctypes.addressof(where), fd, 0)))


def get(path: str) -> int:
    """The descriptor of what is pinned there."""
    where = ctypes.create_string_buffer(os.fsencode(path))
    return _bpf(_OBJ_GET, _attr(struct.pack("=QII", ctypes.addressof(where), 0, 0)))


def run_program(fd: int, frame: bytes, repeat: int = 1, gso: tuple[int, int] = (0, 0)) -> Ran:
    """Let the program judge a frame, without sending it. `gso`: segments and size, as the frame shall pretend."""
    given = ctypes.create_string_buffer(frame, len(frame))
    taken = ctypes.create_string_buffer(len(frame) + 256)
    context = ctypes.create_string_buffer(192)  # struct __sk_buff
    struct.pack_into("=I", context, 164, gso[0])
    struct.pack_into("=I", context, 176, gso[1])
    attr = _attr(
        struct.pack(
            "=IIIIQQIIIIQQ",
            *(fd, 0, len(frame), len(taken), ctypes.addressof(given), ctypes.addressof(taken), repeat, 0),
            *(len(context), 0, ctypes.addressof(context), 0),
        )
    )
    _bpf(_PROG_TEST_RUN, attr)
    _, verdict, _, size, _, _, _, duration = struct.unpack_from("=IiIIQQII", attr.raw)
    return Ran(verdict, taken.raw[:size], duration)


def _load(name: str, code: _Octets, licence: _Octets, log: _Octets | None) -> int:
    attr = struct.pack(
        "=IIQQIIQII16sII",
        *(_SCHED_CLS, len(code) // 8, ctypes.addressof(code), ctypes.addressof(licence)),
        *((1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)),
        *(0, 0, name.encode(), 0, 0),
    )
    return _bpf(_PROG_LOAD, _attr(attr))


def _info(fd: int) -> MapInfo:
    """struct bpf_map_info, the beginning of it."""
    info = ctypes.create_string_buffer(40)
    _bpf(_INFO, _attr(struct.pack("=IIQ", fd, len(info), ctypes.addressof(info))))
    kind, _, key_size, value_size, max_entries, flags, name = struct.unpack("=6I16s", info.raw)
    return MapInfo(MapSpec(kind, key_size, value_size, max_entries, flags), name.rstrip(b"\0").decode(errors="replace"))


def _pieces(data: bytes, size: int, count: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, count * size, size))


def _attr(data: bytes) -> _Octets:
    return ctypes.create_string_buffer(data, len(data))


def _bpf(command: int, attr: _Octets) -> int:
    if _number is None:
        raise OSError(errno.ENOSYS, f"machine {os.uname().machine} is not known")
    for _ in range(_TRIES):
        result: int = _libc.syscall(ctypes.c_long(_number), ctypes.c_int(command), attr, ctypes.c_uint(len(attr)))
        if result >= 0:
            return result
        code = ctypes.get_errno()
        if code not in _MOMENTARY:
            break
    raise OSError(code, os.strerror(code))
