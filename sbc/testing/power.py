"""A disk that loses its power, and processes that are killed: what a writer has left behind at any moment.

The writer runs once on a `Disk`, which does everything and keeps a list of it. `left_by(disk, n, fate)` is then the
disk that the next start finds when the first `n` operations had been done, and the process died (`KILLED`) or the
machine (all else): what was written and not synced is gone, there, torn, or there in pieces. A file whose name was not
synced may have no name. `disk.mark(value)` says what the writer has promised by then: `disk.promised(n)`.

Harsher than the usual file systems, and as POSIX allows. Used by tests of the spool and of the journal.
"""

import errno
import os
import random
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

_TORN: Final = 0.5


class Fate(StrEnum):
    """What becomes of what was not synced."""

    KILLED = "killed"  # the process alone: everything stays
    CUT_SHORT = "cut short"  # the process, in the middle of a write: half of that is there
    DROPPED = "dropped"  # all of it is gone
    TORN = "torn"  # each file keeps a part of it, from the beginning, and the end of that part is torn
    HOLES = "holes"  # each write is there or not, whatever came before it; zeros in its place

    @property
    def is_power_cut(self) -> bool:
        return self in (Fate.DROPPED, Fate.TORN, Fate.HOLES)


class Operation(Struct, frozen=True):
    """`commit`: what a database does: at once, durably, all or nothing."""

    kind: Literal["make", "write", "sync", "cut", "rename", "remove", "sync names", "commit"]
    folder: str
    name: str = ""
    data: bytes = b""
    size: int = 0
    other: str = ""
    value: object = None


class _File:
    """`synced`: what is safe. `waiting`: writes since then, each with its place."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.synced = bytes(content)
        self.waiting: list[tuple[int, bytes]] = []

    def write(self, data: bytes) -> None:
        self.waiting.append((len(self.content), data))
        self.content += data

    def sync(self) -> None:
        self.synced, self.waiting = bytes(self.content), []

    def cut(self, size: int) -> None:
        del self.content[size:]
        self.sync()


class _Names:
    """`safe`: the names that a power cut leaves. `waiting`: changes since then, in order."""

    def __init__(self) -> None:
        self.now: dict[str, _File] = {}
        self.safe: dict[str, _File] = {}
        self.waiting: list[dict[str, _File]] = []  # all names, after each change

    def change(self) -> None:
        self.waiting.append(dict(self.now))

    def sync(self) -> None:
        self.safe, self.waiting = dict(self.now), []


class Disk:
    """`room`: octets that still fit; None: any number. `refuses`: asked before each operation, may raise OSError."""

    def __init__(
        self, content: Mapping[str, Mapping[str, bytes]] | None = None, tables: Mapping[str, object] | None = None
    ) -> None:
        """`content`: files by folder and name, all safe."""
        self.done: list[Operation] = []
        self.tables = dict(tables or {})  # by name: what the last `commit` has put there
        self.room: int | None = None
        self.refuses: Callable[[Operation], None] = lambda _operation: None
        self._marks: list[tuple[int, object]] = []
        self._born = {folder: dict(files) for folder, files in (content or {}).items()}
        self._born_tables = dict(self.tables)
        self._folders: dict[str, _Names] = {}
        for folder, files in self._born.items():
            names = self.names_of(folder)
            names.now = {name: _File(data) for name, data in files.items()}
            names.sync()

    def folder(self, name: str) -> "PlayedFolder":
        return PlayedFolder(self, name)

    def commit(self, table: str, value: object) -> None:
        self.do(Operation("commit", "", table, value=value))

    def mark(self, value: object) -> None:
        """Whatever happens from now on, this must be so."""
        self._marks.append((len(self.done), value))

    def promised(self, n: int) -> list[object]:
        """Marks that were made when the first `n` operations had been done."""
        return [value for at, value in self._marks if at <= n]

    def content(self, folder: str, name: str) -> bytes:
        return bytes(self.names_of(folder).now[name].content)

    def spoil(self, folder: str, name: str, start: int, data: bytes) -> None:
        """The disk gives back something else than it was given."""
        file = self.names_of(folder).now[name]
        file.content[start : start + len(data)] = data
        file.sync()

    # --- what is done to it -------------------------------------------------------------------------------------------

    def do(self, operation: Operation) -> None:
        self.refuses(operation)
        fits = operation
        if operation.kind == "write" and self.room is not None:  # a full disk takes what fits
            fits = replace(operation, data=operation.data[: self.room])
            self.room -= len(fits.data)
        self.done.append(fits)
        self._apply(fits)
        if len(fits.data) < len(operation.data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def names_of(self, folder: str) -> _Names:
        return self._folders.setdefault(folder, _Names())

    def _apply(self, operation: Operation) -> None:
        names, name = self.names_of(operation.folder), operation.name
        match operation.kind:
            case "make":
                names.now[name] = _File()
                names.change()
            case "write":
                names.now[name].write(operation.data)
            case "sync":
                names.now[name].sync()
            case "cut":
                names.now[name].cut(operation.size)
            case "rename":
                names.now[operation.other] = names.now.pop(name)
                names.change()
            case "remove":
                del names.now[name]
                names.change()
            case "sync names":
                names.sync()
            case "commit":
                self.tables[name] = operation.value

    # --- what is left of it -------------------------------------------------------------------------------------------

    def left(self, fate: Fate, seed: str = "") -> "Disk":
        """As the next start finds it: all of that is safe."""
        chance = random.Random(seed)
        kept: dict[str, dict[str, bytes]] = {}
        for folder, names in self._folders.items():
            found = names.now
            if fate.is_power_cut:
                found = names.safe if fate is Fate.DROPPED else chance.choice([names.safe, *names.waiting])
            kept[folder] = {name: _remains(file, fate, chance) for name, file in found.items()}
        return Disk(kept, self.tables)

    def states(self) -> "Iterator[tuple[int, Disk, Operation | None]]":
        """How many operations were done, the disk after them, to be looked at at once, and the next one."""
        again = Disk(self._born, self._born_tables)
        yield 0, again, self.done[0] if self.done else None
        for n, operation in enumerate(self.done, 1):
            again._apply(operation)
            yield n, again, self.done[n] if n < len(self.done) else None

    def cut_short(self, operation: Operation | None) -> "Disk":
        """A process that died in the middle of it."""
        left = self.left(Fate.KILLED)
        if operation is not None and operation.kind == "write":
            half = operation.data[: len(operation.data) // 2]
            left.names_of(operation.folder).now[operation.name] = _File(
                self.content(operation.folder, operation.name) + half
            )
        return left.left(Fate.KILLED)


def left_by(disk: Disk, n: int, fate: Fate, seed: int = 0) -> Disk:
    """The disk that is found when the first `n` operations of `disk` had been done."""
    return next(_left(state, operation, fate, f"{seed} {n}") for at, state, operation in disk.states() if at == n)


def deaths(disk: Disk, seed: int = 0) -> Iterator[tuple[int, Fate, Disk]]:
    """Each way to die at each operation: how many were done, how, and what is left."""
    for n, state, operation in disk.states():
        for fate in Fate:
            yield n, fate, _left(state, operation, fate, f"{seed} {n}")


def _left(state: Disk, operation: Operation | None, fate: Fate, seed: str) -> Disk:
    return state.cut_short(operation) if fate is Fate.CUT_SHORT else state.left(fate, f"{seed} {fate}")


def _remains(file: _File, fate: Fate, chance: random.Random) -> bytes:
    if not fate.is_power_cut:
        return bytes(file.content)
    remains = bytearray(file.synced)
    if fate is Fate.DROPPED:
        return bytes(remains)
    if fate is Fate.HOLES:
        for start, data in file.waiting:
            if chance.random() < _TORN:
                remains += bytes(max(0, start - len(remains)))
                remains[start : start + len(data)] = data
        return bytes(remains)
    written = bytes(file.content)[len(remains) :]
    return bytes(remains) + written[: chance.randint(0, len(written))]


class PlayedFolder:
    """`core.files.Folder`."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name

    def names(self) -> list[str]:
        return sorted(self._now)

    def size(self, name: str) -> int | None:
        file = self._now.get(name)
        return None if file is None else len(file.content)

    def read(self, name: str, start: int, most: int) -> bytes:
        return bytes(self._file(name).content[start : start + most])

    def grow(self, name: str) -> "PlayedFile":
        if name not in self._now:
            self._disk.do(Operation("make", self._name, name))
        return PlayedFile(self._disk, self._name, name)

    def cut(self, name: str, size: int) -> None:
        self._file(name)
        self._disk.do(Operation("cut", self._name, name, size=size))

    def rename(self, old: str, new: str) -> None:
        self._file(old)
        self._disk.do(Operation("rename", self._name, old, other=new))

    def remove(self, name: str) -> None:
        self._file(name)
        self._disk.do(Operation("remove", self._name, name))

    def sync(self) -> None:
        self._disk.do(Operation("sync names", self._name))

    @property
    def _now(self) -> dict[str, _File]:
        return self._disk.names_of(self._name).now

    def _file(self, name: str) -> _File:
        try:
            return self._now[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None


class PlayedFile:
    """`core.files.Growing`."""

    def __init__(self, disk: Disk, folder: str, name: str) -> None:
        self._disk = disk
        self._folder = folder
        self._name = name

    def write(self, data: bytes) -> None:
        self._disk.do(Operation("write", self._folder, self._name, data))

    def sync(self) -> None:
        self._disk.do(Operation("sync", self._folder, self._name))

    def close(self) -> None:
        pass
