"""One INVITE that we sent, first or re-INVITE, from its sending to the ACK of its 2xx (RFC 3261 §13.2, §14.1, §9.1).

Keeps early dialogs by To tag, makes the dialog of the first 2xx, ends the dialogs of other forks and of a 2xx that
crossed our CANCEL. The transaction repeats requests and ACKs; this file knows what they mean.
"""

import enum
from collections.abc import Hashable
from typing import Final

from msgspec import Struct

from sbc.core.address import Flow
from sbc.core.limits import EARLY_DIALOGS_PER_LEG
from sbc.sip.auth.client import credentials_of
from sbc.sip.commands import CancelRequest, Order, SendAck, SendRequest
from sbc.sip.dialog.dialog import Dialog, dialog_of_uac
from sbc.sip.message import Fields, Request, Response

_SAID_AT_MOST: Final = 100  # PRACKs and UPDATEs of an early dialog of which nothing is known


_SOME: Final = b"v=0\r\n"  # a body of which nothing is known but that there was one


class State(enum.StrEnum):
    CALLING = "calling"
    CANCELLED = "cancelled"  # a CANCEL is ordered; a final response is still to come
    ANSWERED = "answered"  # a 2xx came and its ACK is not ordered yet
    ACKNOWLEDGED = "acknowledged"
    ENDED = "ended"


class SavedUac(Struct, frozen=True, omit_defaults=True):
    """An INVITE of ours. `n`: the last part of its user. `answer`: what the ACK of its 2xx has brought.

    Deviation: "The ACK MUST contain the same credentials as the INVITE", RFC 3261 §13.2.2.4; an ACK of another life has
    none. Nobody can challenge it, and what is written to a disk holds nothing that a password could be guessed from.
    """

    n: int
    cseq: int
    state: State
    is_first: bool = False
    has_body: bool = False
    answer: bytes = b""


class Progressed(Struct, frozen=True, eq=False):
    """A provisional response other than 100, within the early dialog `tag`."""

    response: Response
    tag: str


class Accepted(Struct, frozen=True, eq=False):
    """The first 2xx. It must be acknowledged."""

    response: Response


class Refused(Struct, frozen=True, eq=False):
    """A final failure."""

    response: Response


Report = Progressed | Accepted | Refused


class InviteUac:
    """`dialog` is the existing one for a re-INVITE, or None until a response makes it."""

    __slots__ = ("_answer", "_is_first", "dialog", "early", "interface", "request", "state", "user")

    def __init__(self, user: Hashable, request: Request, interface: str, dialog: Dialog | None = None) -> None:
        self.user = user
        self.request = request
        self.interface = interface
        self.dialog = dialog
        self.early: dict[str, Dialog] = {}
        self.state = State.CALLING
        self._is_first = dialog is None
        self._answer = b""  # in the ACK of its 2xx

    def saved(self, n: int) -> SavedUac:
        request = self.request
        return SavedUac(
            n,
            request.cseq.number,
            self.state,
            self._is_first,
            bool(request.body),
            self._answer,
        )

    @property
    def is_first(self) -> bool:
        """It shall make a dialog."""
        return self._is_first

    @property
    def is_pending(self) -> bool:
        return self.state is State.CALLING

    @property
    def is_over(self) -> bool:
        """Its final response is here, and acknowledged: another INVITE may be sent in the dialog (§14.1)."""
        return self.state is State.ACKNOWLEDGED or self.state is State.ENDED

    def receive(self, response: Response, flow: Flow | None = None) -> list[Order | Report]:
        """`flow`: where requests of this dialog go, whatever its target says; here those that end an unwanted 2xx."""
        status = response.status
        if status < 200:
            return self._progressed(response)
        if status >= 300:
            if self.state is State.CALLING or self.state is State.CANCELLED:
                self.state = State.ENDED
                return [Refused(response)]
            return []
        if self.state is State.CALLING:
            return self._accepted(response)
        if self.state is State.CANCELLED and not self._is_first:
            return self._accepted(response)  # the session has changed all the same, and the dialog goes on: §14.1
        if self.state is State.CANCELLED:
            self.state = State.ENDED
            return self._end(response, flow)
        if self.dialog is not None and (response.to.tag or "") == self.dialog.remote_tag:
            return []  # a repetition; its ACK is still to be ordered, or is being repeated by the transaction
        return self._end(response, flow)

    def acknowledge(self, *, fields: Fields = (), body: bytes = b"", flow: Flow | None = None) -> list[Order]:
        """`flow`: where requests of this dialog go, whatever its target says."""
        if self.state is not State.ANSWERED or self.dialog is None:
            return []
        self.state, self._answer = State.ACKNOWLEDGED, body
        # "the ACK MUST contain the same credentials as the INVITE", §13.2.2.4
        fields = (*credentials_of(self.request), *fields)
        ack = self.dialog.ack(self.request.cseq.number, fields=fields, body=body)
        return [SendAck(self.user, ack, self.interface, self.dialog.next_hop, flow)]

    def acknowledge_again(self, cseq: int, dialog: Dialog, *, flow: Flow | None = None) -> list[Order]:
        """The ACK of a 2xx that has come once more, to this INVITE or an earlier one, and that no transaction knows."""
        is_mine = cseq == self.request.cseq.number
        fields = credentials_of(self.request) if is_mine else ()
        body = self._answer if is_mine else b""
        if body:
            fields = (*fields, ("Content-Type", "application/sdp"))
        ack = dialog.ack(cseq, fields=fields, body=body)
        return [SendAck(self.user, ack, self.interface, dialog.next_hop, flow)]

    def again(self, user: Hashable, request: Request) -> None:
        """It goes out once more, with credentials, as `request` of a transaction of its own (§22.2)."""
        self.user, self.request = user, request
        self.early.clear()

    def cancel(self, reason: str | None = None) -> list[Order]:
        if self.state is not State.CALLING:
            return []
        self.state = State.CANCELLED
        return [CancelRequest(self.user, reason)]

    def fail(self) -> bool:
        """The transaction ended without a final response; True when that matters to anyone."""
        mattered = self.state is State.CALLING
        self.state = State.ENDED
        return mattered

    def _progressed(self, response: Response) -> list[Order | Report]:
        if self.state is not State.CALLING or response.status == 100:
            return []
        tag = response.to.tag or ""
        if self._is_first and tag not in self.early and len(self.early) < EARLY_DIALOGS_PER_LEG:
            self.early[tag] = dialog_of_uac(self.request, response, self.interface)
        return [Progressed(response, tag)]

    def _accepted(self, response: Response) -> list[Order | Report]:
        self.state = State.ANSWERED
        if self._is_first:
            # "The route set … MUST be recomputed" from the 2xx even where an early dialog had one, §13.2.2.4; its
            # sequence numbers go on.
            dialog = dialog_of_uac(self.request, response, self.interface)
            early = self.early.get(dialog.remote_tag)
            if early is not None:
                dialog.local_cseq, dialog.remote_cseq = early.local_cseq, early.remote_cseq
            self.dialog = dialog
            self.early.pop(dialog.remote_tag, None)  # the others may still be answered, and ended
        elif self.dialog is not None:
            self.dialog.refresh_target(response)
        return [Accepted(response)]

    def _end(self, response: Response, flow: Flow | None) -> list[Order | Report]:
        early = self.early.get(response.to.tag or "")
        said = self.request.cseq.number if early is None else early.local_cseq
        return list(end_unwanted(self.user, self.request, response, self.interface, flow, said=said))


def end_unwanted(
    user: Hashable,
    invite: Request,
    response: Response,
    interface: str,
    flow: Flow | None = None,
    *,
    said: int | None = None,
) -> list[Order]:
    """ACK and BYE for a 2xx that nobody wants: another fork's, or one that crossed a CANCEL (§13.2.2.4, §15).

    That of a re-INVITE is only acknowledged: its dialog has had its BYE. `said`: the last CSeq within the dialog; None:
    nobody knows any more.
    """
    dialog = dialog_of_uac(invite, response, interface)
    # Deviation: "contiguous CSeq sequence numbers (increasing-by-one)", §12.2.1.1. But a BYE below what was said before
    # "is out of order and MUST be rejected with a 500", and a gap "is not an error condition", §12.2.2.
    dialog.local_cseq = invite.cseq.number + _SAID_AT_MOST if said is None else said
    ack = SendAck(user, dialog.ack(invite.cseq.number), interface, dialog.next_hop, flow)
    if invite.to.tag is not None:
        return [ack]
    bye = dialog.request("BYE")
    return [ack, SendRequest((user, dialog.remote_tag), bye, interface, dialog.next_hop, flow=flow)]


def restored_uac(
    saved: SavedUac, user: Hashable, interface: str, dialog: Dialog | None, request: Request | None = None
) -> InviteUac:
    """As it was, in another life of this program. `dialog`: that its 2xx has made, or in which it was sent. `request`:
    where it is known, because a final response may still come; else what its ACK needs of it.

    A re-INVITE that was under way is over: if anybody answers it, that is acknowledged, and what it was to change is
    said anew.
    """
    may_be_answered = request is not None and saved.is_first
    fields = (("CSeq", f"{saved.cseq} INVITE"),) if request is None else request.fields
    uri, body = "" if request is None else request.uri_text, _SOME if saved.has_body else b""
    uac = InviteUac(user, Request("INVITE", uri, fields, body), interface, dialog)
    uac._is_first, uac._answer = saved.is_first, saved.answer
    uac.state = saved.state
    if not uac.is_over and uac.state is not State.ANSWERED:
        uac.state = State.CANCELLED if may_be_answered else State.ENDED
    return uac
