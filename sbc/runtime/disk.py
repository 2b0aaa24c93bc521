"""A folder on the disk, for writers that must survive a power cut: `core.files.Folder` by system calls.

It knows no format, and swallows no error. Used by `app` for the spool of call records and the files made of it.
"""

import errno
import os
from pathlib import Path
from typing import Final

_FILE_MODE: Final = 0o640  # as the other stores: who called whom is nobody else's business
_FOLDER_MODE: Final = 0o750


class GrowingFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _FILE_MODE)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        """FileNotFoundError where the file is not in its place any more: nobody would find what is in it."""
        os.fdatasync(self._descriptor)
        if not os.path.samestat(os.fstat(self._descriptor), self._path.stat()):
            raise FileNotFoundError(errno.ENOENT, "was moved or removed while in use", str(self._path))

    def close(self) -> None:
        os.close(self._descriptor)


class DiskFolder:
    """Made by the first file that goes into it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        try:
            return sorted(path.name for path in self.path.iterdir())
        except FileNotFoundError:
            return []

    def size(self, name: str) -> int | None:
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, name: str, start: int, most: int) -> bytes:
        with (self.path / name).open("rb") as file:
            file.seek(start)
            return file.read(most)

    def grow(self, name: str) -> GrowingFile:
        try:
            return GrowingFile(self.path / name)
        except FileNotFoundError:
            self._make()
            return GrowingFile(self.path / name)

    def cut(self, name: str, size: int) -> None:
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        (self.path / old).replace(self.path / new)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()

    def sync(self) -> None:
        _sync_folder(self.path)

    def _make(self) -> None:
        self.path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        _sync_folder(self.path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
