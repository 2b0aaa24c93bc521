"""What a call leaves behind that was being set up when signalling died, and how that is brought to its end.

Such a call is not gone on with: nobody knows what was said last. The caller gets his final response, a 503 (without
Retry-After: he may try again at once), in the transaction of his INVITE, which also answers repetitions of that, so
that no second call begins. Every INVITE of ours that has no final response is cancelled in its own transaction; whoever
answers it all the same gets ACK and BYE by `orphans`. The transactions' timers end everything, and nothing is kept.

`save_setup` is the value that the journal keeps, `setup_mark` says when that would say something new. A call that is
over may leave the same behind (`ended_dialogs`). `recovery` uses it.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from sbc.b2bua.account import Account, Ending, SavedAccount
from sbc.b2bua.commands import AskMedia, Command, Log, WriteCdr
from sbc.b2bua.context import Context
from sbc.b2bua.leg import Leg
from sbc.b2bua.leg.saved import CSEQ_MARGIN, SavedLeg, reached_again, save_leg
from sbc.b2bua.leg.state import State
from sbc.core.cause import Cause
from sbc.media import wire
from sbc.sip.commands import Order, ResendResponse, Respond, Revive, SendAck, SendRequest
from sbc.sip.dialog.invite_uac import State as UacState
from sbc.sip.dialog.invite_uas import State as UasState
from sbc.sip.transaction.layer import TransactionLayer

if TYPE_CHECKING:
    from sbc.b2bua.call import Call

LEFT: Final = "left"  # first part of the user of what is left; the second is the peer's name
_STATUS: Final = 503
_LIVES_PER_SECOND: Final = 8  # at most: no process starts faster
_NUMBERS: Final = 1 << 24  # of CSeq, which has 31 bits: none is met again for three weeks


class SavedSetup(Struct, frozen=True, omit_defaults=True, tag="setup", tag_field="is"):
    """A call that nobody has answered. `legs`: by number, those of which something is on its way."""

    account: SavedAccount
    legs: dict[int, SavedLeg]


def save_setup(call: "Call") -> SavedSetup:
    return SavedSetup(call.account.saved(), left_of(call.legs, call.context.layer))


def setup_mark(call: "Call") -> Hashable:
    """Differs where another `save_setup` would matter: after the call's INVITE came, and after each dialling."""
    return tuple([(leg.state, None if leg.sending.uac is None else leg.sending.uac.user) for leg in call.legs])


def left_of(legs: Iterable[Leg], layer: TransactionLayer) -> dict[int, SavedLeg]:
    """Of these, what peers still wait for, or may say yes to."""
    return {leg.n: save_leg(leg, layer) for leg in legs if leg.is_remembered(layer)}


class Leftovers:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls: dict[str, SavedSetup] = {}
        self._legs: dict[str, Mapping[int, SavedLeg]] = {}

    def restore(self, ref: str, saved: SavedSetup, now: float) -> None:  # noqa: ARG002
        """Raises ParseError for what cannot be read; then nothing is left of it."""
        self.go_on(ref, saved.legs)
        self._calls[ref] = saved

    def go_on(self, ref: str, legs: Mapping[int, SavedLeg]) -> None:
        """What a call that had ended has left; its record is another matter. Raises as `restore`."""
        if legs:
            self._legs[ref] = {n: reached_again(leg) for n, leg in legs.items()}

    def start(self, said: Callable[[int, str, int], None], now: float) -> list[Order | Command]:
        """All that is to be said, once. `said` is told, of each leg, the last part of its user, the ref, its number."""
        legs, self._legs = self._legs, {}
        calls, self._calls = self._calls, {}
        outs: list[Order | Command] = []
        for ref, saved in calls.items():
            outs += self._end(ref, saved, now)
        left = [(ref, n, leg) for ref, of_call in legs.items() for n, leg in of_call.items()]
        for serial, (ref, n, leg) in enumerate(left):
            outs += farewell(leg, serial, now)
            said(serial, ref, n)
        return outs

    def _end(self, ref: str, saved: SavedSetup, now: float) -> list[Command]:
        account = Account.restored(ref, saved.account)
        account.attempt_ended(None, Cause.INTERNAL, now)
        ending = Ending(Cause.INTERNAL, _STATUS, Cause.INTERNAL.q850, "sbc")
        record = account.record(ending, now, self._context.wall)
        fields = (
            ("ref", ref),
            ("ingress", record.ingress),
            ("egress", record.egress),
            ("route", record.route),
            ("caller", record.caller),
            ("called", record.called),
            ("cause", str(ending.cause)),
            ("status", ending.status),
            ("by", ending.by),
            ("why", "signalling was started again while the call was set up"),
        )
        return [Log("info", "call.ended", fields), AskMedia(wire.DeleteSession(ref)), WriteCdr(record)]


def farewell(left: SavedLeg, serial: int, now: float) -> list[Order]:
    """Whatever this leg was about is brought to its end, without a leg. `serial`: no other has it in this life."""
    user = (LEFT, left.peer, serial)
    orders: list[Order] = []
    if left.server is not None:
        orders.append(Revive(left.server, user))
    if left.uas is not None and left.uas.state is UasState.PROCEEDING:
        orders.append(Respond(left.uas.key, _STATUS, left.uas.to_tag))
    elif left.uas is not None and left.uas.state is UasState.ANSWERED:
        # Deviation: "the callee's UA MUST NOT send a BYE on a confirmed dialog until it has received an ACK", RFC 3261
        # §15. Nobody is left who would wait for that: our 2xx goes out once more, and the BYE behind it.
        orders.append(ResendResponse(left.uas.key))
    if left.invite is not None:
        orders.append(Revive(left.invite, user))
    if left.state is State.TALKING or left.state is State.ENDING:
        orders += _goodbye(left, user, now)
    return orders


def _goodbye(left: SavedLeg, user: tuple[str, str, int], now: float) -> list[Order]:
    """To who was about to hear it, or has answered while the caller had not been told. Only its answer is written down
    (`unanswered`): without one the next life says it once more, under a later number.
    """
    dialog, uac = copy(left.dialog), left.uac
    if dialog is None:
        return []
    dialog.local_cseq += of_this_life(now)
    orders: list[Order] = []
    if uac is not None and uac.state is UacState.ANSWERED:
        ack = dialog.ack(uac.cseq)
        orders.append(SendAck(user, ack, left.interface, dialog.next_hop, left.flow))
    bye = dialog.request("BYE", fields=left.bye_fields)
    return [*orders, SendRequest(user, bye, left.interface, dialog.next_hop, flow=left.flow)]


def of_this_life(now: float) -> int:
    """How far beyond the CSeq that was written down a life begins that writes nothing down: above those before it."""
    return CSEQ_MARGIN + int(now * _LIVES_PER_SECOND) % _NUMBERS
