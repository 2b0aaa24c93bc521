"""What a leg keeps while its first INVITE has no final response: reliable provisionals, and who has agreed to what.

RFC 3262 (100rel, PRACK) and the rules of RFC 6337 §2 for descriptions before the 2xx. `Ringing` is for the INVITE that
a peer sent us, `Calling` for the one that we sent. They send nothing themselves and know no call; `leg` uses them.
"""

from collections.abc import Callable
from typing import Final

from sbc.sip.commands import Order, Respond
from sbc.sip.dialog.dialog import Dialog
from sbc.sip.dialog.invite_uac import InviteUac
from sbc.sip.dialog.reliable import Arrival, PrackMissing, ReliableReceiver, ReliableSender, rack_of
from sbc.sip.message import Request, Response
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import ServerKey

_RSEQ_START: Final = 2**31 - 1  # "MUST be chosen uniformly between 1 and 2**31 - 1", RFC 3262 §3


class Ringing:
    """The peer understands 100rel: what carries a description goes out reliably, or all, where it requires so.

    `number`: a random integer below its argument. `has_offer`: of the INVITE.
    """

    __slots__ = (
        "_cseq",
        "_describes",
        "_has_offer",
        "_key",
        "_number",
        "_rack",
        "_refused",
        "_required",
        "_sender",
        "_timing",
        "is_settled",
    )

    def __init__(
        self,
        key: ServerKey,
        cseq: int,
        timing: Timing,
        number: Callable[[int], int],
        *,
        required: bool,
        has_offer: bool,
    ) -> None:
        self._key = key
        self._cseq = cseq
        self._timing = timing
        self._number = number
        self._required = required
        self._has_offer = has_offer
        self._sender: ReliableSender | None = None
        self._describes = False
        self._rack: str | None = None  # of the last PRACK that was right
        self._refused: str | None = None  # … whose offer was not
        self.is_settled = False  # offer and answer are exchanged, and nothing is said about the session any more

    @property
    def has_described(self) -> bool:
        """A description went out: another one cannot follow it but by UPDATE (RFC 6337 §2.2)."""
        return self._describes

    @property
    def holds_answer(self) -> bool:
        """A 2xx must wait: "the UAS MUST NOT send a … 2xx until the reliable provisional is acknowledged" where that
        carried a description (RFC 3262 §3).
        """
        return self._sender is not None and self._sender.awaits_prack_of_description

    @property
    def awaits_answer(self) -> bool:
        """Our provisional made the offer: the answer comes in its PRACK (RFC 3262 §5)."""
        return self._describes and not self._has_offer and not self.is_settled

    @property
    def is_busy(self) -> bool:
        """A provisional of ours waits for its PRACK."""
        return self._sender is not None and self._sender.awaits_prack

    def again(self) -> "Ringing":
        """For another early dialog of the same INVITE: it counts for itself."""
        return Ringing(
            self._key, self._cseq, self._timing, self._number, required=self._required, has_offer=self._has_offer
        )

    def send(self, orders: list[Order], now: float, *, described: bool) -> list[Order]:
        """`orders`: the provisional, at most one. Sent now, or when those before it are acknowledged."""
        sent: list[Order] = []
        for order in orders:
            if isinstance(order, Respond) and (self._required or described or self.is_busy):
                self._describes |= described
                sent += self._reliable().send(order, now)
            else:
                sent.append(order)
        return sent

    def take_prack(self, request: Request, now: float) -> tuple[bool, list[Order]]:
        """False where it acknowledges nothing of ours: "a 481 response", RFC 3262 §3."""
        if self._sender is None:
            return False, []
        was_described = self._sender.awaits_prack_of_description
        matched, orders = self._sender.take_prack(request, now)
        if matched and was_described and self._has_offer:
            self.is_settled = True
        if matched:
            self._rack = request.header("RAck")
        return matched, orders

    def refuse_prack(self) -> None:
        """The offer of the last one is not taken: "the UAC may send again a PRACK request without an offer", RFC 6337
        §2.3.
        """
        self._refused = self._rack

    def has_refused(self, request: Request) -> bool:
        """Whether this PRACK is the one that was refused, once more."""
        return self._refused is not None and request.header("RAck") == self._refused

    def stop(self) -> None:
        """A final response is out."""
        if self._sender is not None:
            self._sender.stop()

    def tick(self, now: float) -> list[Order | PrackMissing]:
        return [] if self._sender is None else self._sender.tick(now)

    def next_deadline(self) -> float | None:
        return None if self._sender is None else self._sender.next_deadline()

    def _reliable(self) -> ReliableSender:
        if self._sender is None:
            self._sender = ReliableSender(self._key, self._timing, 1 + self._number(_RSEQ_START), cseq=self._cseq)
        return self._sender


class Calling:
    """`agreed`: the tag of the early dialog in which offer and answer are complete; None: in none yet."""

    __slots__ = ("_receiver", "_uac", "_waiting", "agreed")

    def __init__(self, uac: InviteUac) -> None:
        self._uac = uac
        self._receiver: ReliableReceiver | None = None
        self._waiting: dict[str, str] = {}  # by To tag, the RAck of a provisional with an offer, not acknowledged
        self.agreed: str | None = None

    @property
    def dialog(self) -> Dialog | None:
        """In which requests may be sent: the one that has agreed."""
        return None if self.agreed is None else self._uac.early.get(self.agreed)

    @property
    def asked(self) -> Dialog | None:
        """In which the callee can be asked anything but an offer: the one that has agreed, else the latest."""
        early = self._uac.early
        return self.dialog or (early[next(reversed(early))] if early else None)

    def take(self, response: Response) -> Arrival:
        """How a provisional came; only a new one, or one that is not reliable, says anything."""
        if response.header("RSeq") is None:
            return Arrival.UNRELIABLE
        if self._receiver is None:
            self._receiver = ReliableReceiver()
        return self._receiver.take(response)

    def acknowledgment_of(self, response: Response, tag: str, *, answers: bool, offers: bool) -> str | None:
        """The RAck to be sent now for a new reliable provisional; None where it makes an offer: that wants an answer.

        `answers`: it brings the answer to our offer. `offers`: it brings an offer.
        """
        if offers:
            self._waiting[tag] = rack_of(response)
            return None
        if answers:
            self.agreed = tag
        return rack_of(response)

    def answered(self, tag: str) -> tuple[Dialog, str] | None:
        """The early dialog and the RAck of the offer that is answered now."""
        rack, dialog = self._waiting.pop(tag, None), self._uac.early.get(tag)
        if rack is None or dialog is None:
            return None
        self.agreed = tag
        return dialog, rack
