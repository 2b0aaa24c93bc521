"""Bytes to `Session` (RFC 8866 §5 and §9), bounded by core/limits, in one pass.

Lenient where real peers are sloppy and nothing is at stake: line ends of LF only, blank lines at the end or no line end
there, no s= or t=, or a t= that is none (put back in their RFC form), blanks at the end of a line (dropped), text that
is not UTF-8 (read as Latin-1), lines out of order.
Everything else that RFC 8866 does not allow is `SdpError`, and nothing else is ever raised.
What a valid description means, and whether we want it, is decided elsewhere.
"""

from typing import Final

from sbc.core.limits import FORMATS_PER_MEDIA, MEDIA_LINES, SDP_LINES, SDP_OCTETS
from sbc.sdp.model import Connection, Media, SdpError, Session

_CONTROLS: Final = bytes(i for i in range(32) if i not in b"\t\r\n") + b"\x7f"
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz")
_ADDRESS_OCTETS: Final = 255  # the longest host name there can be (RFC 1035 §2.3.4)
_BEFORE_TIME: Final = ("i=", "u=", "e=", "p=", "b=")


def parse_sdp(data: bytes) -> Session:
    lines = _lines(data)
    starts = [i for i, line in enumerate(lines) if line.startswith("m=")]
    if not starts:
        return _session(lines, ())
    if len(starts) > MEDIA_LINES:
        raise SdpError("too many m= lines", 488)
    ends = [*starts[1:], len(lines)]
    media = tuple([_media(lines[start:end]) for start, end in zip(starts, ends, strict=True)])
    return _session(lines[: starts[0]], media)


def _lines(data: bytes) -> list[str]:
    if len(data) > SDP_OCTETS:
        raise SdpError("session description too long", 488)
    if len(data.translate(None, _CONTROLS)) != len(data):
        raise SdpError("control character in session description")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Old phones write their s= in the local code page; what of it goes on, goes on in valid UTF-8.
        text = data.decode("latin-1")
    text = text.replace("\r\n", "\n").rstrip("\n")
    if "\r" in text:
        raise SdpError("bare CR in session description")
    # Not splitlines(), which would also split at U+0085 and U+2028.
    lines = text.split("\n", SDP_LINES)
    if len(lines) > SDP_LINES:
        raise SdpError("too many lines in session description", 488)
    if " =" in text or "\t=" in text:
        lines = [_repaired(line) for line in lines]
    return lines


def _repaired(line: str) -> str:
    """A line with blanks before its "=" (RFC 4475 §3.1.1.8 has one) means what it would mean without."""
    return line[0] + line[1:].lstrip(" \t") if line[1:].lstrip(" \t").startswith("=") else line


def _session(lines: list[str], media: tuple[Media, ...]) -> Session:
    if not lines or lines[0].rstrip() != "v=0":
        raise SdpError("session description does not begin with v=0")
    origin = name = connection = None
    has_time = False
    kept = []
    for line in lines[1:]:
        letter = _letter(line)
        if letter == "o" and origin is None:
            origin = _origin(line)
        elif letter == "s" and name is None:
            name = line[2:]
        elif letter == "c" and connection is None:
            connection = _connection(line)
        elif letter in "vosc":
            raise SdpError(f"second {letter}= line")
        elif letter == "t" and line != "t=0 0" and not _is_time(line):
            continue  # it says nothing, and as it is it would not cross: "t=0 0" says as much
        else:
            has_time = has_time or letter == "t"
            kept.append(line.rstrip())
    if origin is None:
        raise SdpError("no o= line")
    if connection is None and any(m.port and m.connection is None for m in media):
        raise SdpError("no c= line")
    if not has_time:
        kept.insert(_time_index(kept), "t=0 0")
    return Session(origin, "-" if name is None else name, connection, tuple(kept), media)


def _media(lines: list[str]) -> Media:
    kind, port, proto, formats = _media_line(lines[0])
    connection = None
    kept = []
    for line in lines[1:]:
        letter = _letter(line)
        if letter == "a":
            kept.append(line.rstrip())
        elif letter == "c":
            if connection is not None:
                # Several c= lines for one m= line are layered multicast only (RFC 8866 §5.7).
                raise SdpError("several c= lines for one m= line", 488)
            connection = _connection(line)
        elif letter in "vostrz":
            raise SdpError(f"{letter}= below an m= line")
        else:
            kept.append(line.rstrip())
    return Media(kind, port, proto, formats, connection, tuple(kept))


def _letter(line: str) -> str:
    """The type of a line: one letter and "=", without "whitespace on either side" of it (RFC 8866 §5)."""
    if line[1:2] != "=" or line[0] not in _LETTERS:
        # No more of it: a key may stand in a line that was folded.
        raise SdpError(f"not a session description line: {line[:2]!r}…")
    return line[0]


def _origin(line: str) -> str:
    # At least six: a user name with a blank in it is wrong, common, and of no interest to us.
    if len(line.split(None, 5)) != 6:
        raise SdpError("o= line without six fields")
    return line[2:]


def _is_time(line: str) -> bool:
    """Two numbers (RFC 8866 §5.9)."""
    times = line[2:].split()
    return len(times) == 2 and all(time.isascii() and time.isdigit() for time in times)


def _connection(line: str) -> Connection:
    fields = line[2:].split()
    if len(fields) != 3 or not line.isascii() or len(fields[2]) > _ADDRESS_OCTETS:
        raise SdpError("c= line without three fields")
    network, kind, address = fields
    if network != "IN" or kind not in {"IP4", "IP6"}:
        raise SdpError("c= line for another network than the Internet", 488)
    return Connection(kind, address)


def _media_line(line: str) -> tuple[str, int, str, tuple[str, ...]]:
    fields = line[2:].split()
    if len(fields) < 3 or not line.isascii():
        raise SdpError("m= line without four fields")
    kind, port_text, proto, *formats = fields
    port = _port(port_text)
    if not formats:
        if port:
            raise SdpError("m= line without a format")
        # Interop: some refuse a stream with nothing after the protocol; "at least one MUST be present" (RFC 3264 §6).
        formats = ["0"]
    elif len(formats) > FORMATS_PER_MEDIA:
        raise SdpError("too many formats in one m= line", 488)
    return kind, port, proto, tuple(formats)


def _port(text: str) -> int:
    digits, slash, count = text.partition("/")
    if not digits.isdigit() or len(digits) > 5 or (port := int(digits)) > 65535:
        raise SdpError("m= line with an impossible port")
    if slash and count != "1":
        # "49170/2" is two RTP pairs in one stream (RFC 8866 §5.14), meant for layered multicast.
        raise SdpError("m= line with a number of ports", 488)
    return port


def _time_index(lines: list[str]) -> int:
    """Where t= belongs: after the lines that RFC 8866 §5 puts before it."""
    for i, line in enumerate(lines):
        if not line.startswith(_BEFORE_TIME):
            return i
    return len(lines)
