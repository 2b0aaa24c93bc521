"""Refer-To (RFC 3515 §2.1), Replaces (RFC 3891 §6.1), Referred-By (RFC 3892 §3): who is to be called, in whose place,
and who wants it.

Read leniently: None for what cannot be read. Nothing is decided here: which of the headers that a Refer-To asks for are
honoured, its reader knows (RFC 3261 §19.1.5). Who uses it: `b2bua.transfer`, `b2bua.replaces`.
"""

import re
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct
from msgspec.structs import replace

from sbc.core.limits import REFER_HEADERS
from sbc.sip.errors import ParseError
from sbc.sip.headers.names import canonical_name
from sbc.sip.message import Fields
from sbc.sip.nameaddr import NameAddr, parse_name_addr
from sbc.sip.params import has_param, param, params_text, parse_params
from sbc.sip.scan import is_token, quoted, unquoted
from sbc.sip.uri import SipUri, TelUri

# callid = word [ "@" word ], RFC 3261 §25.1
_WORD: Final = r"[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}]++"
_CALL_ID: Final = re.compile(rf"{_WORD}(?:@{_WORD})?", re.ASCII)
# RFC 3892 §3: sip-clean-msg-id, without its quotes
_CID: Final = re.compile(r"[A-Za-z0-9\-!%*_+'`~.]++@[A-Za-z0-9\-!%*_+'`~.:\[\]]++", re.ASCII)
# What a header value may not hold, and what escapes in a URI must not bring in.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# unreserved; of hnv-unreserved nothing, because some readers take "?" and "+" for more than they are
_SAFE: Final = "-_.!~*'()"


class Replaces(Struct, frozen=True):
    """The dialog whose place a call takes, as its receiver knows it: `to_tag` is the receiver's own, `from_tag` that of
    its peer (RFC 3891 §3). "A tag of zero matches both tags of zero and null" (§6.1)."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    def __str__(self) -> str:
        early_only = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{early_only}"

    @property
    def escaped(self) -> str:
        """As the value of a header in a URI (RFC 3261 §19.1.1)."""
        return _escaped(str(self))


class ReferTo(Struct, frozen=True):
    """Whom the receiver is to call. `uri`: without its headers and `method`, so that it can be a Request-URI.

    `headers`: what the URI asks for besides Replaces, names canonical, values unescaped and without control characters.
    """

    uri: SipUri | TelUri
    method: str = "INVITE"
    replaces: Replaces | None = None
    headers: Fields = ()

    def __str__(self) -> str:
        if isinstance(self.uri, TelUri):
            return f"<{self.uri}>"
        method = "" if self.method == "INVITE" else f";method={_escaped(self.method)}"
        parts = [] if self.replaces is None else [f"Replaces={self.replaces.escaped}"]
        parts += [f"{_escaped(name)}={_escaped(value)}" for name, value in self.headers]
        return f"<{self.uri}{method}{'?' if parts else ''}{'&'.join(parts)}>"


class ReferredBy(Struct, frozen=True):
    """Who asked for the call. `cid`: of the body part that proves it, without quotes or brackets."""

    uri: SipUri | TelUri
    display: str = ""
    cid: str | None = None

    def __str__(self) -> str:
        display = f"{quoted(self.display)} " if self.display else ""
        cid = () if self.cid is None else (("cid", f'"{self.cid}"'),)
        return f"{display}<{self.uri}>{params_text(cid)}"


def parse_replaces(text: str) -> Replaces | None:
    """ "A Replaces header field MUST contain exactly one to-tag and exactly one from-tag", RFC 3891 §6.1."""
    call_id, _, rest = text.partition(";")
    call_id = call_id.strip(" \t")
    if _CALL_ID.fullmatch(call_id) is None:
        return None
    try:
        params = parse_params(rest, "Replaces")
    except ParseError:
        return None
    to_tag, from_tag = param(params, "to-tag"), param(params, "from-tag")
    if to_tag is None or from_tag is None or not (is_token(to_tag) and is_token(from_tag)):
        return None
    return Replaces(call_id, to_tag, from_tag, has_param(params, "early-only"))


def parse_refer_to(text: str) -> ReferTo | None:
    """None also for URIs that are neither SIP nor tel, for a Replaces that cannot be read or comes twice, and for
    headers that could end a line: none of these can be called as it is meant.

    Interop: telephones forget the brackets around a URI with headers (RFC 3515 §2.1 wants them).
    """
    address = _address(text)
    if address is None and "<" not in text:
        address = _address(f"<{text}>")
    if address is None:
        return None
    uri = address.uri
    if isinstance(uri, TelUri):
        return ReferTo(uri)
    if not isinstance(uri, SipUri):
        return None
    headers = _headers(uri.headers)
    method = unquote(param(uri.params, "method") or "INVITE")
    if headers is None or not is_token(method):
        return None
    found = [value for name, value in headers if name == "Replaces"]
    replaces = parse_replaces(found[0]) if len(found) == 1 else None
    if found and replaces is None:
        return None
    others = tuple([header for header in headers if header[0] != "Replaces"])
    params = tuple([item for item in uri.params if item[0] != "method"])
    return ReferTo(replace(uri, params=params, headers=""), method, replaces, others)


def parse_referred_by(text: str) -> ReferredBy | None:
    """The headers of its URI are left out, and so is a `cid` that cannot be read."""
    address = _address(text)
    if address is None or not isinstance(address.uri, SipUri | TelUri):
        return None
    uri = address.uri
    if isinstance(uri, SipUri) and uri.headers:
        uri = replace(uri, headers="")
    cid = unquoted(param(address.params, "cid") or "")
    return ReferredBy(uri, address.display, cid if _CID.fullmatch(cid) is not None else None)


def _address(text: str) -> NameAddr | None:
    try:
        return parse_name_addr(text)
    except ParseError:
        return None


def _headers(text: str) -> Fields | None:
    """None where one of them cannot be a header, or where there are too many.

    What has no value is left out; RFC 3515 §2.1 itself has an example of such.
    """
    if not text:
        return ()
    parts = text.split("&", REFER_HEADERS)
    if len(parts) > REFER_HEADERS:
        return None
    headers: list[tuple[str, str]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        value = unquote(value, errors="surrogateescape").strip(" \t")
        if not equals:
            continue
        if _CONTROL.search(value) is not None:
            return None
        try:
            headers.append((canonical_name(unquote(name)), value))
        except ParseError:
            return None
    return tuple(headers)


def _escaped(text: str) -> str:
    return quote(text, safe=_SAFE, errors="surrogateescape")
