"""What a writer that must survive a power cut needs of a file system, in one folder: so little that it can be faked.

`runtime.disk` does it, `testing.power` plays a machine that loses what was not synced. It holds no file.
"""

from typing import Protocol


class Growing(Protocol):
    """A file that only grows. Each method raises OSError; what was written since the last `sync` is then uncertain."""

    def write(self, data: bytes) -> None:
        """Add all of `data` at the end."""

    def sync(self) -> None:
        """Once it returns, what was written stays over a power cut, where the file's name does (`Folder.sync`)."""

    def close(self) -> None: ...


class Folder(Protocol):
    """Files by name. Everything raises OSError; nothing but `Growing.sync`, `cut` and `sync` waits for the disk."""

    def names(self) -> list[str]:
        """In order; none where there is no folder."""

    def size(self, name: str) -> int | None:
        """Octets; None: there is no such file."""

    def read(self, name: str, start: int, most: int) -> bytes:
        """At most so many octets from there; fewer at the end of the file."""

    def grow(self, name: str) -> Growing:
        """Open it, made where it is missing, at its end."""

    def cut(self, name: str, size: int) -> None:
        """Leave the first `size` octets, durably."""

    def rename(self, old: str, new: str) -> None:
        """Atomic; it takes the place of what had the name."""

    def remove(self, name: str) -> None: ...

    def sync(self) -> None:
        """Once it returns, names that were made, changed or removed stay so over a power cut."""
