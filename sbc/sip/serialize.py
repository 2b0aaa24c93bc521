"""Messages to octets: the only place that knows CRLF (RFC 3261 §7).

Field values come from parsed messages or from `build`; neither can hold CR or LF. Should one do so nevertheless, then
nothing is sent: an injected header is worse than a lost message.
"""

from sbc.sip.message import Fields, Request, Response


def serialize(message: Request | Response) -> bytes:
    """Content-Length is ours, whatever the fields say."""
    if isinstance(message, Request):
        start = f"{message.method} {message.uri_text} SIP/2.0\r\n"
    else:
        start = f"SIP/2.0 {message.status} {message.reason}\r\n"
    return _octets(start, 1, message.fields, message.body)


def serialize_request(method: str, uri_text: str, fields: Fields, body: bytes, via: str) -> bytes:
    """A request of ours; `via` is the value of the one Via that it goes out with."""
    return _octets(f"{method} {uri_text} SIP/2.0\r\nVia: {via}\r\n", 2, fields, body)


def _octets(start: str, start_lines: int, fields: Fields, body: bytes) -> bytes:
    lines = [f"{name}: {value}\r\n" for name, value in fields if name != "Content-Length"]
    head = f"{start}{''.join(lines)}Content-Length: {len(body)}\r\n\r\n"
    ends = start_lines + len(lines) + 2
    if head.count("\n") != ends or head.count("\r") != ends:
        raise ValueError("CR or LF within a line of a message")
    return head.encode("utf-8", "surrogateescape") + body
