"""Finds messages in a stream (RFC 3261 §18.3, keep-alives of RFC 5626 §3.5.1). Any chunking gives the same result.

What cannot be framed ends the stream: after a `BadFrame` nothing that follows can be trusted. It reads no header but
Content-Length, and knows no connection.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.core import limits

_FOLD: Final = re.compile(rb"\r\n[ \t]++")
_LENGTH: Final = re.compile(rb"\r\n(?:content-length|l)[ \t]*+:[ \t]*+([^\r\n]*+)", re.IGNORECASE)


class Ping(Struct, frozen=True):
    """A double CRLF between messages; its answer is a single CRLF."""


class BadFrame(Struct, frozen=True):
    """The stream cannot be read on. `data` is the header section that is at fault, as far as it was read."""

    data: bytes
    reason: str


Frame = bytes | Ping | BadFrame


class StreamFramer:
    __slots__ = ("_buffer", "_is_broken", "_need", "_searched", "_started_at")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # octets in which no blank line begins
        self._need: int | None = None  # octets of the message that has begun, once they are known
        self._started_at: float | None = None
        self._is_broken = False

    def take_pong(self) -> bool:
        """Whether a single CRLF came last, which is taken out: for whoever awaits the answer to a ping of his. For all
        others it may be half a `Ping`.
        """
        if self._buffer != b"\r\n":
            return False
        self._buffer.clear()
        return True

    @property
    def deadline(self) -> float | None:
        """When the message that has begun must be complete."""
        return None if self._started_at is None else self._started_at + limits.INCOMPLETE_MESSAGE_SECONDS

    def feed(self, data: bytes, now: float) -> list[Frame]:
        frames: list[Frame] = []
        if self._is_broken:
            return frames
        self._buffer += data
        while not self._is_broken:
            frame = self._next(now)
            if frame is None:
                break
            frames.append(frame)
        return frames

    def _next(self, now: float) -> Frame | None:
        buffer = self._buffer
        if self._started_at is None:
            while buffer and buffer[0] in b"\r\n":
                if buffer.startswith(b"\r\n\r\n"):
                    del buffer[:4]
                    return Ping()
                if len(buffer) < 4 and b"\r\n\r\n".startswith(buffer):
                    return None  # a keep-alive may be coming in
                del buffer[:1]
            if not buffer:
                return None
            self._started_at = now
        if self._need is None:
            end = buffer.find(b"\r\n\r\n", self._searched, limits.HEADER_SECTION_OCTETS)
            if end < 0:
                self._searched = max(0, len(buffer) - 3)
                if len(buffer) < limits.HEADER_SECTION_OCTETS:
                    return None
                return self._broken("header section too large", limits.HEADER_SECTION_OCTETS)
            length = _content_length(bytes(buffer[:end]))
            if isinstance(length, str):
                return self._broken(length, end + 4)
            if end + 4 + length > limits.MESSAGE_OCTETS:
                return self._broken("message too large", end + 4)
            self._need = end + 4 + length
        if len(buffer) < self._need:
            return None
        message = bytes(buffer[: self._need])
        del buffer[: self._need]
        self._searched, self._need, self._started_at = 0, None, None
        return message

    def _broken(self, reason: str, octets: int) -> BadFrame:
        self._is_broken = True
        data = bytes(self._buffer[:octets])
        self._buffer.clear()
        self._started_at = None
        return BadFrame(data, reason)


def _content_length(head: bytes) -> int | str:
    """The length, or what is wrong with it."""
    if b"\r\n " in head or b"\r\n\t" in head:
        head = _FOLD.sub(b" ", head)
    found = _LENGTH.findall(head)
    if not found:
        return "missing Content-Length"
    if len(found) > 1:
        return "repeated Content-Length"
    value = found[0].strip()
    if not value.isdigit() or len(value) > 10:
        return "bad Content-Length"
    return int(value)
