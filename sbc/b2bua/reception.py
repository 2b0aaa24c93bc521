"""Where everything comes in that belongs to nothing yet: registrations, questions, new calls, and who is turned away.

It says who must log in, refuses while draining and when a table is full, and makes the call of an INVITE. What becomes
of a call, the call decides; what is in a dialog never comes here. Used by the switch.
"""

from collections.abc import Sequence, Sized
from typing import Final

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.between_calls import BetweenCalls
from sbc.b2bua.call import Call
from sbc.b2bua.call import Out as CallOut
from sbc.b2bua.context import Context
from sbc.b2bua.draining import WHILE_DRAINING, Draining
from sbc.b2bua.entrance import is_emergency, speaker, turn_back, why_challenged
from sbc.b2bua.identity import parties_of
from sbc.b2bua.living import LivingCalls, crash_log
from sbc.b2bua.loops import is_loop
from sbc.b2bua.refused import RefusedLogins
from sbc.b2bua.replaces import replaced_by
from sbc.b2bua.turned_away import stillborn, turn_away
from sbc.core import limits
from sbc.core.address import Flow
from sbc.core.cause import Cause, cause_of_status
from sbc.core.commands import BlockAll, BlockSource, Log
from sbc.core.shares import Shares
from sbc.peering.relations import Out as PeerOut
from sbc.policy.model import Peer
from sbc.sip.checks import ACCEPT, SUPPORTED, UNRELIABLE, Refusal, allow_field, refusal_of
from sbc.sip.commands import Respond, SendMessage
from sbc.sip.endpoint import Door, Endpoint
from sbc.sip.endpoint import Out as SipOut
from sbc.sip.message import Request
from sbc.sip.transaction.outputs import RequestReceived
from sbc.trace.doorstep import Doorstep

_REFUSING: Final = Log("warning", "cdr.refusing", (("alarm", True),))
_TAKING: Final = Log("info", "cdr.taking_calls")


class Reception:
    """`unstored`: calls whose records the disk does not take; the switch keeps it."""

    def __init__(
        self,
        context: Context,
        endpoint: Endpoint,
        living: LivingCalls,
        between: BetweenCalls,
        beside: Beside,
        drain: Draining,
        unstored: Sized,
    ) -> None:
        self.begun = 0  # INVITEs that asked for a new call
        self.refused = RefusedLogins()
        self.doorstep = Doorstep()
        self._challenged: Request | None = None  # just now
        self._is_refusing = False  # as was said last
        self._context = context
        self._endpoint = endpoint
        self._living = living
        self._between = between
        self._beside = beside
        self._drain = drain
        self._unstored = unstored

    # --- before there is a transaction --------------------------------------------------------------------------------

    def door(self, peer: Peer, flow: Flow, now: float) -> Door:
        layer, tags = self._endpoint.layer, self._beside.tags

        def judge(request: Request) -> Refusal | None:
            refusal = None if peer.is_anybody else self._over_rate(peer, request, flow, now)
            if refusal is None:
                refusal = turn_back(peer, request, flow, self._context, layer, self.refused, now, beside=tags)
            if refusal is None and peer.is_anybody:
                refusal = self._over_rate(peer, request, flow, now)  # counted when it is known who he is
            self._challenged = None if refusal is None else request
            return refusal

        return judge

    def _over_rate(self, peer: Peer, request: Request, flow: Flow, now: float) -> Refusal | None:
        """`rate` of a peer: a 503 without Retry-After, by which he has failed with this request alone (RFC 3261
        §21.5.4: "it MUST act as if it had received a 500"), and without any state of ours."""
        keeping = self._context.keeping_out
        if not keeping.has_rates or request.to.tag is not None or request.method in ("ACK", "CANCEL"):
            return None
        claimed = speaker(peer, request, flow, self._context)
        if not keeping.over_rate(claimed, now):
            return None
        if request.method == "INVITE" and is_emergency(request, claimed, self._context):
            return None
        self._endpoint.dropped["peer_over_rate"] += 1
        return Refusal(503)

    def news(self) -> "Sequence[PeerOut | SipOut | BlockSource | BlockAll]":
        """What has been found out at the door."""
        return [*self.refused.take(), *self._context.keeping_out.take()]

    def turned_back(
        self, peer: Peer, data: bytes, flow: Flow, outs: Sequence[SipOut], now: float, *, at_door: bool
    ) -> None:
        """Challenged, or not readable. Where a caller comes again with credentials, his ladder has this too; what has
        shown none as yet is no news of its peer.
        """
        request, self._challenged = self._challenged, None
        if request is None and peer.is_anybody:
            self._context.keeping_out.offends(flow, "a message that cannot be read", now)
        rows = _said(data, flow, outs, now)
        if not rows:
            return
        is_invite = data.startswith(b"INVITE ")
        if is_invite and at_door:
            for row in rows:
                self.doorstep.said(*row)
        if request is None:
            self._context.peer_tapes.exchange(peer.name, rows, "this cannot be read")
        elif not is_invite or request.values("Authorization"):
            claimed = speaker(peer, request, flow, self._context)
            why = why_challenged(claimed, request, rows[-1][2], self._context)
            self._context.peer_tapes.exchange(claimed.name, rows, why)

    def answered_at_once(self, peer: Peer, data: bytes, flow: Flow, outs: Sequence[SipOut], now: float) -> None:
        """Nobody was asked what to answer: a merged request, a CANCEL of nothing, no room."""
        self._context.peer_tapes.exchange(peer.name, _said(data, flow, outs, now))

    def keep_on_tape(self, out: RequestReceived, peer: Peer, data: bytes, now: float) -> None:
        """A request that belongs to no call, and what will be answered."""
        tapes = self._context.peer_tapes
        user = tapes.new_user(peer.name)
        self._endpoint.layer.adopt(out.key, user)
        tapes.message(user, now, False, data, out.flow)

    def acknowledged(self, data: bytes, flow: Flow, now: float) -> None:
        """An ACK of no dialog that is up: it may be that of a challenge."""
        if self.doorstep:
            self.doorstep.said(now, False, data, flow, begins=False)

    # --- what begins something ----------------------------------------------------------------------------------------

    def take(self, out: RequestReceived, peer: Peer, data: bytes, now: float) -> Sequence[CallOut | PeerOut | SipOut]:
        """A request outside of all dialogs. `data`: as it came."""
        request = out.request
        if request.method == "REGISTER" and peer.registers:
            status, fields, outs = self._context.relations.register(peer, request, out.flow, now)
            return [Respond(out.key, status, fields=fields), *outs]
        refusal = refusal_of(request, peer.methods, reliable=peer.reliable == "offer")
        if refusal is not None and request.method == "INVITE":
            return turn_away(out, peer, cause_of_status(refusal.status), refusal, data, self._context, now)
        if refusal is not None:
            return [Respond(out.key, refusal.status, fields=refusal.fields)]
        if request.method == "INVITE":
            return self._invite(out, peer, data, now)
        if request.method == "OPTIONS" and (self._drain.is_on or not self._beside.relays_options(request, peer)):
            if self._drain.is_on:
                return [Respond(out.key, 503)]
            supported = SUPPORTED if peer.reliable == "offer" else UNRELIABLE
            return [Respond(out.key, 200, fields=(allow_field(peer.methods), ACCEPT, supported), contact="")]
        return self._beside.take(out, peer, now)

    def _invite(self, out: RequestReceived, peer: Peer, data: bytes, now: float) -> Sequence[CallOut]:
        context = self._context
        self.begun += 1
        if self._drain.is_on and not is_emergency(out.request, peer, context):
            return turn_away(out, peer, Cause.SHUTDOWN, WHILE_DRAINING, data, context, now)
        if self._is_unrecorded(out.request, peer) or self._is_full(
            len(self._unstored), limits.CDR_QUEUE, out.request, peer
        ):
            self._endpoint.dropped["records_full"] += 1  # one more record is what there is no room for
            return [Respond(out.key, 503)]
        if self._is_full(len(self._living.calls), limits.CALLS, out.request, peer, self._living.shares):
            self._endpoint.dropped["calls_full"] += 1
            return turn_away(out, peer, Cause.OVERLOAD, Refusal(503), data, context, now)
        ref, invite = context.ids.ref(), out.request
        if self.doorstep:
            self.doorstep.enters(ref, data, out.flow, context.trace)
        named = replaced_by(invite, peer, context)
        if isinstance(named, Refusal):
            why = "no such call for its Replaces to take over, or not for this peer"
            return turn_away(out, peer, Cause.REJECTED, named, data, context, now, why=why)
        context.trace.message(ref, now, "ingress", False, data, out.flow)
        context.trace.begins(ref, 0, peer.name)
        try:
            call = Call(ref, peer, parties_of(invite, peer), invite.call_id, context, now, flow=out.flow)
            self._living.add(call)
        except Exception as error:  # noqa: BLE001  see `LivingCalls.guarded`
            return [crash_log(ref, error), *stillborn(ref, out, peer, error, context, now)]

        if named is not None:
            return self._between.replace(named, call, out, now)

        def start(call: Call) -> Sequence[CallOut]:
            loops = is_loop(call, invite, context.calls, self._endpoint.layer.user_of_invite)
            return call.start(out, now, is_loop=loops)

        outs = self._living.guarded(ref, start, now, out.key)
        return [*outs, *context.ports.replenish(now)]

    def say_strictness(self) -> list[CallOut]:
        """After news of the disk, and of the policy."""
        was, self._is_refusing = self._is_refusing, self._wants_disk()
        if was == self._is_refusing:
            return []
        return [_TAKING if was else _REFUSING]

    def why_refusing(self) -> str:
        """Why no new call is taken, but for emergencies, while the disk is as it is; empty: they are taken."""
        if self._wants_disk():
            return "the disk takes no call records, and the policy has cdr: strict"
        if len(self._unstored) >= limits.CDR_QUEUE:
            return "too many call records wait for the disk"
        return ""

    def _is_unrecorded(self, invite: Request, peer: Peer) -> bool:
        """Nothing of it would get to the disk, and the policy wants that first."""
        return self._wants_disk() and not is_emergency(invite, peer, self._context)

    def _wants_disk(self) -> bool:
        return self._context.is_disk_stalled and self._context.policy.cdr.strict

    def _is_full(self, used: int, most: int, invite: Request, peer: Peer, shares: Shares | None = None) -> bool:
        """Or the peer's share of it is; emergencies have some room more, and all of it."""
        if used < most and (shares is None or not shares.is_full(peer.name, most)):
            return False
        return used >= most + limits.EMERGENCIES or not is_emergency(invite, peer, self._context)


def _said(data: bytes, flow: Flow, outs: Sequence[SipOut], now: float) -> list[tuple[float, bool, bytes, Flow]]:
    """What came, and what was answered; nothing where nothing was."""
    answers = [(now, True, out.data, out.flow) for out in outs if isinstance(out, SendMessage)]
    return [(now, False, data, flow), *answers] if answers else []
