"""One side of the crowd: its transactions (RFC 3261 §17), and which line a message is for.

Over UDP what was asked is repeated until it is answered, a 200 until it is acknowledged, and what comes again is
answered as before. Over connections nothing is repeated, but a 200 to an INVITE.
"""

import contextlib
import heapq
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Literal

from .crowd_line import Line
from .crowd_sound import Ear
from .crowd_wire import Connections, Datagrams, Way
from .phones import header

if TYPE_CHECKING:
    from .crowd import Crowd

Side = Literal["pbx", "carrier"]
_T1, _T2 = 0.5, 4.0
PATIENCE = 64 * _T1
_AGAIN_SECONDS = 1.0  # after a connection that could not be had
_numbers = count(1)
_REASONS = {100: "Trying", 180: "Ringing", 200: "OK", 481: "No Such Call", 486: "Busy", 487: "Gone", 491: "Pending"}
Final = Callable[[int, str], None]


@dataclass(eq=False)
class Asked:
    """A client transaction; `status`: of its last response."""

    line: Line
    method: str
    number: int
    text: str
    final: Final
    begun: float
    pause: float = _T1
    status: int = 0
    ack: str = ""


class Timers:
    """What is to be done later, on the crowd's thread."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(_numbers), do))

    def turn(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()


class Exchange:
    """The PBX or the carrier, at `host`; `to`: the SBC's address on its side."""

    profile = "RTP/AVP"

    def __init__(self, side: Side, host: str, to: str, crowd: "Crowd", wire: Callable[..., Datagrams | Connections],
                 inside: Callable[[], AbstractContextManager[None]]) -> None:  # fmt: skip
        self.side, self.host, self.to = side, host, to
        self.complaints: list[str] = []
        self._crowd = crowd
        self._inside = inside
        self._lines: dict[str, Line] = {}
        self._asked: dict[str, Asked] = {}
        self._answered: dict[tuple[str, str, str], tuple[str, Way]] = {}  # requests that came: what was said
        self._unacknowledged: dict[tuple[str, int], tuple[str, float, float]] = {}
        with inside():
            self.wire = wire(host, to, crowd.selector, self._heard, inside=inside, lost=self._connection_ended)
        self._timers = crowd.timers

    @property
    def is_reliable(self) -> bool:
        return self.wire.is_reliable

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self._timers.after(seconds, do)

    def ear(self, sound, every: float) -> Ear:
        with self._inside():
            return sound.ear(self.host, every)

    def keys_of(self, ear: Ear | None) -> list[str]:
        """Lines of the SDP that say how this end's sound is encrypted; see `crowd_secured`."""
        return []

    def secures(self, ear: Ear, sdp: str) -> None:
        """The SBC's SDP has come."""

    # --- requests of ours ---------------------------------------------------------------------------------------------

    def calls(self, line: Line, number: str, final: Final, provisional: Callable[[int], None]) -> Asked:
        self._lines[line.call_id] = line
        line.target = f"sip:{number}@{self.to}:5060{self._parameter}"
        asked = self.asks(line, "INVITE", line.sdp(), final)
        asked.provisional = provisional  # type: ignore[attr-defined]
        line.invite = asked.text
        return asked

    def asks(self, line: Line, method: str, body: str, final: Final) -> Asked:
        line.seq += 1
        text = self.in_dialog(line, method, line.seq, body)
        asked = Asked(line, method, line.seq, text, final, time.monotonic())
        self._asked[_branch(text) + method] = asked
        self.sends(line, text)
        self._timers.after(asked.pause, lambda: self._repeats(asked))
        return asked

    def cancels(self, line: Line) -> None:
        """RFC 3261 §9.1: the same branch, the same CSeq number."""
        lines = line.invite.split("\r\n")
        uri = lines[0].split(" ")[1]
        kept = [one for one in lines if re.match(r"(Via|From|To|Call-ID|Max-Forwards):", one)]
        number = header(line.invite, "CSeq").split()[0]
        text = "\r\n".join(
            [f"CANCEL {uri} SIP/2.0", *kept, f"CSeq: {number} CANCEL", "Content-Length: 0", "", ""]
        )  # fmt: skip
        asked = Asked(line, "CANCEL", int(number), text, lambda *_: None, time.monotonic())
        self._asked[_branch(text) + "CANCEL"] = asked
        self.sends(line, text)
        self._timers.after(asked.pause, lambda: self._repeats(asked))

    def in_dialog(self, line: Line, method: str, number: int, body: str) -> str:
        described = ("Content-Type: application/sdp",) if body else ()
        return "\r\n".join([
            f"{method} {line.target} SIP/2.0",
            f"Via: SIP/2.0/{self.wire.transport} {self.host}:5060;branch=z9hG4bK-crowd{next(_numbers)};rport",
            "Max-Forwards: 70", f"From: {line.us}", f"To: {line.them}", f"Call-ID: {line.call_id}",
            f"CSeq: {number} {method}", f"Contact: {self.contact}",
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE", "Supported: timer", *described,
            f"Content-Length: {len(body)}", "", body,
        ])  # fmt: skip

    @property
    def contact(self) -> str:
        return f"<sip:{self.side}@{self.host}:5060{self._parameter}>"

    @property
    def _parameter(self) -> str:
        return f";transport={self.wire.transport.lower()}" if self.is_reliable else ""

    def sends(self, line: Line | None, text: str, way: Way | None = None) -> None:
        if line is not None:
            line.notes(f"-> {text.partition(chr(13))[0]} ({header(text, 'CSeq')})")
        try:
            (way or self.wire.way).send(text)
        except OSError:  # nobody takes the connection, or speaks TLS on it
            self._timers.after(_AGAIN_SECONDS, partial(self._sends_later, text))

    def _sends_later(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self.wire.way.send(text)

    def _connection_ended(self) -> None:
        """Nobody knows what became of it (RFC 3261 §8.1.3.1). Who has a provisional response will get a final one."""
        for asked in [one for one in self._asked.values() if one.status < 200]:
            if asked.method != "INVITE" or not asked.status:
                self._gets_nothing(asked)

    def _gets_nothing(self, asked: Asked) -> None:
        asked.status = 408
        asked.line.notes(f"!! no answer to {asked.method}")
        asked.final(408, "")

    def _repeats(self, asked: Asked) -> None:
        if asked.status >= 200 or (asked.method == "INVITE" and asked.status):
            return
        if time.monotonic() - asked.begun > PATIENCE:
            self._gets_nothing(asked)
            return
        if not self.is_reliable:
            self.sends(asked.line, asked.text)
        asked.pause *= 2
        if asked.method != "INVITE":
            asked.pause = min(asked.pause, _T2)
        self._timers.after(asked.pause, lambda: self._repeats(asked))

    # --- responses to us ----------------------------------------------------------------------------------------------

    def _is_answered(self, text: str) -> None:
        status, method = int(text[8:11]), header(text, "CSeq").split()[1]
        asked = self._asked.get(_branch(text) + method)
        if asked is None:
            self.complaints.append(f"a response to nothing: {text}")
            return
        asked.line.notes(f"<- {text.partition(chr(13))[0]} ({header(text, 'CSeq')})")
        if method == "INVITE" and status >= 300:
            self._acknowledges_refusal(asked, text)
        if asked.status >= 200:
            if method == "INVITE" and status < 300:
                asked.line.acknowledges(asked.number)
            if status >= 200 and status // 100 != asked.status // 100 and asked.status != 408:  # a late one
                asked.line.complains(f"{method} was answered {asked.status}, and then {status}")
            return
        asked.status = status
        if status < 200:
            getattr(asked, "provisional", lambda _: None)(status)
            return
        if method == "INVITE" and status < 300:
            if ";tag=" not in asked.line.them:
                asked.line.learns_dialog(text)
            asked.line.acknowledges(asked.number)
        asked.final(status, text)

    def _acknowledges_refusal(self, asked: Asked, text: str) -> None:
        """RFC 3261 §17.1.1.3: in the same transaction."""
        if not asked.ack:
            kept = [one for one in asked.text.split("\r\n") if re.match(r"(Via|From|Call-ID|Max-Forwards):", one)]
            asked.ack = "\r\n".join([
                f"ACK {asked.text.split(' ')[1]} SIP/2.0", *kept, f"To: {header(text, 'To')}",
                f"CSeq: {asked.number} ACK", "Content-Length: 0", "", "",
            ])  # fmt: skip
        self.sends(asked.line, asked.ack)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def _heard(self, text: str, way: Way) -> None:
        if text.startswith("SIP/2.0 "):
            self._is_answered(text)
            return
        method = text.partition(" ")[0]
        number = int(header(text, "CSeq").split()[0])
        call_id = header(text, "Call-ID")
        line = self._lines.get(call_id)
        if line is not None:
            line.notes(f"<- {text.partition(chr(13))[0]} ({header(text, 'CSeq')})")
        if method == "ACK":
            self._unacknowledged.pop((call_id, number), None)
            return
        key = (call_id, _branch(text), method)
        if key in self._answered:
            said, _ = self._answered[key]
            self._answered[key] = (said, way)
            if said:
                self.sends(line, said, way)
            return
        self._answered[key] = ("", way)
        if method == "CANCEL":
            self._is_cancelled(text, line)
        elif line is not None:
            line.is_asked(method, text, number)
        elif method == "INVITE" and ";tag=" not in header(text, "To"):
            self._is_called(text, call_id, number)
        elif method == "OPTIONS":
            self.replies(text, 200, f"{header(text, 'To')};tag=o")
        else:
            self.complaints.append(f"nobody has this call: {text}")
            self.replies(text, 481, header(text, "To"))

    def _is_called(self, text: str, call_id: str, number: int) -> None:
        call = self._crowd.called(self.side, text)
        if call is None:
            self.complaints.append(f"a call that nobody has placed: {text}")
            self.replies(text, 486, f"{header(text, 'To')};tag=x")
            return
        us = f"{header(text, 'To')};tag=c{next(_numbers)}"
        contact = re.search(r"<([^>]+)>", header(text, "Contact"))
        assert contact, text
        line = self._lines[call_id] = Line(self, call, call_id, us, header(text, "From"), contact[1])
        line.numbered(number)
        line.invite = text
        line.notes(f"<- {text.partition(chr(13))[0]}")
        line.state = "ringing"
        call.is_offered_to(line)

    def _is_cancelled(self, text: str, line: Line | None) -> None:
        self.replies(text, 200 if line else 481, line.us if line else header(text, "To"))
        if line is not None and line.state == "ringing":
            line.state = "ended"
            line.over_at = time.time()
            self.replies(line.invite, 487, line.us)

    # --- responses of ours --------------------------------------------------------------------------------------------

    def replies(self, request: str, status: int, to: str, body: str = "") -> None:
        """By the way by which the request came last; what is final is said again when the request comes again."""
        key = (header(request, "Call-ID"), _branch(request), request.partition(" ")[0])
        way = self._answered[key][1] if key in self._answered else None
        copied = [one for one in request.split("\r\n") if re.match(r"(Via|From|Call-ID|CSeq|Record-Route):", one)]
        described = ("Content-Type: application/sdp",) if body else ()
        text = "\r\n".join([
            f"SIP/2.0 {status} {_REASONS.get(status, 'Refused')}", *copied, f"To: {to}", f"Contact: {self.contact}",
            "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE", *described, f"Content-Length: {len(body)}", "", body,
        ])  # fmt: skip
        if way is not None:
            self._answered[key] = (text, way)
        line = self._lines.get(key[0])
        self.sends(line, text, way)
        if key[2] == "INVITE" and status >= 200 and (status < 300 or not self.is_reliable):
            number = int(header(request, "CSeq").split()[0])
            self._unacknowledged[key[0], number] = (text, time.monotonic(), _T1)
            self._timers.after(_T1, lambda: self._says_again(key[0], number, way))

    def _says_again(self, call_id: str, number: int, way: Way | None) -> None:
        """RFC 3261 §13.3.1.4, §17.2.1."""
        found = self._unacknowledged.get((call_id, number))
        if found is None:
            return
        text, begun, pause = found
        line = self._lines.get(call_id)
        if time.monotonic() - begun > PATIENCE:
            del self._unacknowledged[call_id, number]
            if line is not None:
                line.complains(f"no ACK: {text[:11]}")
                if line.state == "talking" and text.startswith("SIP/2.0 2"):
                    line.hangs_up()
            return
        pause = min(2 * pause, _T2)
        self._unacknowledged[call_id, number] = (text, begun, pause)
        self.sends(line, text, way)
        self._timers.after(pause, lambda: self._says_again(call_id, number, way))

    def waits_for_ack(self) -> list[tuple[str, int]]:
        return list(self._unacknowledged)


def _branch(text: str) -> str:
    """Of the topmost Via."""
    found = re.search(r"^Via:[^\r]*?;branch=([^;,\s]+)", text, re.MULTILINE | re.IGNORECASE)
    assert found, text
    return found[1]
