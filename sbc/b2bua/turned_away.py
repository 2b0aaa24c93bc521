"""Calls that are refused before they are one: every call of a configured peer leaves its record (contract, section 5).

Used by the switch, for what its checks, a drain or a full table refuse, and for a call that could not even be made.
"""

from typing import Final

from sbc.b2bua.account import Account, Ending
from sbc.b2bua.commands import Command, Log, WriteCdr
from sbc.b2bua.context import Context
from sbc.b2bua.identity import parties_of
from sbc.core.cause import Cause, q850_of_status
from sbc.policy.model import Peer
from sbc.sip.checks import Refusal
from sbc.sip.commands import Adopt, Order, Respond
from sbc.sip.transaction.outputs import RequestReceived
from sbc.trace.masking import shown_error

_SHOWN: Final = 80  # characters of what a caller requires


def turn_away(
    out: RequestReceived,
    peer: Peer,
    cause: Cause,
    refusal: Refusal,
    data: bytes,
    context: Context,
    now: float,
    *,
    why: str = "",
) -> "list[Order | Command]":
    """Answer, record, log line and ladder. `data`: the INVITE as it came; `why`: what cause and status do not say."""
    ref = context.ids.ref()
    parties = parties_of(out.request, peer)
    account = Account(ref, peer.name, out.request.call_id, now)
    account.caller, account.called = parties.caller, parties.called
    context.trace.message(ref, now, "ingress", False, data, out.flow)
    context.trace.begins(ref, 0, peer.name)
    why = why or _unknown_to_us(refusal)
    context.trace.note(ref, now, f"turned away: {cause} ({refusal.status}){why and ': ' + why}")
    context.trace.end(ref, failed=True, at=now)
    context.outcomes[peer.name, "", cause] += 1
    ending = Ending(cause, refusal.status, q850_of_status(refusal.status), "sbc")
    fields = (("ref", ref), ("ingress", peer.name), ("caller", parties.caller), ("called", parties.called))
    ended = (("cause", str(cause)), ("status", refusal.status), ("by", "sbc"), ("why", why or None))
    said = Log("info", "call.ended", (*fields, *ended))
    return [
        said,
        Adopt(out.key, (ref, 0, 0)),
        Respond(out.key, refusal.status, fields=refusal.fields),
        WriteCdr(account.record(ending, now, context.wall)),
    ]


def _unknown_to_us(refusal: Refusal) -> str:
    """The extensions of a 420. The caller chose these characters."""
    unsupported = next((value for name, value in refusal.fields if name == "Unsupported"), "")
    return unsupported and f"it requires {unsupported[:_SHOWN]}"


def stillborn(
    ref: str, out: RequestReceived, peer: Peer, error: Exception, context: Context, now: float
) -> "list[Order | Command]":
    """A call that could not even be made has its answer and its record all the same."""
    context.trace.note(ref, now, f"internal error: {shown_error(error)}")
    context.trace.end(ref, failed=True, at=now)
    ending = Ending(Cause.INTERNAL, Cause.INTERNAL.status, Cause.INTERNAL.q850, "sbc")
    record = Account(ref, peer.name, out.request.call_id, now).record(ending, now, context.wall)
    return [Respond(out.key, ending.status), WriteCdr(record)]
