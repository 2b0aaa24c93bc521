"""What must hold of every octet that the SBC sends: CSeq rises in each dialog, o= versions never fall, no topology.

Of topology it sees addresses and names; Call-IDs and tags, which take longer, are `leaks`' at the end of a shift. It
reads the network's log from where it stopped the last time. Retransmissions are the same octets again.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from sbc.testing.net import Sent
from sbc.testing.simulation.violation import Violation

_CALL_ID: Final = re.compile(rb"\r\nCall-ID: *([^\r]+)")
_CSEQ: Final = re.compile(rb"\r\nCSeq: *(\d+) ([A-Z]+)")
_FROM: Final = re.compile(rb"\r\nFrom:[^\r]*?;tag=([^;\r]+)")
_TO: Final = re.compile(rb"\r\nTo:[^\r]*?;tag=([^;\r]+)")
_BRANCH: Final = re.compile(rb"\r\nVia:[^\r]*?;branch=([^;\r,]+)")
_ORIGIN: Final = re.compile(rb"(?:\A|\r\n)o=\S+ (\d+) (\d+) ")


class Wire:
    """`sides`: of each other host, by name. `words`: what only one side may see, and which."""

    def __init__(self, sbc: str, sides: Mapping[str, str], words: Iterable[tuple[str, str]]) -> None:
        self._sbc = sbc
        self._sides = dict(sides)
        words = list(words)
        self._hidden = {
            side: re.compile(b"|".join(re.escape(word.encode()) + rb"(?!\w)" for word, its in words if its != side))
            for side in set(self._sides.values())
        }
        self._at = 0
        self._cseqs: dict[tuple[bytes, bytes], dict[int, bytes]] = {}  # Call-ID, our tag: branch by CSeq
        self._origins: dict[tuple[bytes, str], tuple[int, int, bytes]] = {}  # Call-ID, receiver: id, version, body
        self._bodies: dict[tuple[bytes, str, bytes], bytes] = {}  # by Call-ID, receiver and CSeq
        self._seen: dict[bytes, set[bytes]] = {}

    def read(self, log: list[Sent]) -> None:
        """Raises `Violation` of "cseq", "origin" or "topology"."""
        for at in range(self._at, len(log)):
            sent = log[at]
            if sent.sender == self._sbc and len(sent.data) > 8:
                self._read(sent)
        self._at = len(log)

    def turn_page(self) -> None:
        """All dialogs are over, and the log has been emptied."""
        self._at = 0
        self._cseqs.clear()
        self._origins.clear()
        self._bodies.clear()
        self._seen.clear()

    def _read(self, sent: Sent) -> None:
        data = sent.data
        hidden = self._hidden.get(self._sides.get(sent.receiver or "", ""))
        shown = None if hidden is None else hidden.search(data)
        if shown is not None:
            raise Violation("topology", f"{shown[0].decode()} in {data[:60]!r} to {sent.receiver}", _call_id(data))
        found = _CALL_ID.search(data)
        if found is None:
            return
        call_id = found[1]
        seen = self._seen.setdefault(call_id, set())
        if data in seen:
            return
        seen.add(data)
        if not data.startswith(b"SIP/2.0 "):
            self._judge_request(sent, call_id)
        head, _, body = data.partition(b"\r\n\r\n")
        if body and b"application/sdp" in head:
            self._judge_origin(sent, call_id, body)

    def _judge_request(self, sent: Sent, call_id: bytes) -> None:
        cseq, tag, branch = _CSEQ.search(sent.data), _FROM.search(sent.data), _BRANCH.search(sent.data)
        if cseq is None or tag is None or branch is None or cseq[2] in (b"ACK", b"CANCEL"):
            return
        number = int(cseq[1])
        known = self._cseqs.setdefault((call_id, tag[1]), {})
        if known.get(number, branch[1]) != branch[1]:
            raise Violation("cseq", f"{number} is repeated: {sent.data[:60]!r} to {sent.receiver}", call_id.decode())
        if number not in known and known and number < max(known) and _TO.search(sent.data) is not None:
            raise Violation(
                "cseq", f"{number} after {max(known)}: {sent.data[:60]!r} to {sent.receiver}", call_id.decode()
            )
        known[number] = branch[1]

    def _judge_origin(self, sent: Sent, call_id: bytes, body: bytes) -> None:
        """RFC 3264 §8: the session keeps its id, and its version rises with each change."""
        origin, cseq = _ORIGIN.search(body), _CSEQ.search(sent.data)
        if origin is None or cseq is None:
            return
        what = (call_id, sent.receiver or "", cseq[0])
        if self._bodies.get(what) == body:
            return  # an ACK, or a response, once more: as late as its transaction lets it
        self._bodies[what] = body
        session, version = int(origin[1]), int(origin[2])
        key = (call_id, sent.receiver or "")
        known = self._origins.get(key)
        if known is not None and known[0] == session:
            if version < known[1]:
                raise Violation("origin", f"version {version} after {known[1]} to {sent.receiver}", call_id.decode())
            if version == known[1] and body != known[2]:
                raise Violation("origin", f"two sessions of version {version} to {sent.receiver}", call_id.decode())
        elif known is not None:
            raise Violation("origin", f"another session id to {sent.receiver}", call_id.decode())
        self._origins[key] = (session, version, body)


def _call_id(data: bytes) -> str:
    found = _CALL_ID.search(data)
    return "" if found is None else found[1].decode()
