"""Messages for unit tests, a line each. What a test does not name has a plain value; what it names it chooses.

request("INVITE", to="sip:+441632960001@192.0.2.1", sdp=True)
"""

from typing import Final

from sbc.core.address import Address, Flow, Transport
from sbc.sdp import describe, serialize_sdp
from sbc.sip.message import Fields, Request, Response
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from sbc.sip.status import reason_phrase

HERE: Final = Address("192.0.2.1", 5060)
THERE: Final = Address("192.0.2.9", 5060)
FLOW: Final = Flow(Transport.UDP, "inside", HERE, THERE)


def request(
    method: str = "INVITE",
    *,
    to: str = "sip:+441632960001@192.0.2.1",
    uri: str | None = None,
    sender: str = "sip:1000@192.0.2.9",
    from_tag: str = "from-1",
    to_tag: str | None = None,
    call_id: str = "call-1",
    cseq: int = 1,
    branch: str = "z9hG4bKtest1",
    source: Address = THERE,
    sdp: bool = False,
    contact: str | None = None,
    fields: Fields = (),
    body: bytes = b"",
) -> Request:
    """A request as it is after the parser has seen it."""
    base: Fields = (
        ("Via", f"SIP/2.0/UDP {source};branch={branch};rport"),
        ("Max-Forwards", "70"),
        ("From", f"<{sender}>;tag={from_tag}"),
        ("To", f"<{to}>" + (f";tag={to_tag}" if to_tag else "")),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
    )
    if method == "INVITE":
        base = (*base, ("Contact", f"<{contact or f'sip:{source}'}>"))
    if sdp:
        body = sdp_of(source.host)
        base = (*base, ("Content-Type", "application/sdp"))
    message = parse_message(serialize(Request(method, uri or to, base + fields, body)), stream=False)
    if not isinstance(message, Request):
        raise TypeError("a response came out of a request")
    return message


def response_to(
    request: Request,
    status: int,
    *,
    to_tag: str = "to-1",
    contact: str | None = None,
    fields: Fields = (),
    body: bytes = b"",
) -> Response:
    """A response as the far side would send it; a 2xx to an INVITE gets a Contact."""
    echoed = [(name, value) for name, value in request.fields if name in ("Via", "From", "Call-ID", "CSeq")]
    to = request.header("To") or ""
    if status > 100 and request.to.tag is None:
        to = f"{to};tag={to_tag}"
    extra: Fields = ()
    if contact or (request.method == "INVITE" and 200 <= status < 300):
        extra = (("Contact", f"<{contact or f'sip:{THERE}'}>"),)
    if body:
        extra = (*extra, ("Content-Type", "application/sdp"))
    message = Response(status, reason_phrase(status), (*echoed, ("To", to), *extra, *fields), body)
    parsed = parse_message(serialize(message), stream=False)
    if not isinstance(parsed, Response):
        raise TypeError("a request came out of a response")
    return parsed


def sdp_of(host: str, port: int = 4000) -> bytes:
    return serialize_sdp(describe(host, port))
