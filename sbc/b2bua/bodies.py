"""Bodies that cross in INFO, MESSAGE, NOTIFY, PUBLISH and their responses, each written anew for its receiver.

Listed types only: a body that nobody here can read could name anything. Binary ones and those that carry others' SIP or
addresses by design (application/isup, message/sip, application/vq-rtcpxr, text/html, multipart) do not cross. Session
descriptions are never here: they go through `media`. Every reader is linear, and bounded by the message's own limits.
What describes a body is made here too: Content-Type, Content-Disposition (RFC 3261 §20.11), Content-Language.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from sbc.b2bua.context import Context
from sbc.b2bua.crossing import crossing_status
from sbc.b2bua.digits import PLAIN, RELAY, relayed
from sbc.b2bua.documents import document_across
from sbc.b2bua.referral import sipfrag
from sbc.b2bua.revealing import names_in, names_of
from sbc.core.address import bracketed
from sbc.policy.model import Peer
from sbc.sip.errors import ParseError
from sbc.sip.message import Fields, Request, Response
from sbc.sip.params import param, parse_params
from sbc.sip.scan import is_token, unquoted
from sbc.sip.uri import SipUri, parse_uri

Message = Request | Response
Across = Callable[[Message, Iterable[str], str], bytes | None]
"""A body as the receiver gets it, given the names of the sending side and the host by which the receiver knows us."""

NOTHING: Final[tuple[Fields, bytes]] = ((), b"")

_DISPOSITION: Final = re.compile(
    r"[ \t]*(render|info-package|signal)[ \t]*(?:;[ \t]*handling=(optional|required))?", re.IGNORECASE
)
_LANGUAGES: Final = re.compile(
    r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,4}(?:[ \t]*,[ \t]*[A-Za-z][A-Za-z0-9\-]{0,40}){0,9}"
)
_STATUS_LINE: Final = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2})(?![0-9])", re.IGNORECASE)
_WAITING: Final = re.compile(r"(messages-waiting)[ \t]*:[ \t]*(yes|no)[ \t]*", re.IGNORECASE)
_ACCOUNT: Final = re.compile(r"message-account[ \t]*:[ \t]*([^\s<>\"]{1,2048})[ \t]*", re.IGNORECASE)
_COUNTS: Final = re.compile(
    r"([A-Za-z]{1,20}-Message)[ \t]*:[ \t]*(\d{1,10})[ \t]*/[ \t]*(\d{1,10})"
    r"(?:[ \t]*\([ \t]*(\d{1,10})[ \t]*/[ \t]*(\d{1,10})[ \t]*\))?[ \t]*",
    re.IGNORECASE | re.ASCII,
)
_SUMMARY_LINES: Final = 32
_ACCEPTS: Final = 32  # types of one Accept that are looked at
_PICTURE_UPDATE: Final = (
    b'<?xml version="1.0" encoding="utf-8"?>\r\n'
    b"<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>\r\n"
)


def body_of(message: Message, from_: Peer, to: Peer, context: Context) -> tuple[Fields, bytes]:
    """The body of `from_`'s message as `to` gets it, after what describes it; `NOTHING` where it does not cross."""
    if not message.body:
        return NOTHING
    return body_across(message, from_, context.hosts[to.interface])


def body_across(message: Message, from_: Peer, our_host: str) -> tuple[Fields, bytes]:
    """`our_host`: by which the receiver knows us, without a port."""
    across = _across(message)
    if across is None:
        return NOTHING
    body = across(message, names_of(from_) | names_in(message), our_host)
    return NOTHING if body is None else (_description(message), body)


def may_cross(message: Message) -> bool:
    """Whether the body is of a type that crosses; else the request deserves 415 with `ACCEPTED`. One that is of such a
    type may still be unreadable: then `body_of` gives `NOTHING`, and 400 is the answer."""
    return not message.body or _across(message) is not None


def _across(message: Message) -> Across | None:
    encoding = (message.header("Content-Encoding") or "identity").strip().lower()
    return None if encoding != "identity" else _TYPES.get(message.content_type or "")


def _description(message: Message) -> Fields:
    kind = message.content_type or ""
    fields = [("Content-Type", _charset(message, kind) if kind == "text/plain" else _PRINTED.get(kind, kind))]
    disposition = _DISPOSITION.fullmatch(message.header("Content-Disposition") or "")
    if disposition is not None:
        handling = f";handling={disposition[2].lower()}" if disposition[2] else ""
        word = disposition[1].lower()
        fields.append(("Content-Disposition", ("Info-Package" if word == "info-package" else word) + handling))
    language = (message.header("Content-Language") or "").strip()
    if _LANGUAGES.fullmatch(language) is not None:
        fields.append(("Content-Language", language))
    return tuple(fields)


def _charset(message: Message, kind: str) -> str:
    try:
        params = parse_params((message.header("Content-Type") or "").partition(";")[2], "Content-Type")
    except ParseError:
        return kind
    charset = unquoted(param(params, "charset") or "")
    return f"{kind};charset={charset}" if is_token(charset) and len(charset) <= 40 else kind


def _as_it_is(message: Message, _names: Iterable[str], _our_host: str) -> bytes:
    """What people write to people is theirs: no machine puts its address there, and a number or a name that somebody
    sends on purpose must arrive as it was written."""
    return message.body


def _document(message: Message, names: Iterable[str], our_host: str) -> bytes | None:
    return document_across(message.body, names, our_host)


def _digit(message: Message, _names: Iterable[str], _our_host: str) -> bytes | None:
    return relayed(message) if isinstance(message, Request) else None


def _fragment(message: Message, _names: Iterable[str], _our_host: str) -> bytes | None:
    """The status alone, in our words: header fields of a fragment are those of another side's message."""
    match = _STATUS_LINE.match(message.body)
    if match is None:
        return None
    status = int(match[1])
    return sipfrag(crossing_status(status) if status >= 300 else status)


def _picture_update(message: Message, _names: Iterable[str], _our_host: str) -> bytes | None:
    """RFC 5168: the one thing that is asked for. Errors of a decoder say nothing that anybody acts upon."""
    return _PICTURE_UPDATE if b"picture_fast_update" in message.body else None


def _summary(message: Message, _names: Iterable[str], our_host: str) -> bytes | None:
    """RFC 3842 §5.2. What follows the counts are header fields of single messages, of people on the other side."""
    lines: list[str] = []
    for octets in message.body.splitlines()[:_SUMMARY_LINES]:
        line = octets.decode("ascii", "replace")
        if not line.strip():
            break
        printed = _summary_line(line, our_host)
        if printed:
            lines.append(printed)
    if not lines or not lines[0].startswith("Messages-Waiting"):
        return None
    return "".join([f"{line}\r\n" for line in lines]).encode()


def _summary_line(line: str, our_host: str) -> str:
    if (waiting := _WAITING.fullmatch(line)) is not None:
        return f"Messages-Waiting: {waiting[2].lower()}"
    if (counts := _COUNTS.fullmatch(line)) is not None:
        urgent = f" ({counts[4]}/{counts[5]})" if counts[4] is not None else ""
        return f"{counts[1]}: {counts[2]}/{counts[3]}{urgent}"
    account = _ACCOUNT.fullmatch(line)
    return "" if account is None else _account(account[1], our_host)


def _account(text: str, our_host: str) -> str:
    """The mailbox by its user; where its host was, the receiver finds us."""
    try:
        uri = parse_uri(text)
    except ParseError:
        return ""
    if not isinstance(uri, SipUri) or uri.user is None:
        return ""
    user = uri.user.partition(";")[0]
    return f"Message-Account: {uri.scheme}:{user}@{bracketed(our_host)}"


_PRINTED: Final = {"message/sipfrag": "message/sipfrag;version=2.0"}
_TYPES: Final[dict[str, Across]] = {
    "text/plain": _as_it_is,
    RELAY: _digit,
    PLAIN: _digit,
    "application/simple-message-summary": _summary,
    "message/sipfrag": _fragment,
    "application/media_control+xml": _picture_update,
    "application/pidf+xml": _document,
    "application/dialog-info+xml": _document,
    "application/reginfo+xml": _document,
    "application/conference-info+xml": _document,
    "application/watcherinfo+xml": _document,
    "application/im-iscomposing+xml": _document,
}


def accepted_of(response: Response) -> Fields:
    """For a 415 that crosses: what its sender takes, of the types that cross."""
    said = [value.partition(";")[0].strip().lower() for value in response.values("Accept")[:_ACCEPTS]]
    kinds = ["application/sdp", *[kind for kind in _TYPES if kind in said]]
    return (("Accept", ", ".join(kinds)),)


ACCEPTED: Final[Fields] = (("Accept", ", ".join(["application/sdp", *_TYPES])),)
"""For a 415, and for the answer to OPTIONS."""
