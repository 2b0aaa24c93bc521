"""How a recording lies in a folder: segments of blocks, each block some frames, compressed, with its length and CRC-32.

`LIFE-SEGMENT.rec`, as `0001-0001.rec`: each process adds a life, and a long life has several segments. A block that is
not whole is the end of what can be read: a process that was killed, or a machine that lost its power, leaves half a one
at most. Everything read here may come from anybody, so that every length has a bound.
Used by `writer` and by whoever reads a recording.
"""

import contextlib
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from sbc.core.errors import OperatorError
from sbc.runtime.recording import frames
from sbc.runtime.recording.frames import Frame, Life

MAGIC: Final = b"SBCREC1\n"
FILE_MODE: Final = 0o600  # every message, and passwords
FOLDER_MODE: Final = 0o700
_NAME: Final = re.compile(r"([0-9]{4,9})-([0-9]{4,9})\.rec")
_BLOCK: Final = struct.Struct(">III")  # octets in the file, octets unpacked, CRC-32 of the former
_FRAME: Final = struct.Struct(">I")
LARGEST_BLOCK: Final = 64 * 1024 * 1024  # octets, unpacked: the policy of a provider is the largest frame
_LEVEL: Final = 1  # of zlib: the fastest
_GATHERED: Final = 1024 * 1024  # octets of frames in one block, where there is time


class Torn(Struct, frozen=True):
    """Reading ended before the life did: `file` is not whole from octet `at` on, or (None) is not there."""

    file: str
    at: int | None

    @property
    def words(self) -> str:
        """For a person."""
        return f"{self.file}: " + ("missing" if self.at is None else f"not whole from octet {self.at} on")


def segment_name(life: int, segment: int) -> str:
    return f"{life:04}-{segment:04}.rec"


def lives_in(folder: Path) -> dict[int, list[Path]]:
    """The segments of each life, in order. Raises OperatorError where there are none."""
    found: dict[int, list[tuple[int, Path]]] = {}
    try:
        names = sorted(folder.iterdir())
    except OSError as error:
        raise OperatorError(f"{folder}: {error.strerror or error}") from error
    for path in names:
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found.setdefault(int(match[1]), []).append((int(match[2]), path))
    if not found:
        raise OperatorError(f"{folder}: no recording (no NNNN-NNNN.rec) is in it")
    return {life: [path for _, path in sorted(found[life])] for life in sorted(found)}


def framed(frame: Frame) -> bytes:
    """As it lies in a block."""
    encoded = frames.encode(frame)
    return _FRAME.pack(len(encoded)) + encoded


def pack(some: Iterable[bytes]) -> bytes:
    """A block of frames that are `framed` already."""
    whole = b"".join(some)
    packed = zlib.compress(whole, _LEVEL)
    return _BLOCK.pack(len(packed), len(whole), zlib.crc32(packed)) + packed


def read_life(segments: Iterable[Path], torn: list[Torn]) -> Iterator[Frame]:
    """The frames of one life, the life itself first. `torn` is told where it is not whole, as without a segment.

    None at all where its process was killed before it had written one.
    Raises OperatorError for what is no recording at all.
    """
    is_first = True
    for number, path in enumerate(segments, 1):
        expected = _expected(path, number)
        if expected is not None:
            torn.append(Torn(str(expected), None))
            return
        for block in _blocks(path, torn):
            for frame in _frames(block, path):
                if is_first is not isinstance(frame, Life):
                    raise OperatorError(f"{path}: its life does not begin where it should")
                is_first = False
                yield frame
        if torn:
            return


def _expected(path: Path, number: int) -> Path | None:
    """The segment that should be in the place of this one; None: it is the one."""
    match = _NAME.fullmatch(path.name)
    if match is None or int(match[2]) == number:
        return None
    return path.with_name(segment_name(int(match[1]), number))


def _blocks(path: Path, torn: list[Torn]) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(MAGIC))
            if not MAGIC.startswith(magic):
                raise OperatorError(f"{path}: this is no recording")
            if magic != MAGIC:  # its process was killed before it had written more
                torn.append(Torn(str(path), 0))
                return
            while head := stream.read(_BLOCK.size):
                at = stream.tell() - len(head)
                block = None
                if len(head) == _BLOCK.size:
                    length, unpacked, crc = _BLOCK.unpack(head)
                    block = _unpacked(stream.read(min(length, LARGEST_BLOCK)), length, unpacked, crc)
                if block is None:
                    torn.append(Torn(str(path), at))
                    return
                yield block
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror or error}") from error


def _unpacked(packed: bytes, length: int, unpacked: int, crc: int) -> bytes | None:
    """None where it is not whole."""
    if len(packed) != length or unpacked > LARGEST_BLOCK or zlib.crc32(packed) != crc:
        return None
    try:
        whole = zlib.decompressobj().decompress(packed, unpacked)
    except zlib.error:
        return None
    return whole if len(whole) == unpacked else None


def _frames(block: bytes, path: Path) -> Iterator[Frame]:
    at = 0
    while at < len(block):
        end = at + _FRAME.size
        length = int.from_bytes(block[at:end], "big")
        if end + length > len(block):
            raise OperatorError(f"{path}: a frame in it is longer than its block")
        try:
            yield frames.decode(block[end : end + length])
        except ValueError as error:
            raise OperatorError(f"{path}: a frame in it is none of this version: {error}") from error
        at = end + length


def write_life(folder: Path, number: int, life: Iterable[Frame]) -> int:
    """A life that is whole already, or nothing where `life` raises. How many frames it has. Raises OperatorError."""
    path = folder / segment_name(number, 1)
    count, waiting, octets = 0, list[bytes](), 0
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(MAGIC)
            for frame in life:
                waiting.append(framed(frame))
                octets += len(waiting[-1])
                count += 1
                if octets > _GATHERED:
                    stream.write(pack(waiting))
                    waiting, octets = [], 0
            stream.write(pack(waiting))
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror or error}") from error
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return count
