"""Messages that follow from other messages by rule: responses, the ACK of a failure, CANCEL.

RFC 3261 §8.2.6 (responses), §17.1.1.3 (ACK), §9.1 (CANCEL), §18.2.1 and RFC 3581 §4 (Via stamped on receipt).
Who uses it: the transactions and the endpoint. Requests within a dialog are built by the dialog.
"""

from sbc.core.address import Address, Flow, Transport
from sbc.sip.message import Fields, Request, Response
from sbc.sip.serialize import serialize_request

# What a response repeats of its request, in this order (§8.2.6.2).
_ECHOED = ("From", "To", "Call-ID", "CSeq")


def echo_of(request: Request, source: Address) -> Fields:
    """The fields that every response to `request` repeats; the top Via is stamped with where the request came from."""
    fields: list[tuple[str, str]] = []
    for name, value in request.fields:
        if name == "Via":
            fields.append((name, value if fields else stamped_via(request, value, source)))
    for wanted in _ECHOED:
        found = request.header(wanted)
        if found is not None:
            fields.append((wanted, found))
    return tuple(fields)


def stamped_via(request: Request, text: str, source: Address) -> str:
    """The first Via field with `received` and `rport` added (§18.2.1, RFC 3581 §4); `text` may hold several values."""
    via = request.via
    wants_port = via.rport is not None
    # "If the host portion of the "sent-by" parameter contains a domain name, or if it contains an IP address that
    # differs from the packet source address, the server MUST add a "received" parameter", §18.2.1; with rport always.
    if not wants_port and via.host == source.host:
        return text
    first, comma, rest = _split_first(text)
    if via.received is None:
        first += f";received={source.host}"
    if wants_port and not via.rport:
        first = _fill_rport(first, source.port)
    return first + comma + rest


def with_to_tag(echo: Fields, tag: str) -> Fields:
    """`echo` with our tag on To, unless the request carried one (§8.2.6.2)."""
    return tuple(
        (name, f"{value};tag={tag}") if name == "To" and not _has_tag(value) else (name, value) for name, value in echo
    )


def reply_flow(request: Request, flow: Flow) -> Flow:
    """Where responses to `request` go (§18.2.2, RFC 3581 §4).

    Deviation: `maddr` is not followed, because a response that goes where a stranger says can be aimed at a third party.
    """
    if flow.transport is not Transport.UDP:
        return flow
    via = request.via
    if via.rport is not None:
        return flow
    port = via.port or 5060
    if port == flow.remote.port:
        return flow
    return Flow(flow.transport, flow.interface, flow.local, Address(flow.remote.host, port))


def ack_for_failure(invite: Request, via: str, response: Response) -> bytes:
    """The ACK that belongs to the INVITE transaction itself: same branch, To as in the response (§17.1.1.3)."""
    fields = [
        (name, value) for name, value in invite.fields if name in ("Route", "From", "Call-ID", "Max-Forwards", "User-Agent")
    ]
    fields.append(("To", response.header("To") or invite.header("To") or ""))
    fields.append(("CSeq", f"{invite.cseq.number} ACK"))
    return serialize_request("ACK", invite.uri_text, tuple(fields), b"", via)


def cancel_for(invite: Request, *, reason: str | None = None) -> Request:
    """CANCEL of an INVITE that we sent; its Via is that of the INVITE and is put on by the transaction layer (§9.1)."""
    fields = [
        (name, value)
        for name, value in invite.fields
        if name in ("Route", "From", "To", "Call-ID", "Max-Forwards", "User-Agent")
    ]
    fields.append(("CSeq", f"{invite.cseq.number} CANCEL"))
    if reason is not None:
        fields.append(("Reason", reason))
    return Request("CANCEL", invite.uri_text, tuple(fields))


def _split_first(text: str) -> tuple[str, str, str]:
    if '"' not in text:
        return text.partition(",")
    quoted = False
    for at, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            return text[:at], ",", text[at + 1 :]
    return text, "", ""


def _fill_rport(via: str, port: int) -> str:
    lowered = via.lower()
    at = lowered.find("rport")
    while at >= 0:
        before = lowered[:at].rstrip()
        after = via[at + 5 :].lstrip()
        if before.endswith(";") and (not after or after[0] in ";="):
            value = after[1:].lstrip() if after.startswith("=") else after
            tail = value[value.find(";") :] if ";" in value else ""
            return f"{via[:at]}rport={port}{tail}"
        at = lowered.find("rport", at + 5)
    return via


def _has_tag(value: str) -> bool:
    tail = value.rpartition(">")[2] if ">" in value else value
    return any(part.strip().lower().startswith("tag") and "=" in part for part in tail.split(";")[1:])
