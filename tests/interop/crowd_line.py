"""One end of one call, as a plain telephone has it: a dialog (RFC 3261 §12) that offers, holds, resumes and hangs up.

It is strict: tags, CSeq and the state of the call are looked at in all that comes, and what is wrong is a complaint.
What is sent again, and what is answered again, is the business of `crowd_exchange`.
"""

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from .crowd_sound import Ear
from .phones import body_of, header, in_brackets

if TYPE_CHECKING:
    from .crowd_call import Call
    from .crowd_exchange import Exchange

State = Literal["calling", "ringing", "talking", "ended"]
_MIRROR = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive", "sendrecv": "sendrecv"}
_RETRY_SECONDS = 1.0
_RETRIES = 5
_SILENT_PORT = 4000  # of a call without sound


class Line:
    """`heard`: what came and went, with its time, for people. Times are those of `time.time`, 0 where it was never."""

    def __init__(self, exchange: "Exchange", call: "Call", call_id: str, us: str, them: str, target: str) -> None:
        self.exchange, self.call, self.call_id = exchange, call, call_id
        self.us, self.them, self.target = us, them, target
        self.state: State = "calling"
        self.direction = "sendrecv"  # as this end has it
        self.theirs = "sendrecv"  # as the other end described itself last
        self.answered_at = self.bye_at = self.over_at = 0.0
        self.hung_up_first = False
        self.heard: list[tuple[float, str]] = []
        self.complaints: list[str] = []
        self.offer = ""  # that came with the INVITE
        self.ear: Ear | None = None
        self.invite = ""  # as it was sent or as it came
        self.is_offering = False  # an INVITE of this end is out
        self.status = 0  # of the final response to its last request in the dialog
        self.seq = 0
        self._their_seq = -1
        self._version = 1
        self._acks: dict[int, str] = {}

    # --- what it is told ----------------------------------------------------------------------------------------------

    def holds(self, then: Callable[[], None]) -> None:
        self._offers("sendonly", then)

    def resumes(self, then: Callable[[], None]) -> None:
        self._offers("sendrecv", then)

    def hangs_up(self, then: Callable[[], None] = lambda: None, tries: int = _RETRIES) -> None:
        """`then`: its BYE has its final response, or never will."""
        if self.state == "ended":
            then()
            return
        self.state, self.hung_up_first = "ended", True
        self.bye_at = self.bye_at or time.time()

        def answered(status: int, _: str) -> None:
            if status == 408 and tries and self.exchange.is_reliable:  # the connection ended under it
                self.state = "talking"
                self.hangs_up(then, tries - 1)
                return
            self.over_at = time.time()
            self.status = status
            if status != 200:
                self.complains(f"BYE was answered {status}")
            then()

        self.exchange.asks(self, "BYE", "", answered)

    def refreshes(self, method: str, then: Callable[[], None]) -> None:
        """OPTIONS, for who wants to know whether the dialog is there."""

        def answered(status: int, _: str) -> None:
            self.status = status
            then()

        self.exchange.asks(self, method, "", answered)

    def _offers(self, direction: str, then: Callable[[], None], tries: int = _RETRIES) -> None:
        if self.state != "talking":
            self.status = 481
            then()
            return
        self.is_offering = True
        before, self.direction = self.direction, direction

        def again() -> None:
            self._offers(direction, then, tries - 1)

        def answered(status: int, text: str) -> None:
            self.is_offering = False
            self.status = status
            if status == 200:
                self.described(text)
                then()
                return
            self.direction = before
            if status in (491, 500, 408) and tries and self.state == "talking":  # RFC 3261 §14.1, §14.2
                self.exchange.after(_RETRY_SECONDS, again)
                return
            self.complains(f"a re-INVITE was answered {status}")
            then()

        self._version += 1
        self.exchange.asks(self, "INVITE", self.sdp(), answered)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def is_asked(self, method: str, text: str, number: int) -> None:
        """A request in the dialog that is no repetition; but ACK and CANCEL."""
        if number <= self._their_seq:
            self.complains(f"CSeq {number} after {self._their_seq}: {method}")
        self._their_seq = max(number, self._their_seq)
        if header(text, "From") != self.them or header(text, "To") != self.us:
            self.complains(f"{method} of another dialog: {header(text, 'From')} {header(text, 'To')}")
        if method == "BYE":
            self._is_hung_up(text)
        elif self.state == "ended":
            self.complains(f"{method} after the end")
            self.exchange.replies(text, 481, self.us)
        elif method == "INVITE" and self.is_offering:
            self.exchange.replies(text, 491, self.us)
        elif method in ("INVITE", "UPDATE") and body_of(text):
            self.described(text)
            self.direction = _MIRROR[self.theirs]
            self._version += 1
            self.exchange.replies(text, 200, self.us, self.sdp())
        elif method == "INVITE":
            self.exchange.replies(text, 200, self.us, self.sdp())
        else:
            self.exchange.replies(text, 200, self.us)

    def _is_hung_up(self, text: str) -> None:
        if self.state not in ("talking", "ended"):
            self.complains(f"BYE while {self.state}")
        self.state = "ended"
        self.bye_at = self.bye_at or time.time()
        self.over_at = self.over_at or time.time()
        self.exchange.replies(text, 200, self.us)
        self.call.was_hung_up(self)

    def described(self, text: str) -> None:
        """The SBC has said where this end sends to, and what it wants to hear."""
        body = body_of(text)
        found = re.search(r"^a=(sendrecv|sendonly|recvonly|inactive)\r$", body, re.MULTILINE)
        self.theirs = found[1] if found else "sendrecv"
        host, port = re.search(r"^c=IN IP4 (\S+)", body, re.MULTILINE), re.search(r"^m=audio (\d+)", body, re.MULTILINE)
        assert host, text
        assert port, text
        where = (host[1], int(port[1]))
        if self.ear is None:
            return
        if self.ear.to not in (None, where):
            self.complains(f"the SBC's media went from {self.ear.to} to {where}")
        self.ear.to = where
        self.exchange.secures(self.ear, body)

    def learns_dialog(self, text: str) -> None:
        """Of a 2xx to the first INVITE."""
        self.them = header(text, "To")
        self.target = in_brackets(header(text, "Contact"))

    def numbered(self, number: int) -> None:
        """The CSeq of the request that began the dialog."""
        self._their_seq = number

    def acknowledges(self, number: int) -> None:
        """A 2xx, as often as it comes."""
        if number not in self._acks:
            self._acks[number] = self.exchange.in_dialog(self, "ACK", number, "")
        self.exchange.sends(self, self._acks[number])

    # --- words --------------------------------------------------------------------------------------------------------

    def sdp(self) -> str:
        here = self.exchange.host
        port = self.ear.port if self.ear else _SILENT_PORT
        lines = [
            "v=0", f"o=- {self.call.n} {self._version} IN IP4 {here}", "s=-", f"c=IN IP4 {here}", "t=0 0",
            f"m=audio {port} {self.exchange.profile} 0", *self.exchange.keys_of(self.ear),
            *([f"a={self.direction}"] if self.direction != "sendrecv" else []),
        ]  # fmt: skip
        return "".join(f"{line}\r\n" for line in lines)

    def notes(self, what: str) -> None:
        self.heard.append((time.time(), what))

    def complains(self, what: str) -> None:
        self.notes(f"!! {what}")
        self.complaints.append(what)

    def story(self) -> str:
        lines = [f"  {at:.3f} {what}" for at, what in self.heard]
        return "\n".join([f"{self.exchange.side} {self.call_id} {self.state}", *lines])
