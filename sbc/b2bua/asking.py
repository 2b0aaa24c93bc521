"""What a call asks before anything is dialled: who its caller may say that he is, and where policy sends it.

Screening comes first, because routes look at the caller; an emergency caller is judged by rules of his own (contract,
section 7). Used by `call`.
"""

from functools import partial
from typing import TYPE_CHECKING

from sbc.b2bua.caller import CallerRefused, screen, screen_emergency
from sbc.b2bua.commands import Alert, Command
from sbc.b2bua.identity import Parties
from sbc.b2bua.location import location_of
from sbc.policy.engine import Policy
from sbc.policy.model import Facts, Peer
from sbc.sip.message import Request

if TYPE_CHECKING:
    from sbc.b2bua.call import Call


def ask(call: "Call", now: float) -> tuple[Facts, CallerRefused | None]:
    """Policy's answer goes into the call, about the caller that he is taken for; why he is not taken for anybody."""
    policy, peer, said = call.context.policy, call.ingress.peer, call.parties
    facts, judged = facts_of(said, peer, policy)
    decision = call.decision = policy.decide(facts)
    if decision.emergency:
        judged = screen_emergency(said, peer, partial(policy.owns_for, peer.name)) if peer.kind == "pbx" else said
    call.context.trace.note(call.ref, now, decision)
    if isinstance(judged, CallerRefused):
        return facts, judged
    call.parties = judged
    if judged.screened:
        call.context.trace.note(call.ref, now, judged.screened)
    return facts, None


def identify(call: "Call") -> CallerRefused | None:
    """Only who the caller is taken for, where policy is not asked for a way: an INVITE takes a call over that is up."""
    policy, peer = call.context.policy, call.ingress.peer
    facts, judged = facts_of(call.parties, peer, policy)
    if isinstance(judged, CallerRefused):
        return judged
    call.parties, call.account.caller = judged, policy.read_caller(facts).best
    return None


def facts_of(said: Parties, peer: Peer, policy: Policy) -> tuple[Facts, Parties | CallerRefused]:
    """What policy is asked about this caller, and who he is taken for."""
    judged = screen(said, peer, partial(policy.owns_for, peer.name)) if peer.kind == "pbx" else said
    caller = said.caller if isinstance(judged, CallerRefused) else judged.caller
    return Facts(peer.name, said.called, caller), judged


def announce(call: "Call", invite: Request | None) -> list[Command]:
    """An emergency is said at once and aloud, because somebody may have to help."""
    if not call.decision.emergency:
        return [call.log("call.started")]
    call.account.emergency = True
    if invite is not None:
        call.location = location_of(invite)
    call.context.emergencies += 1
    said = call.log("call.emergency", level="warning")
    return [said, Alert("call.emergency", said.fields)]
