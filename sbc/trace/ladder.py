"""A call drawn as a ladder of both legs, in plain text: ingress peer, sbc, egress peer, and one more for each attempt.

Reads only start line, CSeq and body of a message, so that it draws what no parser accepts. Header values such as
credentials are never shown. Who uses it: `sbc trace`, the HTTP API, the demo, and every flow test that fails.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from sbc.sdp import Direction, SdpError, direction_of, parse_sdp
from sbc.trace.recorder import Entry

NAMES: Final = ("ingress peer", "sbc", "egress peer")
_WIDTH: Final = 38  # from one line of life to the next
_MARGIN: Final = 10
_CSEQ: Final = re.compile(rb"\r?\ncseq[ \t]*:[ \t]*\d+[ \t]+([^\s]{1,20})", re.IGNORECASE)
_SDP: Final = re.compile(rb"\r?\n(?:content-type|c)[ \t]*:[ \t]*application/sdp", re.IGNORECASE)
_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")


def draw(entries: Iterable[Entry], *, names: Sequence[str] = NAMES, at_zero: float | None = None) -> str:
    """The ladder as text. Times count from `at_zero`, else from the first entry."""
    rows = list(entries)
    if not rows:
        return ""
    zero = rows[0].at if at_zero is None else at_zero
    columns = _columns(rows)
    heads = _heads(names, len(columns))
    lines = [_head_line(heads)]
    seen: set[tuple[str, bool, bytes]] = set()
    for entry in rows:
        if entry.data is None:
            lines += _note_lines(entry, zero, len(heads))
            continue
        key = (entry.leg, entry.sent, entry.data)
        label = label_of(entry.data) + (" (again)" if key in seen else "")
        seen.add(key)
        lines.append(_arrow_line(entry, label, columns[entry.leg], zero, len(heads)))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def label_of(data: bytes) -> str:
    """A message in a few words: `INVITE sdp`, `200 OK (INVITE) sdp sendonly`."""
    header, body = _split(data)
    start = header.split(b"\n", 1)[0].strip().decode("utf-8", "replace")
    words = start.split()
    if words and words[0].upper().startswith("SIP/"):
        method = _CSEQ.search(header)
        label = " ".join(words[1:])
        if method is not None:
            label += f" ({method[1].decode('ascii', 'replace')})"
    else:
        label = words[0] if words else "(empty)"
    return _printable(label) + _sdp_mark(header, body)


def moves(entries: Iterable[Entry]) -> list[str]:
    """One short line per message: `ingress > INVITE sdp` came in, `egress < INVITE sdp` went out. For tests."""
    return [
        f"{entry.leg} {'<' if entry.sent else '>'} {label_of(entry.data)}"
        for entry in entries
        if entry.data is not None
    ]


def _columns(rows: Sequence[Entry]) -> dict[str, int]:
    """Which column each leg's peer stands in; 1 is ours."""
    columns = {"ingress": 0}
    for entry in rows:
        if entry.data is not None and entry.leg not in columns:
            columns[entry.leg] = len(columns) + 1
    return columns


def _heads(names: Sequence[str], legs: int) -> list[str]:
    heads = list(names[: max(legs + 1, 3)])
    while len(heads) < legs + 1:
        heads.append(f"{names[-1]} {len(heads) - 1}")
    return heads


def _head_line(heads: Sequence[str]) -> str:
    line = " " * (_MARGIN - 1) + heads[0]
    for n, head in enumerate(heads[1:], start=1):
        centre = _MARGIN + n * (_WIDTH + 1)
        line = line.ljust(max(len(line) + 1, centre - len(head) // 2)) + head
    return line


def _arrow_line(entry: Entry, label: str, column: int, zero: float, count: int) -> str:
    """An arrow between us, in column 1, and the peer; it passes over the columns in between."""
    left, right = (column, 1) if column < 1 else (1, column)
    rightward = (column < 1) is not entry.sent
    width = (right - left) * (_WIDTH + 1) - 1
    label = label if len(label) <= width - 6 else label[: width - 9] + "..."
    body = f" {label} ".center(width - 2, "-")
    arrow = f"-{body}>" if rightward else f"<{body}-"
    line = "".join("|" + " " * _WIDTH for _ in range(count))
    start = left * (_WIDTH + 1) + 1
    line = line[:start] + arrow + line[start + width :]
    return f"{entry.at - zero:{_MARGIN - 2}.3f}  {line}"


def _note_lines(entry: Entry, zero: float, count: int) -> list[str]:
    notes = entry.note if isinstance(entry.note, (tuple, list)) else (entry.note,)
    texts = [_printable(text) for note in notes for text in str(note).splitlines()]
    prefix = "|".ljust(_WIDTH + 1) + "* "
    lines = [f"{entry.at - zero:{_MARGIN - 2}.3f}  {prefix}{text}" for text in texts[:1]]
    lines += [" " * _MARGIN + prefix + text for text in texts[1:]]
    end = _MARGIN + (count - 1) * (_WIDTH + 1)
    return [line.ljust(end) + "|" if len(line) < end else line for line in lines]


def _sdp_mark(header: bytes, body: bytes) -> str:
    if not body or _SDP.search(header) is None:
        return ""
    try:
        session = parse_sdp(body)
    except SdpError:
        return " sdp?"
    directions = [direction_of(session, media) for media in session.media if media.port]
    if not directions or directions[0] is Direction.SENDRECV:
        return " sdp"
    return f" sdp {directions[0]}"


def _split(data: bytes) -> tuple[bytes, bytes]:
    end = _END_OF_HEADER.search(data)
    return (data, b"") if end is None else (data[: end.start()], data[end.end() :])


def _printable(text: str) -> str:
    """A peer chose these characters: nothing that a terminal would obey."""
    return "".join([char if char.isprintable() else "?" for char in text])
