"""Messages that follow from other messages by rule: responses, the ACK of a failure, CANCEL.

RFC 3261 §8.2.6 (responses), §17.1.1.3 (ACK), §9.1 (CANCEL), §18.2.1 and RFC 3581 §4 (Via stamped on receipt).
Who uses it: the transactions and the endpoint. Requests within a dialog are built by the dialog.
"""

import re
from typing import Final

from msgspec.structs import replace

from sbc.core.address import Address, Flow, Transport
from sbc.sip.errors import ParseError
from sbc.sip.message import Fields, Request, Response
from sbc.sip.scan import split_list
from sbc.sip.serialize import serialize_request

# What a response repeats of its request besides Via (§8.2.6.2). Timestamp is owed to a 100 alone (§8.2.6.1) and allowed
# in all responses (§20, table 3); Record-Route is for those that make a dialog, and put in by whoever makes it.
_ECHOED: Final = frozenset(("From", "To", "Call-ID", "CSeq", "Timestamp"))
_RPORT: Final = re.compile(r";[ \t]*+rport(?=[ \t]*+(?:;|\Z))", re.IGNORECASE)


def echo_of(request: Request, source: Address) -> Fields:
    """The fields that every response to `request` repeats; the top Via is stamped with where the request came from.

    Of a field that may be there only once the first is taken: the request may be a bad one that had two.
    """
    fields: list[tuple[str, str]] = []
    seen: set[str] = set()
    for field in request.fields:
        name = field[0]
        if name == "Via":
            fields.append(field if "Via" in seen else ("Via", stamped_via(request, field[1], source)))
            seen.add(name)
        elif name in _ECHOED and name not in seen:
            fields.append(field)
            seen.add(name)
    return tuple(fields)


def stamped_via(request: Request, text: str, source: Address) -> str:
    """The first Via field with `received` and `rport` added (§18.2.1, RFC 3581 §4); `text` may hold several values."""
    via = request.via
    wants_port = via.rport is not None
    # "If the host portion of the "sent-by" parameter contains a domain name, or if it contains an IP address that
    # differs from the packet source address, the server MUST add a "received" parameter", §18.2.1; with rport always.
    is_new = "received" not in text and "received" not in text.lower()  # also one without a value would be a second
    if not wants_port and via.host == source.host and is_new:
        return text
    if "," not in text and '"' not in text and is_new:
        stamped = f"{text};received={source.host}"
        return _RPORT.sub(f";rport={source.port}", stamped, count=1) if wants_port else stamped
    # Rare: several values in one field, quotes, or a `received` that is not ours and would mislead. Printed anew.
    params = [(name, value) for name, value in via.params if name not in ("received", "rport")]
    params.append(("received", source.host))
    if wants_port:
        params.append(("rport", via.rport or str(source.port)))
    return ", ".join([str(replace(via, params=tuple(params))), *split_list(text)[1:]])


def with_to_tag(request: Request, echo: Fields, tag: str) -> Fields:
    """`echo` of `request` with our tag on To, unless the request carried one (§8.2.6.2)."""
    if _has_to_tag(request):
        return echo
    return tuple([(name, f"{value};tag={tag}") if name == "To" else (name, value) for name, value in echo])


def _has_to_tag(request: Request) -> bool:
    try:
        return request.to.tag is not None
    except ParseError:
        return True  # a To that cannot be read is given back as it came


def reply_flow(request: Request, flow: Flow) -> Flow:
    """Where responses to `request` go (§18.2.2, RFC 3581 §4)."""
    # Deviation: `maddr` of the Via is not followed (§18.2.2): it would let a peer aim our responses at a third party.
    if flow.transport is not Transport.UDP:
        return flow
    via = request.via
    if via.rport is not None:
        return flow
    port = via.port or 5060
    if port == flow.remote.port:
        return flow
    return Flow(flow.transport, flow.interface, flow.local, Address(flow.remote.host, port))


def fallback_flow(request: Request, flow: Flow) -> Flow | None:
    """Where responses go when the connection that brought the request is gone; None where there is no other way.

    "the server SHOULD open a connection to the IP address in the "received" parameter, if present, using the port in
    the "sent-by" value, or the default port for that transport, if no port is specified", §18.2.2.
    """
    if not flow.connection:
        return None
    port = request.via.port or flow.transport.default_port
    return Flow(flow.transport, flow.interface, flow.local, Address(flow.remote.host, port))


def ack_for_failure(invite: Request, via: str, response: Response) -> bytes:
    """The ACK that belongs to the INVITE transaction itself: same branch, To as in the response (§17.1.1.3)."""
    fields = [
        (name, value)
        for name, value in invite.fields
        if name in ("Route", "From", "Call-ID", "Max-Forwards", "User-Agent", "Session-ID")
    ]
    fields.append(("To", response.header("To") or invite.header("To") or ""))
    fields.append(("CSeq", f"{invite.cseq.number} ACK"))
    return serialize_request("ACK", invite.uri_text, tuple(fields), b"", via)


def cancel_for(invite: Request, *, reason: str | None = None) -> Request:
    """CANCEL of an INVITE that we sent; its Via is that of the INVITE and is put on by the transaction layer (§9.1).

    "The Session-ID header field value included in a CANCEL request MUST be identical", RFC 7989 §7.
    """
    fields = [
        (name, value)
        for name, value in invite.fields
        if name in ("Route", "From", "To", "Call-ID", "Max-Forwards", "User-Agent", "Session-ID")
    ]
    fields.append(("CSeq", f"{invite.cseq.number} CANCEL"))
    if reason is not None:
        fields.append(("Reason", reason))
    return Request("CANCEL", invite.uri_text, tuple(fields))
