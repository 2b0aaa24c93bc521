"""Whose message it is: the call and leg of a dialog, the peer that was asked, the owner of a transaction.

By ids, never by the source address alone (RFC 3261 §12, §17). It reads the tables of the switch, which uses it, and
changes nothing.
"""

from collections.abc import Hashable

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.context import Context
from sbc.policy.model import Peer
from sbc.sip.commands import ResendResponse, Respond
from sbc.sip.message import Request
from sbc.sip.transaction.layer import TransactionLayer


def dialog_of(request: Request, peer: Peer | None, context: Context) -> tuple[str, int] | None:
    """The call and the leg, by dialog id (RFC 3261 §12), never by source address.

    `peer`: who speaks, and can do so only in its own dialogs; None: that does not matter.
    """
    found = context.dialogs.get(request.to.tag or "")
    if found is None:
        return None
    leg = context.calls[found[0]].legs[found[1]]
    if not leg.has_dialog(request.call_id, request.to.tag or "", request.from_.tag or ""):
        return None
    return found if peer is None or context.policy.may_be(peer, leg.peer) else None


def asked(user: Hashable, context: Context, beside: Beside) -> str:
    """The peer that a request of ours went to: it is who answers, also where several share a source."""
    if isinstance(user, tuple) and len(user) == 3:
        call = context.calls.get(user[0])
        if call is not None:
            return call.legs[user[1]].peer.name
    match context.moves.user_of(user):
        case ("register" | "left", str(name), int()):
            return name
        case ("beside", str(id_), int(n)):
            peer = beside.asked(id_, n)
            return "" if peer is None else peer.name
        case (str(ref), int(leg), int()) if ref in context.calls:
            return context.calls[ref].legs[leg].peer.name
    return ""


def is_of_probe(user: Hashable) -> bool:
    """Health reads the answers to its own questions itself."""
    return isinstance(user, tuple) and len(user) == 3 and user[0] == "health"


def user_of(out: object, layer: TransactionLayer) -> Hashable:
    """Whose transaction an order or a report is about."""
    if isinstance(out, Respond | ResendResponse):
        return layer.user_of(out.key)
    user: Hashable = getattr(out, "user", None)
    return user[0] if isinstance(user, tuple) and isinstance(user[0], tuple) else user  # the BYE of an unwanted 2xx


def ref_of(user: Hashable) -> str:
    """The call of a user; "" where it is no call's."""
    return user[0] if isinstance(user, tuple) and isinstance(user[0], str) else ""
