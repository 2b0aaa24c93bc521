"""Bodies of several parts: taken apart and put together (RFC 2046 §5.1, RFC 5621 §4).

An emergency caller's PIDF-LO travels beside his session description (RFC 6442 §3.1). Parts are octets and header
fields; what is in them is for others to read, and parts within parts stay whole. Linear in the length, bounded.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.core.limits import BODY_PART_HEADER_OCTETS, BODY_PARTS
from sbc.sip.errors import ParseError
from sbc.sip.headers.names import canonical_name
from sbc.sip.message import Fields, Request, Response
from sbc.sip.params import param, parse_params
from sbc.sip.scan import unquoted

SDP: Final = "application/sdp"
PIDF: Final = "application/pidf+xml"
# RFC 2046 §5.1.1: bchars, at most 70, "NOT ending with white space"
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]", re.ASCII)
_FOLD: Final = re.compile(r"\r?\n[ \t]")
_DISPOSITION: Final = re.compile(r"[ \t]*+([A-Za-z0-9\-]{1,64})", re.ASCII)


class Part(Struct, frozen=True):
    """`fields`: its own header fields, names canonical."""

    fields: Fields
    body: bytes

    @property
    def content_type(self) -> str:
        """Type and subtype in lower case, without parameters; RFC 2046 §5.1 has text/plain where none is given."""
        value = next((value for name, value in self.fields if name == "Content-Type"), "text/plain")
        return _media_type(value)

    @property
    def is_session(self) -> bool:
        """A description of the session, and not one that is merely carried along (RFC 3261 §20.11)."""
        if self.content_type != SDP:
            return False
        disposition = next((value for name, value in self.fields if name == "Content-Disposition"), "session")
        match = _DISPOSITION.match(disposition)
        return match is not None and match[1].lower() == "session"


def is_multipart(content_type: str | None) -> bool:
    return content_type is not None and _media_type(content_type).startswith("multipart/")


def description_of(message: Request | Response) -> bytes:
    """The session description that a message carries: its body, or a part of it; empty where there is none.

    A body of any other type is returned as it is, for its reader to refuse. Raises ParseError for a multipart body that
    cannot be read.
    """
    value = message.header("Content-Type")
    if value is None or value == SDP or not message.body:
        return message.body
    if is_multipart(value):
        return session_of(parts_of(message.body, value))
    return b"" if _media_type(value) == PIDF else message.body


def parts_of(body: bytes, content_type: str) -> tuple[Part, ...]:
    """Raises ParseError (status 400) where `content_type` has no boundary, or the body is not what it announces.

    A body that is not multipart is one part. `content_type`: the whole value, with parameters.
    """
    if not is_multipart(content_type):
        return (Part((("Content-Type", content_type),), body),)
    delimiter = b"--" + _boundary(content_type).encode("ascii")
    # "The boundary delimiter MUST occur at the beginning of a line"; the CRLF before it belongs to it, §5.1.1.
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter, BODY_PARTS + 2)
    if len(pieces) > BODY_PARTS + 2:
        raise ParseError("Too Many Body Parts", status=413)
    parts: list[Part] = []
    for piece in pieces[1:]:  # what comes before the first is a preamble
        if piece.startswith(b"--"):
            return tuple(parts)  # what comes after the last is an epilogue
        parts.append(_part(piece))
    raise ParseError("Multipart Body Not Ended", header="Content-Type")


def join(parts: "tuple[Part, ...]", boundary: str, subtype: str = "mixed") -> tuple[str, bytes]:
    """The Content-Type and the body. `boundary`: letters and digits that nobody could have foreseen, at most 60."""
    delimiter = f"--{boundary}\r\n".encode("ascii")
    octets = b"".join([delimiter + _octets(part) + b"\r\n" for part in parts])
    return f"multipart/{subtype};boundary={boundary}", octets + f"--{boundary}--\r\n".encode("ascii")


def with_session(parts: tuple[Part, ...], description: bytes) -> tuple[Part, ...]:
    """The same parts with another session description in place of theirs; first where there is none."""
    ours = Part((("Content-Type", SDP),), description)
    for i, part in enumerate(parts):
        if part.is_session:
            return (*parts[:i], ours, *(other for other in parts[i + 1 :] if not other.is_session))
    return (ours, *parts)


def session_of(parts: tuple[Part, ...]) -> bytes:
    """The session description among them; empty where there is none."""
    return next((part.body for part in parts if part.is_session), b"")


def _media_type(value: str) -> str:
    return value.partition(";")[0].replace(" ", "").replace("\t", "").lower()


def _boundary(content_type: str) -> str:
    params = parse_params(content_type.partition(";")[2], "Content-Type")
    boundary = unquoted(param(params, "boundary") or "")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise ParseError("No Boundary", header="Content-Type")
    return boundary


def _part(piece: bytes) -> Part:
    padding, line_end, rest = piece.partition(b"\r\n")
    if not line_end or padding.strip(b" \t"):
        raise ParseError("Malformed Body Part", header="Content-Type")
    if rest.startswith(b"\r\n"):
        return Part((), rest[2:])  # no header fields at all
    end = rest.find(b"\r\n\r\n", 0, BODY_PART_HEADER_OCTETS)
    if end < 0:
        if len(rest) > BODY_PART_HEADER_OCTETS:
            raise ParseError("Body Part Header Too Long", status=413)
        return Part(_fields(rest), b"")
    return Part(_fields(rest[:end]), rest[end + 4 :])


def _fields(head: bytes) -> Fields:
    text = _FOLD.sub(" ", head.decode("utf-8", "surrogateescape"))
    fields: list[tuple[str, str]] = []
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon or "\r" in value or "\n" in value:
            raise ParseError("Malformed Body Part", header="Content-Type")
        # Compact forms are SIP's; here "c" is no Content-Type.
        fields.append((name if len(name) == 1 else canonical_name(name), value.strip(" \t")))
    return tuple(fields)


def _octets(part: Part) -> bytes:
    head = "".join([f"{name}: {value}\r\n" for name, value in part.fields])
    return head.encode("utf-8", "surrogateescape") + b"\r\n" + part.body
