"""What a call leaves behind that was being set up when signalling died, and how that is brought to its end.

Such a call is not gone on with: nobody knows what was said last. The caller gets his final response, a 503 (without
Retry-After: he may try again at once), in the transaction of his INVITE, which also answers repetitions of that, so
that no second call begins. Every INVITE of ours that has no final response is cancelled in its own transaction; whoever
answers it all the same gets ACK and BYE by `orphans`. The transactions' timers end everything, and nothing is kept.

`save_setup` is the value that the journal keeps, `setup_mark` says when that would say something new. A call that is
over may leave the same behind (`ended_dialogs`). `recovery` uses it.
"""

from collections.abc import Hashable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.account import Account, Ending, SavedAccount
from sbc.b2bua.commands import AskMedia, Command, Log, WriteCdr
from sbc.b2bua.context import Context
from sbc.b2bua.leg import Leg
from sbc.b2bua.leg.saved import CSEQ_MARGIN, SavedLeg, save_leg
from sbc.b2bua.leg.state import State
from sbc.core.address import Address, Flow, canonical_ip
from sbc.core.cause import Cause
from sbc.media import wire
from sbc.sip.commands import Order, Respond, Revive, SendAck, SendRequest
from sbc.sip.dialog.invite_uac import State as UacState
from sbc.sip.dialog.invite_uas import State as UasState
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.saved import without_connection
from sbc.sip.uri import SipUri, parse_uri

if TYPE_CHECKING:
    from sbc.b2bua.call import Call

_STATUS = 503


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
    return {leg.n: save_leg(leg, layer) for leg in legs if not leg.is_quiet or _is_known(leg, layer)}


def _is_known(leg: Leg, layer: TransactionLayer) -> bool:
    """Our final response to its INVITE may be asked for once more."""
    return leg.uas is not None and layer.has(leg.uas.key)


class Leftovers:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls: dict[str, SavedSetup] = {}
        self._legs: dict[str, Mapping[int, SavedLeg]] = {}

    def restore(self, ref: str, saved: SavedSetup, now: float) -> None:  # noqa: ARG002
        self._calls[ref] = saved
        self._legs[ref] = saved.legs

    def go_on(self, ref: str, legs: Mapping[int, SavedLeg]) -> None:
        """What a call that had ended has left; its record is another matter."""
        if legs:
            self._legs[ref] = legs

    def start(self, now: float) -> list[Order | Command]:
        """All that is to be said, once."""
        legs, self._legs = self._legs, {}
        calls, self._calls = self._calls, {}
        outs: list[Order | Command] = []
        for ref, saved in calls.items():
            outs += self._end(ref, saved, now)
        for ref, left in legs.items():
            for n, leg in left.items():
                outs += farewell(ref, n, reached_again(leg))
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


def reached_again(left: SavedLeg) -> SavedLeg:
    """Who spoke by a connection, which has gone with the process, is reached where his Contact says, unless a NAT
    stands before it: then he has to come again.
    """
    if left.flow is not None and left.dialog is not None:
        left = replace(left, flow=_way(left.flow, left.dialog.remote_target))
    if left.invite is not None:
        left = replace(left, invite=replace(left.invite, flow=_way(left.invite.flow, left.invite.request().uri_text)))
    return left


def _way(flow: Flow, target: str) -> Flow:
    uri = parse_uri(target) if flow.connection else None
    if not isinstance(uri, SipUri) or canonical_ip(uri.host) != flow.remote.host:
        return flow
    return replace(flow, remote=Address(flow.remote.host, uri.port or flow.transport.default_port), connection=0)


def farewell(ref: str, n: int, left: SavedLeg) -> list[Order]:
    """Whatever this leg was about is brought to its end, without a leg. Users of transactions are what they were."""
    orders: list[Order] = []
    if left.server is not None:
        orders.append(Revive(left.server, (ref, n, 0)))
    if left.uas is not None and left.uas.state is UasState.PROCEEDING:
        orders.append(Respond(left.uas.key, _STATUS, left.uas.to_tag))
    if left.invite is not None and left.uac is not None:
        orders.append(Revive(left.invite, (ref, n, left.uac.n)))
    if left.state is State.TALKING or left.state is State.ENDING:
        orders += _goodbye(ref, n, left)
    return orders


def _goodbye(ref: str, n: int, left: SavedLeg) -> list[Order]:
    """Who has answered, while the caller had not been told."""
    dialog, uac = copy(left.dialog), left.uac
    if dialog is None:
        return []
    flow = None if left.flow is None else without_connection(left.flow)
    dialog.local_cseq += CSEQ_MARGIN
    orders: list[Order] = []
    if uac is not None and uac.state is UacState.ANSWERED:
        ack = dialog.ack(uac.cseq, fields=uac.credentials)
        orders.append(SendAck((ref, n, uac.n), ack, left.interface, dialog.next_hop, flow))
    bye = dialog.request("BYE", fields=left.bye_fields)
    return [*orders, SendRequest((ref, n, left.count + 1), bye, left.interface, dialog.next_hop, flow=flow)]
