"""What the kernel engine leaves in the BPF file system, so that a worker's death stops nothing: maps and the program.

`$SBC_BPFFS` (else /sys/fs/bpf) `/sbc/NODE/`: `flows`, `slots`, `alive`, `routes`, and `relay-DIGEST`, the program of
that very object. We mount nothing. All workers of a node share them. A start that finds them opens them, and loads and
checks nothing again; maps of another layout are emptied, because a program that is still attached would go on by them,
and made anew. Another program of the same layout replaces the old one and keeps the flows.
"""

# pathlib is slow to import, and a restart is a gap that callers hear:
# ruff: noqa: PTH103, PTH106, PTH108, PTH110, PTH118, PTH119, PTH120, PTH123, PTH208

import contextlib
import errno
import fcntl
import os
import resource
from collections.abc import Collection, Iterator
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from sbc.media.worker.kernel import bpf, elf
from sbc.media.worker.kernel.directory import directory_of, root_of_pins
from sbc.media.worker.kernel.flow import LAYOUT

OBJECT: Final = os.path.join(os.path.dirname(__file__), "relay.bpf.o")
COMPILE: Final = ("clang", "-O2", "-target", "bpf", "-mcpu=v2", "-g0", "-nostdinc", "-Wall", "-Wextra", "-Werror")
LEAST_LINUX: Final = (5, 10)  # bpf_redirect_neigh with a next hop
MAPS: Final = ("flows", "slots", "alive", "routes")

_PROGRAM: Final = "relay-"


class KernelError(Exception):
    """The kernel engine cannot be used here; the text says why, for people."""


class Pins(Struct, frozen=True):
    """Open maps, and where the program is pinned. `remove` removes the directory."""

    directory: str
    program: str
    flows: bpf.Map
    slots: bpf.Map
    alive: bpf.Map
    routes: bpf.Map

    def close(self) -> None:
        for one in (self.flows, self.slots, self.alive, self.routes):
            one.close()


def open_pins(node: str) -> Pins:
    """Opens what is pinned, or makes it. Raises KernelError."""
    directory = directory_of(node)
    try:
        _check_place(root_of_pins())
        os.makedirs(directory, mode=0o700, exist_ok=True)
        with _locked(directory):
            return _open(directory)
    except elf.ElfError as error:
        raise KernelError(str(error)) from error
    except bpf.ProgramError as error:
        raise KernelError(_too_old() or f"the kernel refuses the program: {error.strerror}") from error
    except OSError as error:
        raise KernelError(_reason(error)) from error


def remove(directory: str) -> None:
    """Unpins everything; the last of it is gone when nobody has it open and no device has the program any more."""
    with contextlib.suppress(OSError):
        with _locked(directory):
            _unlink_all(directory)
            os.rmdir(directory)
        os.rmdir(os.path.dirname(directory))  # unless another node is there


def _check_place(root: str) -> None:
    try:
        fits = bpf.is_bpffs(root)
    except OSError as error:
        raise KernelError(f"no BPF file system at {root}: {error.strerror}") from error
    if not fits:
        raise KernelError(f"no BPF file system is mounted at {root}")


def _open(directory: str) -> Pins:
    with open(OBJECT, "rb") as file:
        data = file.read()
    pinned = f"{directory}/{_PROGRAM}{blake2b(data, digest_size=8).hexdigest()}"
    maps = _open_maps(directory, None) if os.path.exists(pinned) else {}
    if not maps:
        program = elf.read_object(data)
        maps = _open_maps(directory, program) or _fresh_maps(directory, program)
        with _closed_on_error(maps):
            fd = bpf.load_program("sbc_relay", program, maps)
            try:
                bpf.pin(fd, pinned)
            finally:
                os.close(fd)
            _unlink_all(directory, keep=(*MAPS, os.path.basename(pinned)))
    return Pins(directory, pinned, **maps)


def _open_maps(directory: str, program: elf.BpfObject | None) -> dict[str, bpf.Map]:
    """The maps that are pinned; none where they are not all there, or have another layout than `program` needs."""
    maps: dict[str, bpf.Map] = {}
    with _closed_on_error(maps), contextlib.suppress(FileNotFoundError):
        for name in MAPS:
            maps[name], info = bpf.open_map(f"{directory}/{name}")
            if program is not None and info != bpf.MapInfo(program.maps[name], map_name(name)):
                break
        else:
            return maps
    _close_all(maps)
    return {}


@contextlib.contextmanager
def _closed_on_error(maps: dict[str, bpf.Map]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _close_all(maps)
        raise


def _close_all(maps: dict[str, bpf.Map]) -> None:
    for one in maps.values():
        one.close()


def _fresh_maps(directory: str, program: elf.BpfObject) -> dict[str, bpf.Map]:
    with contextlib.suppress(OSError):
        flows, _ = bpf.open_map(f"{directory}/flows")
        with contextlib.closing(flows):
            for key, _ in flows.entries():
                flows.delete(key)
    _unlink_all(directory)
    maps: dict[str, bpf.Map] = {}
    with _closed_on_error(maps):
        for name in MAPS:
            maps[name] = _create(map_name(name), program.maps[name])
            bpf.pin(maps[name].fd, f"{directory}/{name}")
    return maps


def _unlink_all(directory: str, keep: Collection[str] = ()) -> None:
    for name in os.listdir(directory):
        if name not in keep:
            os.unlink(f"{directory}/{name}")


def map_name(name: str) -> str:
    """As bpftool shows it; the layout is in it."""
    return f"sbc_{name}_{LAYOUT}"


def _create(name: str, spec: elf.MapSpec) -> bpf.Map:
    try:
        return bpf.create_map(name, spec)
    except PermissionError:
        # Before Linux 5.11 a map's memory counts as locked memory of the process.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return bpf.create_map(name, spec)


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Workers that start together take turns."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _reason(error: OSError) -> str:
    if error.errno in {errno.EPERM, errno.EACCES}:
        where = f" at {error.filename}" if error.filename else ""
        return f"no permission{where}: CAP_BPF and CAP_NET_ADMIN are needed, and write access to the BPF file system"
    if error.errno == errno.ENOSYS:
        return "this kernel, or what confines us, has no bpf system call for us"
    where = f" {error.filename}:" if error.filename else ""
    return _too_old() or f"the kernel says:{where} {error.strerror}"


def _too_old() -> str:
    release = os.uname().release
    major, minor, *_ = (*release.split("."), "")
    if not (major.isdecimal() and minor.isdecimal()) or (int(major), int(minor)) >= LEAST_LINUX:
        return ""
    return f"Linux {release} is too old: {LEAST_LINUX[0]}.{LEAST_LINUX[1]} is needed"
