"""Session-ID on every message of a call where anybody uses it (RFC 7989 §7): put on as the message goes out.

Legs and calls build their messages without it, so that calls without it pay nothing. Used by the switch.
"""

from collections.abc import Hashable

from msgspec.structs import replace

from sbc.b2bua.context import Context
from sbc.sip.commands import Order, Respond, SendAck, SendRequest
from sbc.sip.message import Fields, Request


def stamped(order: Order, user: Hashable, context: Context) -> Order:
    """`user`: whose transaction it is, or was answered in."""
    if not isinstance(user, tuple) or len(user) != 3 or user[0] not in context.session_ids:
        return order
    ref, leg, _ = user
    ids, call = context.session_ids[ref], context.calls.get(ref)
    if call is None or not isinstance(leg, int) or _is_removed(call.legs[leg].peer.headers.removed):
        return order
    status = order.status if isinstance(order, Respond) else 0
    fields: Fields = () if status == 100 else ids.fields_for(leg, call.opposite(leg), status)
    if not fields:
        return order
    if isinstance(order, Respond):
        return replace(order, fields=(*order.fields, *fields))
    if isinstance(order, SendRequest | SendAck):
        asked = order.request
        kept = tuple([field for field in asked.fields if field[0] != "Session-ID"])
        return replace(order, request=Request(asked.method, asked.uri_text, (*kept, *fields), asked.body))
    return order


def _is_removed(names: tuple[str, ...]) -> bool:
    """By its peer's policy; a name may be the beginning of one, and a star."""
    return any("Session-ID".startswith(name[:-1]) if name.endswith("*") else name == "Session-ID" for name in names)
