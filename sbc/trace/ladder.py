"""A call drawn as a ladder of both legs, in plain text: ingress peer, sbc, egress peer, and one more for each attempt;
or a peer's messages beside calls, with the time of day.

Reads only start line, CSeq, body and a few fields of a message, by no grammar, so that it draws what no parser accepts.
Header values such as credentials are never shown. Who uses it: `sbc trace`, the HTTP API, the demo, and every flow test
that fails.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.sdp import Direction, SdpError, direction_of, parse_sdp
from sbc.trace.recorder import Entry

_NOBODY: Final[Mapping[str, str]] = {}
_LANE: Final = 38  # from one line of life to the next
_LEAST_LANE: Final = 18  # room for `200 OK (…`
_LEAST_NOTE: Final = 24  # in words, else notes go beyond the width
_MARGIN: Final = 10
_MARGIN_OF_CLOCK: Final = 20
PEER: Final = "peer"  # the one leg of a ladder that is no call's
_CSEQ: Final = re.compile(rb"\r?\ncseq[ \t]*:[ \t]*\d+[ \t]+([^\s]{1,20})", re.IGNORECASE)
_SDP: Final = re.compile(rb"\r?\n(?:content-type|c)[ \t]*:[ \t]*application/sdp", re.IGNORECASE)
# A NOTIFY about a REFER tells how it goes by a status line (RFC 3515 §2.4.5).
_FRAGMENT: Final = re.compile(rb"\r?\n(?:content-type|c)[ \t]*:[ \t]*message/sipfrag", re.IGNORECASE)
_STATUS: Final = re.compile(rb"SIP/2\.0[ \t]+([1-6]\d\d)(?!\d)", re.IGNORECASE)
# Who shall take whose place: a field of an INVITE (RFC 3891 §6.1), in a REFER a header of the URI (RFC 5589 §7.1).
_REPLACES: Final = {
    "INVITE": re.compile(rb"\r?\nreplaces[ \t]*:", re.IGNORECASE),
    "REFER": re.compile(rb"\r?\n(?:refer-to|r)[ \t]*:[^\r\n]*[?&]replaces=", re.IGNORECASE),
}
_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")


class _Grid(Struct, frozen=True):
    """`count` lines of life, `lane` characters between them, `width` in all; 0: notes go as far as they go.

    Times count from `zero`; with a `clock` they are the clock's, whose time at zero that is.
    """

    count: int
    lane: int = _LANE
    width: int = 0
    zero: float = 0.0
    clock: float | None = None

    @property
    def margin(self) -> int:
        return _MARGIN if self.clock is None else _MARGIN_OF_CLOCK

    def time(self, at: float) -> str:
        """Filling the margin."""
        if self.clock is None:
            return f"{at - self.zero:{_MARGIN - 2}.3f}  "
        return f"{datetime.fromtimestamp(self.clock + at, UTC):%m-%d %H:%M:%S.%f}"[:-3] + "  "

    def column(self, n: int) -> int:
        """Where the line of life of column `n` stands, counted from the margin."""
        return n * (self.lane + 1)


def draw(
    entries: Iterable[Entry],
    *,
    peers: Mapping[str, str] = _NOBODY,
    at_zero: float | None = None,
    width: int = 0,
    clock: float | None = None,
) -> str:
    """The ladder as text. `peers`: by leg, as `Recorder.peers` has them. Times count from `at_zero`, else from the
    first entry; with `clock`, the wall clock at zero of the entries' times, they are date and time, UTC. `width`: of
    the terminal that it should fit into, as far as it can; 0: any.
    """
    rows = list(entries)
    if not rows:
        return ""
    zero = rows[0].at if at_zero is None else at_zero
    columns = _columns(rows, peers)
    names = _names(columns, peers)
    grid = _fitting(len(names), width, zero, clock)
    lines = [_head_line([_short(name, grid.lane - 1) for name in names], grid)]
    seen: set[tuple[str, bool, bytes]] = set()
    for entry in rows:
        if entry.data is None:
            lines += _note_lines(entry, grid)
            continue
        key = (entry.leg, entry.sent, entry.data)
        mark = " (again)" if key in seen else ""
        seen.add(key)
        lines.append(_arrow_line(entry, mark, columns[entry.leg], grid))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def label_of(data: bytes) -> str:
    """A message in a few words: `INVITE sdp`, `200 OK (INVITE) sdp sendonly`, `NOTIFY 180`, `REFER replaces`."""
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
        label += _request_mark(label, header, body)
    return _printable(label) + _sdp_mark(header, body)


def lines_of(note: object) -> list[str]:
    """A note of a tape as lines of text. A peer may have chosen characters of it."""
    notes = note if isinstance(note, (tuple, list)) else (note,)
    return [text for one in notes for text in str(one).splitlines()]


def moves(entries: Iterable[Entry]) -> list[str]:
    """One short line per message: `ingress > INVITE sdp` came in, `egress < INVITE sdp` went out. For tests."""
    return [
        f"{entry.leg} {'<' if entry.sent else '>'} {label_of(entry.data)}"
        for entry in entries
        if entry.data is not None
    ]


def _columns(rows: Sequence[Entry], peers: Mapping[str, str]) -> dict[str, int]:
    """Which column each leg's peer stands in; 1 is ours."""
    columns = {PEER if PEER in peers else "ingress": 0}
    for entry in rows:
        if entry.data is not None and entry.leg not in columns:
            columns[entry.leg] = len(columns) + 1
    return columns


def _fitting(count: int, width: int, zero: float, clock: float | None) -> _Grid:
    """Narrower lanes where the terminal asks for them, never wider ones."""
    grid = _Grid(count, width=width, zero=zero, clock=clock)
    if not width:
        return grid
    lane = (width - grid.margin - 1) // (count - 1) - 1
    return replace(grid, lane=max(_LEAST_LANE, min(_LANE, lane)))


def _names(columns: Mapping[str, int], peers: Mapping[str, str]) -> list[str]:
    """Who stands over each line of life. A call that has dialled nobody, or nobody yet, has a line for that too."""
    if PEER in peers:
        return [_printable(peers[PEER]), "sbc"]
    heads = [peers.get("ingress") or "ingress peer", "sbc"]
    legs = list(columns)[1:] or [leg for leg in peers if leg != "ingress"][:1] or [""]
    for n, leg in enumerate(legs, start=1):
        heads.append(peers.get(leg) or ("egress peer" if n == 1 else f"egress peer {n}"))
    return [_printable(head) for head in heads]


def _head_line(heads: Sequence[str], grid: _Grid) -> str:
    line = " " * (grid.margin - 1) + heads[0]
    for n, head in enumerate(heads[1:], start=1):
        centre = grid.margin + grid.column(n)
        start = centre - len(head) // 2
        if grid.width:
            start = min(start, grid.width - len(head))
        line = line.ljust(max(len(line) + 1, start)) + head
    return line


def _arrow_line(entry: Entry, mark: str, column: int, grid: _Grid) -> str:
    """An arrow between us, in column 1, and the peer; it passes over the columns in between."""
    left, right = (column, 1) if column < 1 else (1, column)
    rightward = (column < 1) is not entry.sent
    width = grid.column(right - left) - 1
    label = _short(label_of(entry.data or b""), width - 4 - len(mark))
    body = f" {label}{mark} ".center(width - 2, "-")
    arrow = f"-{body}>" if rightward else f"<{body}-"
    line = "".join("|" + " " * grid.lane for _ in range(grid.count))
    start = grid.column(left) + 1
    line = line[:start] + arrow + line[start + width :]
    return grid.time(entry.at) + line


def _note_lines(entry: Entry, grid: _Grid) -> list[str]:
    prefix = "|".ljust(grid.column(1)) + "* "
    room = grid.width - grid.margin - len(prefix)
    texts = [text for line in lines_of(entry.note) for text in _wrapped(_printable(line), room)]
    lines = [grid.time(entry.at) + prefix + text for text in texts[:1]]
    lines += [" " * grid.margin + prefix + text for text in texts[1:]]
    end = grid.margin + grid.column(grid.count - 1)
    return [line.ljust(end) + "|" if len(line) < end else line for line in lines]


def _wrapped(text: str, room: int) -> list[str]:
    """What goes on in the next line is set in, so that nobody takes it for another note."""
    if len(text) <= room or room < _LEAST_NOTE:
        return [text]
    return textwrap.wrap(text, room, subsequent_indent="  ", break_on_hyphens=False)


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


def _request_mark(method: str, header: bytes, body: bytes) -> str:
    """What tells one request of a transfer from another."""
    if method == "NOTIFY" and _FRAGMENT.search(header) is not None:
        status = _STATUS.match(body)
        return "" if status is None else f" {status[1].decode('ascii')}"
    replaces = _REPLACES.get(method)
    return "" if replaces is None or replaces.search(header) is None else " replaces"


def _split(data: bytes) -> tuple[bytes, bytes]:
    data = data.lstrip(b"\r\n")  # before the start line nothing counts (RFC 3261 §7.5)
    end = _END_OF_HEADER.search(data)
    return (data, b"") if end is None else (data[: end.start()], data[end.end() :])


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _printable(text: str) -> str:
    """A peer chose these characters: nothing that a terminal would obey."""
    return "".join([char if char.isprintable() else "?" for char in text])
