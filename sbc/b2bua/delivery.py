"""To whom what happens belongs: the call and leg of a report, the errand, the registration, or nobody.

Orders go to the endpoint; what comes out of transactions goes by their user, what is in a dialog by its ids (`whose`),
what begins something to the reception. It decides nothing and guards nothing but calls. Used by the switch, which
carries out what it returns.
"""

from collections.abc import Hashable, Sequence
from typing import Final

from msgspec.structs import replace

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.between_calls import BetweenCalls
from sbc.b2bua.call import Out as CallOut
from sbc.b2bua.context import Context
from sbc.b2bua.entrance import speaker
from sbc.b2bua.living import LivingCalls
from sbc.b2bua.orders import ChildAnswered, ChildFailed, ChildProgressed, HangUpChild, JoinCalls, PlaceChild
from sbc.b2bua.orphans import end_orphan
from sbc.b2bua.reception import Reception
from sbc.b2bua.shedding import Shedding
from sbc.b2bua.stamping import stamped
from sbc.b2bua.whose import dialog_of, user_of
from sbc.core.address import Flow
from sbc.core.commands import BlockAll, BlockSource
from sbc.peering.bindings import BindingMoved
from sbc.peering.relations import Out as PeerOut
from sbc.policy.model import Peer
from sbc.sip.checks import refusal_of
from sbc.sip.commands import Order, ResendResponse, Respond
from sbc.sip.endpoint import Endpoint
from sbc.sip.endpoint import Out as SipOut
from sbc.sip.message import Request, Response
from sbc.sip.transaction.outputs import (
    AckReceived,
    CancelReceived,
    ConnectionLost,
    RequestReceived,
    ResponseReceived,
    ResponseStrayed,
    TransactionFailed,
)

_ORDERS: Final = frozenset(Order.__args__)
_REPORTS: Final = frozenset({ResponseReceived, TransactionFailed, CancelReceived, ConnectionLost})

Out = CallOut | PeerOut | SipOut | BlockSource | BlockAll


class Delivery:
    def __init__(
        self,
        context: Context,
        endpoint: Endpoint,
        living: LivingCalls,
        between: BetweenCalls,
        beside: Beside,
        reception: Reception,
        shedding: Shedding,
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._living = living
        self._between = between
        self._beside = beside
        self._reception = reception
        self._shedding = shedding

    def take(self, out: Order | SipOut | BindingMoved, now: float, peer: Peer | None, data: bytes) -> Sequence[Out]:
        """What follows of an order or a report. `peer`: who sent `data`, of which all this comes, if anybody did."""
        what = type(out)
        if what in _ORDERS:
            if self._context.session_ids and what is not ResendResponse:  # that has been stamped
                out = stamped(out, user_of(out, self._endpoint.layer), self._context)  # type: ignore[arg-type]
            return self._endpoint.perform(out, now)  # type: ignore[arg-type]
        if what in _REPORTS and self._context.moves:
            out = replace(out, user=self._context.moves.user_of(out.user))  # type: ignore[union-attr]
        match out:
            case RequestReceived():
                return [] if peer is None else self._request(out, peer, data, now)
            case ResponseReceived(user):
                return self._response(user, out, peer, now)
            case AckReceived(request, flow):
                return self._ack(request, flow, data, now)
            case ResponseStrayed(response, flow):
                return self._stray(response, flow, peer, data, now)
            case PlaceChild() | HangUpChild() | JoinCalls() | ChildProgressed() | ChildAnswered() | ChildFailed():
                return self._between.perform(out, now)
            case TransactionFailed((("beside") as kind, str(id_), int(n))):
                return self._beside.take_failure((kind, id_, n), out, now)
            case CancelReceived((str(ref), int(leg), int()), _, cancel):
                return self._living.guarded(ref, lambda call: call.take_cancel(leg, cancel, now), now)
            case TransactionFailed(key=(_, "CANCEL")):
                return []  # the INVITE's own transaction says when it is over
            case TransactionFailed((("health" | "register") as kind, str(name), int(n))):
                return self._context.relations.take_failure((kind, name, n), _why_failed(out), now)
            case TransactionFailed((str(ref), int(leg), int(n))):
                return self._living.guarded(ref, lambda call: call.take_failure(leg, n, out, now), now)
            case ConnectionLost((str(ref), int(leg), int(n)), detail):
                return self._living.guarded(ref, lambda call: call.take_loss(leg, n, detail, now), now)
            case CancelReceived() | TransactionFailed() | ConnectionLost():
                return []  # of a call that is gone
            case BindingMoved(pbx, was, flow):
                outs: list[Out] = []
                for call in self._context.calls.values():
                    outs += call.peer_moved(pbx, was, flow)
                self._beside.peer_moved(pbx, was, flow)
                return outs
            case _:
                raise AssertionError(f"nobody knows what to do with {out}")

    # --- requests -----------------------------------------------------------------------------------------------------

    def _request(self, out: RequestReceived, peer: Peer, data: bytes, now: float) -> Sequence[Out]:
        request = out.request
        peer = speaker(peer, request, out.flow, self._context)
        if request.to.tag is None:
            if request.method != "INVITE":
                self._reception.keep_on_tape(out, peer, data, now)
            refused = self._shedding.refuse(out, peer, now) if self._shedding.overload.is_on else None
            return self._reception.take(out, peer, data, now) if refused is None else refused
        refusal = refusal_of(request, peer.methods, reliable=peer.reliable == "offer")
        if refusal is not None:
            self._trace_refused(out, peer, data, now)
            return [Respond(out.key, refusal.status, fields=refusal.fields)]
        return self._in_dialog(out, peer, data, now)

    def _in_dialog(self, out: RequestReceived, peer: Peer, data: bytes, now: float) -> Sequence[Out]:
        found = dialog_of(out.request, peer, self._context)
        if found is None:
            taken = self._beside.take_in_dialog(out, peer, now)
            if taken is None:
                self._trace_refused(out, peer, data, now)
                return [Respond(out.key, 200 if self._is_said_again(out.request, now) else 481)]
            self._reception.keep_on_tape(out, peer, data, now)
            return taken
        ref, leg = found
        self._living.trace_received((ref, leg, 0), data, out.flow, now)
        self._endpoint.layer.adopt(out.key, (ref, leg, 0))
        return self._living.guarded(ref, lambda call: call.take_request(leg, out, now), now, out.key)

    def _is_said_again(self, request: Request, now: float) -> bool:
        """The BYE of a dialog that ended in an earlier life of this program."""
        ended = self._context.ended
        return ended is not None and request.method == "BYE" and ended.has(request, now)

    def _trace_refused(self, out: RequestReceived, peer: Peer, data: bytes, now: float) -> None:
        """A request that no call takes: of a dialog that is up, or of one whose call is over."""
        place = dialog_of(out.request, peer, self._context) or self._context.trace.former_dialog(
            out.request.to.tag or ""
        )
        if place is not None:
            user = (*place, 0)
            self._living.trace_received(user, data, out.flow, now)
            self._endpoint.layer.adopt(out.key, user)
        else:
            self._reception.keep_on_tape(out, peer, data, now)

    def _ack(self, request: Request, flow: Flow, data: bytes, now: float) -> Sequence[Out]:
        found = dialog_of(request, None, self._context)
        if found is None:
            self._reception.acknowledged(data, flow, now)
            return []
        ref, leg = found
        if self._endpoint.layer.taken_by is None:
            self._living.trace_received((ref, leg, 0), data, flow, now)
        return self._living.guarded(ref, lambda call: call.take_ack(leg, request, flow, now), now)

    # --- responses ----------------------------------------------------------------------------------------------------

    def _response(self, user: Hashable, out: ResponseReceived, peer: Peer | None, now: float) -> Sequence[Out]:
        """`peer`: who it came from, which decides whether a challenge is answered."""
        if out.request.method == "CANCEL":
            return []  # it has its INVITE's user, and its 200 says nothing about that INVITE (RFC 3261 §9.1)
        response, flow = out.response, out.flow
        match user:
            case (("health" | "register") as kind, str(name), int(n)):
                genuine = self._is_from(peer, self._context.policy.peers.get(name))
                asked = (kind, name, n)
                return self._context.relations.take_response(asked, response, out.request, flow, now, genuine=genuine)
            case ("beside", str(id_), int(n)):
                genuine = self._is_from(peer, self._beside.asked(id_, n))
                return self._beside.take_response(("beside", id_, n), out, now, genuine=genuine)
            case (str(ref), int(leg), int(n)) if ref in self._context.calls:
                genuine = self._is_from(peer, self._context.calls[ref].legs[leg].peer)
                return self._living.guarded(
                    ref, lambda call: call.take_response(leg, n, response, flow, now, is_genuine=genuine), now
                )
            case _:
                ended = end_orphan(user, out, peer, self._context.relations, now)
                return [*self._living.left_answered(user, out), *ended]

    def _stray(self, response: Response, flow: Flow, peer: Peer | None, data: bytes, now: float) -> Sequence[Out]:
        """A 2xx to an INVITE of ours that no transaction awaits: of an earlier life of this program, or very late."""
        found = self._context.dialogs.get(response.from_.tag or "")
        if found is None:
            return []
        ref, leg = found
        if not self._is_from(peer, self._context.calls[ref].legs[leg].peer):
            return []
        self._living.trace_received((ref, leg, 0), data, flow, now)
        return self._living.guarded(ref, lambda call: call.take_stray(leg, response, flow), now)

    def _is_from(self, peer: Peer | None, asked: Peer | None) -> bool:
        return peer is not None and asked is not None and self._context.policy.may_be(peer, asked)


def _why_failed(out: TransactionFailed) -> str:
    return out.detail or ("no reply" if out.why == "timeout" else "unreachable")
