"""Octets to messages (RFC 3261 §7, §25). Every bound is checked before the work that it bounds.

Raises ParseError and nothing else. What is checked here, at the door, are the start line, the header section's form,
the base headers (Via, From, To, Call-ID, CSeq) and those that route (Contact, Route, Record-Route, Max-Forwards); all
others are read by whoever needs them. Odd but legal input is accepted as RFC 4475 has it.
"""

import re
from typing import Final

from sbc.core import limits
from sbc.sip.errors import ParseError
from sbc.sip.headers.cseq import parse_cseq
from sbc.sip.headers.names import KNOWN, canonical_name
from sbc.sip.headers.via import Via, parse_via, salvage_via
from sbc.sip.message import Fields, Request, Response
from sbc.sip.method import KNOWN_METHODS
from sbc.sip.nameaddr import parse_name_addr
from sbc.sip.scan import has_stray_control, is_token, split_list
from sbc.sip.uri import parse_uri

__all__ = ["ParseError", "parse_message"]

_FOLD: Final = re.compile(r"\r\n[ \t]++")  # blanks before it are kept: a search for them too would not be linear
_VERSION: Final = re.compile(r"SIP/[0-9]{1,4}\.[0-9]{1,4}", re.IGNORECASE | re.ASCII)
_STATUS_LINE: Final = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.DOTALL | re.ASCII)
_CALL_ID: Final = re.compile(r"[!-~]++")

# Only once in a message; "the differing values" of a second one have fooled many (RFC 4475 §3.3.8, §3.3.9).
_SINGLE: Final = frozenset(
    ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type", "Expires", "Min-Expires")
)
_BASE: Final = frozenset(("From", "To", "Call-ID", "CSeq"))  # besides Via
# Octets that need no second look in a header section: everything but controls.
_PLAIN: Final = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100)) + b"\t\r\n"


def parse_message(data: bytes, *, stream: bool) -> Request | Response:
    """One whole message. On a datagram octets past Content-Length are dropped (§18.3); on a stream there are none."""
    if len(data) > limits.MESSAGE_OCTETS:
        raise ParseError("Message Too Large", status=513)
    if data[:1] in (b"\r", b"\n"):
        data = data.lstrip(b"\r\n")  # "implementations SHOULD ignore any CRLF appearing before the start-line", §7.5
    end = data.find(b"\r\n\r\n", 0, limits.HEADER_SECTION_OCTETS)
    head = data[:end] if end >= 0 else data[: limits.HEADER_SECTION_OCTETS].rstrip(b"\r\n")
    text = head.decode("utf-8", "surrogateescape")
    fault: ParseError | None = None
    if end < 0:
        too_long = len(data) >= limits.HEADER_SECTION_OCTETS
        fault = ParseError("Message Too Large", status=513) if too_long else ParseError("Header Section Not Ended")
    if "\r\n " in text or "\r\n\t" in text:
        if text[text.find("\r\n") + 2] in " \t":
            fault = fault or ParseError("Folded Start Line")
        text = _FOLD.sub(" ", text)
    lines = text.split("\r\n")
    if head.translate(None, _PLAIN) or text.count("\r") >= len(lines) or text.count("\n") >= len(lines):
        clean = [line for line in lines if not has_stray_control(line)]
        if len(clean) < len(lines):
            fault = fault or ParseError("Control Character In Header")
            lines = clean if clean[:1] == lines[:1] else lines[:1] + clean
    if lines[0][:4].upper() == "SIP/":
        return _response(lines, data[end + 4 :], fault, stream=stream)
    return _request(lines, data[end + 4 :], fault, stream=stream)


# --- requests ---------------------------------------------------------------------------------------------------------


def _request(lines: list[str], body: bytes, fault: ParseError | None, *, stream: bool) -> Request:
    parts = lines[0].split(" ")
    method = parts[0]
    if not is_token(method):
        raise ParseError("Bad Request Line")  # nobody to answer: this may be anything
    fields, bad_field = _fields(lines)
    try:
        if fault is not None:
            raise fault
        uri_text = _request_line(parts)
        if bad_field is not None:
            raise bad_field
        request = Request(method, uri_text, fields, _body(fields, body, stream=stream))
        _check_base(request)
        _check_request(request)
    except ParseError as error:
        error.partial = _partial(method, parts, fields)
        raise
    return request


def _request_line(parts: list[str]) -> str:
    """The Request-URI. Exactly two single blanks, no angle brackets, no headers in the URI (RFC 4475 §3.1.2)."""
    if len(parts) != 3 or not parts[1]:
        raise ParseError("Bad Request Line")
    if parts[2] != "SIP/2.0" and parts[2].upper() != "SIP/2.0":
        if _VERSION.fullmatch(parts[2]):
            raise ParseError("Version Not Supported", status=505)
        raise ParseError("Bad Request Line")
    uri = parse_uri(parts[1])
    if getattr(uri, "headers", ""):
        raise ParseError("Headers In Request-URI")
    return parts[1]


def _check_request(request: Request) -> None:
    if request.method != request.cseq.method:
        # An unknown method deserves to be told so first (RFC 4475 §3.1.2.18).
        if request.method not in KNOWN_METHODS:
            raise ParseError("Not Implemented", status=501)
        raise ParseError("CSeq Method Mismatch")
    request.max_forwards  # noqa: B018  checked by being read
    _check_routing(request)


def _partial(method: str, parts: list[str], fields: Fields) -> Request | None:
    """What an answer needs: at least where it goes. None where not even the topmost Via can be read."""
    if method == "ACK":
        return None  # never answered
    vias: list[Via] = []
    for value in [value for name, value in fields if name == "Via"][: limits.VIA_VALUES]:
        if len(vias) >= limits.VIA_VALUES:
            break
        for text in split_list(value)[: limits.VIA_VALUES]:
            try:
                vias.append(parse_via(text))
            except ParseError:
                via = salvage_via(text)
                if via is not None:
                    vias.append(via)
                elif not vias:
                    return None
    if not vias:
        return None
    # An answer repeats the Via; it repeats what we could read, never what we could not.
    kept = [("Via", str(via)) for via in vias[: limits.VIA_VALUES]]
    kept += [(name, value) for name, value in fields if name != "Via"]
    uri_text = parts[1] if len(parts) > 1 and not has_stray_control(parts[1]) else ""
    return Request(method, uri_text, tuple(kept))


# --- responses --------------------------------------------------------------------------------------------------------


def _response(lines: list[str], body: bytes, fault: ParseError | None, *, stream: bool) -> Response:
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise ParseError("Bad Status Line")
    if fault is not None:
        raise fault
    fields, bad_field = _fields(lines)
    if bad_field is not None:
        raise bad_field
    response = Response(int(match[1]), match[2] or "", fields, _body(fields, body, stream=stream))
    _check_base(response)
    if response.status < 300:  # others make no dialog; a refusal with a broken Contact is still a refusal
        _check_routing(response)
    return response


# --- both -------------------------------------------------------------------------------------------------------------


def _fields(lines: list[str]) -> tuple[Fields, ParseError | None]:
    """Every field that can be read, and the first fault."""
    fields: list[tuple[str, str]] = []
    fault: ParseError | None = None
    if len(lines) > limits.HEADER_FIELDS + 1:
        fault = ParseError("Too Many Headers", status=513)
        lines = lines[: limits.HEADER_FIELDS + 1]
    known = KNOWN.get
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        canonical = known(name)
        if canonical is None:
            try:
                canonical = canonical_name(name)
            except ParseError as error:
                fault = fault or error
                continue
        if not colon:
            fault = fault or ParseError("Header Without Colon")
            continue
        if len(value) > limits.HEADER_VALUE_OCTETS:
            fault = fault or ParseError("Header Too Long", status=513)
        fields.append((canonical, value.strip(" \t")))
    return tuple(fields), fault


def _check_base(message: Request | Response) -> None:
    seen: dict[str, str] = {}
    vias: list[str] = []
    for name, value in message.fields:
        if name == "Via":
            vias.append(value)
        elif name in seen:
            if name in _SINGLE:
                raise ParseError(f"Repeated {name}", header=name)
            continue
        seen[name] = value
    if not vias or not seen.keys() >= _BASE:
        missing = min((_BASE | {"Via"}) - seen.keys() - ({"Via"} if vias else set()))
        raise ParseError(f"Missing {missing}", header=missing)
    cache = message.cache
    seen["Via"] = vias[0]
    cache["first"] = seen  # of each name, for all who ask later
    if len(vias) + sum([via.count(",") for via in vias]) > limits.VIA_VALUES:
        raise ParseError("Too Many Via", status=513)
    # All of them, because an answer repeats them all.
    parsed = [parse_via(text) for via in vias for text in split_list(via)]
    cache["via"] = parsed[0]
    cache["from"] = parse_name_addr(seen["From"], "From")
    cache["to"] = parse_name_addr(seen["To"], "To")
    if _CALL_ID.fullmatch(seen["Call-ID"]) is None:
        raise ParseError("Malformed Call-ID", header="Call-ID")
    cache["cseq"] = parse_cseq(seen["CSeq"])


def _check_routing(message: Request | Response) -> None:
    """Headers that later requests are routed by must be readable now; later there is nobody to answer."""
    names = message.cache["first"]
    if "Contact" in names:
        message.contacts  # noqa: B018
    if "Record-Route" in names and len(message.record_routes) > limits.ROUTE_VALUES:
        raise ParseError("Too Many Record-Route", status=513)
    if "Route" in names and len(message.routes) > limits.ROUTE_VALUES:
        raise ParseError("Too Many Route", status=513)


def _body(fields: Fields, rest: bytes, *, stream: bool) -> bytes:
    length = next((value for name, value in fields if name == "Content-Length"), None)
    if length is None:
        if stream:
            raise ParseError("Missing Content-Length", header="Content-Length")  # mandatory on streams, §20.14
        return rest
    if not (length.isascii() and length.isdigit()) or len(length) > 10:
        raise ParseError("Bad Content-Length", header="Content-Length")
    octets = int(length)
    if stream and octets > limits.MESSAGE_OCTETS:
        raise ParseError("Message Too Large", status=513)
    if octets > len(rest):
        raise ParseError("Body Shorter Than Content-Length", header="Content-Length")
    return rest[:octets] if octets < len(rest) else rest
