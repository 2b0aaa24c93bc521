"""Telephones by hand, for what SIPp cannot do: any SDP, on UDP or TCP, IPv4 or IPv6, with sound of a test's own making.

A `Desk` turns for all of them, in one thread: nothing happens but while it `turns`, `waits` or lets voices talk.
"""

import re
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Self

import pytest

from .voices import PACKET_SECONDS, Voice

_numbers = count(1)  # Call-IDs, tags and branches of all phones of this process


class Desk:
    """`with Desk() as desk:`; its phones and voices are closed with it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()
        self._selector.close()

    def reads(self, sock: socket.socket, reader: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, reader)

    def forgets(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()

    def has(self, voice: Voice) -> Voice:
        for sock in voice.sockets:
            self.reads(sock, voice.listens)
        return voice

    def turns(self, until: float) -> None:
        """Up to this moment of `time.monotonic`."""
        while True:
            left = until - time.monotonic()
            for key, _ in self._selector.select(max(0.0, left)):
                key.data()
            if left <= 0:
                return

    def rests(self, seconds: float) -> None:
        self.turns(time.monotonic() + seconds)

    def waits(
        self, for_: Callable[[], object], what: str, seconds: float = 5, story: Callable[[], object] = lambda: ""
    ) -> None:
        end = time.monotonic() + seconds
        while not for_():
            if time.monotonic() > end:
                pytest.fail(f"waited {seconds} s for {what}\n{story()}")
            self.turns(time.monotonic() + 0.02)

    def talks(self, seconds: float, *voices: Voice, settle: float = 0.1) -> None:
        """Each of them sends a packet each 20 ms."""
        start = time.monotonic()
        for n in range(round(seconds / PACKET_SECONDS)):
            self.turns(start + n * PACKET_SECONDS)
            for voice in voices:
                voice.says()
        self.rests(settle)


class Phone:
    """At one address. `sock`: UDP and bound, or TCP and connected to the SBC, or TCP and listening for it."""

    def __init__(self, desk: Desk, sock: socket.socket, through: str, *, user: str = "+14155550100") -> None:
        """`through`: the SBC's address on this side; nothing is sent there over TCP by who only listens."""
        self.user = user
        self.dialogs: list[Dialog] = []
        self.answers: Callable[[Dialog, str], str] = lambda dialog, _: dialog.sdp  # by whom it is called: its SDP
        self.ignores = 0  # so many requests, as if they had never come
        self.host, self.port = sock.getsockname()[:2]
        self._desk, self._through = desk, through
        self._transport = "UDP" if sock.type == socket.SOCK_DGRAM else "TCP"
        self._stream = b""
        if self._transport == "TCP" and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self._sock: socket.socket | None = None
            desk.reads(sock, lambda: self._accepts(sock))
        else:
            self._sock = sock
            desk.reads(sock, self._reads)

    def calls(self, number: str, sdp: str) -> "Dialog":
        """Rings, is answered, and acknowledges by itself."""
        dialog = self._invites(number, sdp)
        self._desk.waits(lambda: dialog.status >= 200, f"an answer to {number}", 10, lambda: dialog.heard)
        return dialog

    def _invites(self, number: str, sdp: str) -> "Dialog":
        n = next(_numbers)
        uri = f"sip:{number}@{bracketed(self._through)}:5060"
        me = f"<sip:{self.user}@{bracketed(self.host)}>;tag=t{n}"
        dialog = Dialog(self, f"far{n}@{self.host}", me, f"<{uri}>", uri, sdp)
        self.dialogs.append(dialog)
        dialog.asks("INVITE", body=sdp)
        return dialog

    @property
    def contact(self) -> str:
        way = ";transport=tcp" if self._transport == "TCP" else ""
        return f"<sip:{self.user}@{bracketed(self.host)}:{self.port}{way}>"

    def via(self) -> str:
        return f"SIP/2.0/{self._transport} {bracketed(self.host)}:{self.port};branch=z9hG4bK-far{next(_numbers)};rport"

    def sends(self, text: str) -> None:
        assert self._sock is not None, "nobody has connected"
        if self._transport == "UDP":
            self._sock.sendto(text.encode(), (self._through, 5060))
        else:
            self._sock.sendall(text.encode())

    # --- what comes ---------------------------------------------------------------------------------------------------

    def _accepts(self, listener: socket.socket) -> None:
        self._sock, _ = listener.accept()
        self._desk.reads(self._sock, self._reads)

    def _reads(self) -> None:
        assert self._sock is not None
        data = self._sock.recv(65535)
        if self._transport == "UDP":
            self._hears(data.decode())
            return
        if not data:
            self._desk.forgets(self._sock)
            self._sock = None
        self._stream = (self._stream + data).lstrip(b"\r\n")
        while (end := self._stream.find(b"\r\n\r\n") + 4) > 3:
            end += int(header(self._stream[:end].decode(), "Content-Length"))
            if len(self._stream) < end:
                return
            text, self._stream = self._stream[:end].decode(), self._stream[end:].lstrip(b"\r\n")
            self._hears(text)

    def _hears(self, text: str) -> None:
        if not text.strip():
            return
        is_request = not text.startswith("SIP/2.0 ")
        if is_request and self.ignores:
            self.ignores -= 1
            return
        call_id = header(text, "Call-ID")
        dialog = next((one for one in self.dialogs if one.call_id == call_id), None)
        if dialog is None and text.startswith("INVITE "):
            dialog = self._is_called(text, call_id)
        if dialog is not None:
            (dialog.is_asked if is_request else dialog.is_answered)(text)
        elif is_request and not text.startswith("ACK "):
            self.replies(text, "200 OK" if text.startswith("OPTIONS ") else "481 Who Are You", header(text, "To"))

    def _is_called(self, invite: str, call_id: str) -> "Dialog":
        us = f"{header(invite, 'To')};tag=t{next(_numbers)}"
        dialog = Dialog(self, call_id, us, header(invite, "From"), in_brackets(header(invite, "Contact")), "")
        self.dialogs.append(dialog)
        dialog.sdp = self.answers(dialog, body_of(invite))
        return dialog

    def replies(self, request: str, status: str, to: str, body: str = "") -> None:
        lines = [f"Via: {via}" for via in re.findall(r"^Via: (.*?)\r$", request, re.MULTILINE)]
        lines += [f"{name}: {header(request, name)}" for name in ("From", "Call-ID", "CSeq")]
        self.sends(message(f"SIP/2.0 {status}", *lines, f"To: {to}", f"Contact: {self.contact}", body=body))


class Dialog:
    """One dialog of a phone. `sdp`: what it offers and answers with; `remote`: what came from the other side last.

    `status`: of the response to its last request but ACK, 0 before; `heard`: start lines of all that came.
    """

    def __init__(self, phone: Phone, call_id: str, us: str, them: str, target: str, sdp: str) -> None:
        self.phone, self.call_id, self.sdp = phone, call_id, sdp
        self.remote, self.status, self.is_over = "", 0, False
        self.heard: list[str] = []
        self.bye = ""  # theirs
        self._us, self._them, self._target = us, them, target
        self._seq, self._last, self._last_invite = 0, "", 0
        self._is_early = True

    def asks(self, method: str, *fields: str, body: str = "") -> None:
        self._seq += 1
        self.status, self._last = 0, method
        self._last_invite = self._seq if method == "INVITE" else self._last_invite
        self._sends(method, self._seq, fields, body)

    def says(self, method: str, *fields: str, body: str = "") -> None:
        """A request, until it has its final response."""
        self.asks(method, *fields, body=body)
        self.phone._desk.waits(lambda: self.status >= 200, f"the answer to {method}", 5, lambda: self.heard)

    def offers(self, sdp: str) -> None:
        """A re-INVITE."""
        self.sdp = sdp
        self.says("INVITE", body=sdp)
        assert self.status == 200, self.heard

    def hangs_up(self) -> None:
        self.says("BYE")
        assert self.status == 200, self.heard

    def named_in_uri(self) -> str:
        """In the Replaces of a Refer-To (RFC 3891 §6.1), by who holds it."""
        theirs, ours = (re.search(r";tag=([^;]+)", one) for one in (self._them, self._us))
        assert theirs
        assert ours
        return f"{self.call_id.replace('@', '%40')}%3Bto-tag%3D{theirs[1]}%3Bfrom-tag%3D{ours[1]}"

    # --- what comes ---------------------------------------------------------------------------------------------------

    def is_asked(self, text: str) -> None:
        method = text.partition(" ")[0]
        is_again = text in self.heard
        self.heard.append(text)
        if method == "ACK":
            self.remote = body_of(text) or self.remote
            return
        if method == "INVITE" and not is_again and self._is_early:
            self._is_early = False
            self.phone.replies(text, "180 Ringing", self._us)
        if method == "BYE":
            self.is_over, self.bye = True, text
        self.remote = body_of(text) or self.remote
        has_answer = method in ("INVITE", "UPDATE") and (method == "INVITE" or body_of(text))
        self.phone.replies(text, "200 OK", self._us, self.sdp if has_answer else "")

    def is_answered(self, text: str) -> None:
        status, method = int(text.split(" ")[1]), header(text, "CSeq").split()[1]
        self.heard.append(text)
        if status < 200 or method != self._last:
            return
        if method == "INVITE":
            if status < 300:
                self.remote = body_of(text) or self.remote
                self._them = header(text, "To")
                self._target = in_brackets(header(text, "Contact"))
            self._sends("ACK", self._last_invite, (), "")
        self.is_over = self.is_over or method == "BYE"
        self.status = status

    def _sends(self, method: str, seq: int, fields: Sequence[str], body: str) -> None:
        self.phone.sends(
            message(
                f"{method} {self._target} SIP/2.0", f"Via: {self.phone.via()}", "Max-Forwards: 70", f"From: {self._us}",
                f"To: {self._them}", f"Call-ID: {self.call_id}", f"CSeq: {seq} {method}",
                f"Contact: {self.phone.contact}", "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, REFER, NOTIFY",
                *fields, body=body,
            )
        )  # fmt: skip


def message(start: str, *lines: str, body: str) -> str:
    described = ("Content-Type: application/sdp",) if body else ()
    return "\r\n".join([start, *lines, *described, f"Content-Length: {len(body)}", "", body])


def header(text: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*?)\r$", text, re.MULTILINE)
    assert found, f"no {name} in {text}"
    return found[1]


def body_of(text: str) -> str:
    return text.partition("\r\n\r\n")[2]


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def in_brackets(field: str) -> str:
    found = re.search(r"<([^>]+)>", field)
    assert found, field
    return found[1]
