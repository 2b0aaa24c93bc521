"""Who calls, and who sent the call on: P-Asserted-Identity and P-Preferred-Identity (RFC 3325 §9), Privacy (RFC 3323
§4.2), Diversion (RFC 5806 §4), History-Info (RFC 7044 §5).

Read leniently: what cannot be read is left out, value by value, and nothing raises. What is printed is strict. Nothing
is decided here; `b2bua.identity` reads and writes calls with it, `b2bua.caller` judges.
"""

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from msgspec import Struct

from sbc.core.limits import DIVERSION_VALUES, HISTORY_VALUES, PRIVACY_VALUES
from sbc.sip.errors import ParseError
from sbc.sip.headers.reason import parse_reason
from sbc.sip.nameaddr import NameAddr, parse_name_addr
from sbc.sip.params import param
from sbc.sip.scan import is_token, split_list, unquoted
from sbc.sip.uri import SipUri, TelUri, Uri

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sbc.sip.message import Request, Response

# In the order in which they are printed: "critical" follows what it is about (RFC 3323 §4.2).
PRIVACY_TOKENS: Final = ("none", "header", "session", "user", "id", "history", "critical")
DIVERSION_REASONS: Final = frozenset(
    (
        "unknown", "user-busy", "no-answer", "unavailable", "unconditional", "time-of-day", "do-not-disturb",
        "deflection", "follow-me", "out-of-service", "away",
    )
)  # fmt: skip
LARGEST_COUNTER: Final = 99  # "diversion-counter = "counter" "=" 1*2DIGIT", RFC 5806 §4

_NAMES: Final = frozenset(("P-Asserted-Identity", "P-Preferred-Identity", "Privacy", "Diversion", "History-Info"))
_DIVERSION_PRIVACY: Final = frozenset(("full", "name", "uri", "off"))
_DIVERSION_SCREEN: Final = frozenset(("yes", "no"))
# RFC 7044 §5: index-val = number *("." number). As deep and as long as any honest history is.
_INDEX: Final = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,30}", re.ASCII)
_TARGETS: Final = ("rc", "mp", "np")
_REASON_PROTOCOLS: Final = frozenset(("SIP", "Q.850"))


class Diversion(Struct, frozen=True):
    """One number that sent the call on. `counter` None: not said, which counts as 1 (RFC 5806 §9.2.4).

    Only values that RFC 5806 names are kept: a private reason is read as "unknown", others as absent.
    """

    uri: Uri
    reason: str = ""
    counter: int | None = None
    limit: int | None = None
    privacy: str = ""
    screen: str = ""

    def __str__(self) -> str:
        return self.printed(str(self.uri))

    def printed(self, uri: str) -> str:
        """With another URI in place of its own."""
        text = f"<{uri}>"
        if self.reason:
            text += f";reason={self.reason}"
        if self.counter is not None:
            text += f";counter={self.counter}"
        if self.limit is not None:
            text += f";limit={self.limit}"
        if self.privacy:
            text += f";privacy={self.privacy}"
        return f"{text};screen={self.screen}" if self.screen else text

    @property
    def number(self) -> str:
        return number_of(self.uri)

    @property
    def is_private(self) -> bool:
        return self.privacy in ("full", "uri")


class HistoryEntry(Struct, frozen=True):
    """One target that the request had. `uri` is without headers.

    `cause`: the RFC 4458 parameter of the URI, why the call was diverted to it. `reason`: (protocol, cause) of a Reason
    among the URI's headers, how that target answered. `target`: ("rc" | "mp" | "np", index). `is_private`: the URI has
    `Privacy=history` among its headers.
    """

    uri: Uri
    index: str
    target: tuple[str, str] | None = None
    cause: int | None = None
    reason: tuple[str, int] | None = None
    is_private: bool = False

    def __str__(self) -> str:
        return self.printed(str(self.uri))

    def printed(self, uri: str) -> str:
        """With another URI, which has no headers, in place of its own."""
        cause = "" if self.cause is None else f";cause={self.cause}"
        headers = []
        if self.is_private:
            headers.append("Privacy=history")
        if self.reason is not None:
            headers.append("Reason=" + quote(f"{self.reason[0]};cause={self.reason[1]}", safe=""))
        header_text = f"?{'&'.join(headers)}" if headers else ""
        target = "" if self.target is None else f";{self.target[0]}={self.target[1]}"
        return f"<{uri}{cause}{header_text}>;index={self.index}{target}"

    @property
    def number(self) -> str:
        return number_of(self.uri)


class Identity(Struct, frozen=True):
    """All of it, of one request. `diversions`: the latest first; `history`: the first first."""

    asserted: tuple[NameAddr, ...] = ()
    preferred: tuple[NameAddr, ...] = ()
    privacy: frozenset[str] = frozenset()
    diversions: tuple[Diversion, ...] = ()
    history: tuple[HistoryEntry, ...] = ()


NOTHING: Final = Identity()


def identity_of(message: "Request | Response") -> Identity:
    """One look at the fields; most messages have none of these."""
    found = [field for field in message.fields if field[0] in _NAMES]
    if not found:
        return NOTHING
    texts: dict[str, list[str]] = {name: [] for name in _NAMES}
    for name, value in found:
        texts[name].append(value)
    return Identity(
        parse_asserted(texts["P-Asserted-Identity"]),
        parse_asserted(texts["P-Preferred-Identity"]),
        parse_privacy(texts["Privacy"]),
        parse_diversions(texts["Diversion"]),
        parse_history(texts["History-Info"]),
    )


def number_of(uri: object) -> str:
    """The user part of a SIP URI without its parameters, escapes resolved, or the number of a tel URI; else ""."""
    if isinstance(uri, SipUri):
        return uri.user_text.partition(";")[0]
    if isinstance(uri, TelUri):
        return uri.number
    return ""


def parse_asserted(values: "Iterable[str]") -> tuple[NameAddr, ...]:
    """The first SIP and the first tel URI: "There may be one or two P-Asserted-Identity values", RFC 3325 §9.1."""
    kept: dict[type, NameAddr] = {}
    for text in _elements(values, 2):
        address = _address(text)
        if address is not None and isinstance(address.uri, SipUri | TelUri):
            kept.setdefault(type(address.uri), address)
    return tuple(kept.values())


def parse_privacy(values: "Iterable[str]") -> frozenset[str]:
    """Tokens in lower case. Interop: some separate them by commas."""
    tokens: set[str] = set()
    for value in values:
        for text in value.replace(",", ";").split(";", PRIVACY_VALUES)[:PRIVACY_VALUES]:
            token = text.strip(" \t").lower()
            if is_token(token):
                tokens.add(token)
    return frozenset(tokens)


def privacy_text(tokens: frozenset[str]) -> str:
    """The known tokens, in order; "" where there is none."""
    return ";".join([token for token in PRIVACY_TOKENS if token in tokens])


def parse_diversions(values: "Iterable[str]") -> tuple[Diversion, ...]:
    found = [_diversion(text) for text in _elements(values, DIVERSION_VALUES)]
    return tuple([diversion for diversion in found if diversion is not None])


def parse_history(values: "Iterable[str]") -> tuple[HistoryEntry, ...]:
    """An entry without an index that can be read is left out: nobody can say where it belongs."""
    found = [_history_entry(text) for text in _elements(values, HISTORY_VALUES)]
    return tuple([entry for entry in found if entry is not None])


def _elements(values: "Iterable[str]", most: int) -> list[str]:
    elements: list[str] = []
    for value in values:
        elements += [text for text in split_list(value) if text]
        if len(elements) >= most:
            break
    return elements[:most]


def _address(text: str) -> NameAddr | None:
    try:
        return parse_name_addr(text)
    except ParseError:
        return None


def _diversion(text: str) -> Diversion | None:
    address = _address(text)
    if address is None or not isinstance(address.uri, SipUri | TelUri):
        return None
    params = address.params
    reason = _word(param(params, "reason"))
    privacy, screen = _word(param(params, "privacy")), _word(param(params, "screen"))
    return Diversion(
        _without_headers(address.uri),
        reason if not reason or reason in DIVERSION_REASONS else "unknown",
        _two_digits(param(params, "counter")),
        _two_digits(param(params, "limit")),
        privacy if privacy in _DIVERSION_PRIVACY else "",
        screen if screen in _DIVERSION_SCREEN else "",
    )


def _history_entry(text: str) -> HistoryEntry | None:
    address = _address(text)
    if address is None or not isinstance(address.uri, SipUri | TelUri):
        return None
    index = param(address.params, "index")
    if index is None or _INDEX.fullmatch(index) is None:
        return None
    target = None
    for name in _TARGETS:
        value = param(address.params, name)
        if value is not None and _INDEX.fullmatch(value) is not None:
            target = (name, value)
            break
    uri = address.uri
    headers = _headers(uri.headers) if isinstance(uri, SipUri) and uri.headers else {}
    return HistoryEntry(
        _without_cause(_without_headers(uri)),
        index,
        target,
        _cause(param(uri.params, "cause")),
        _reason(headers.get("reason")),
        "history" in parse_privacy([headers["privacy"]]) if "privacy" in headers else False,
    )


def _headers(text: str) -> dict[str, str]:
    """The headers of a URI, unescaped; the first of each name. Interop: RFC 6044's own examples write `?` for `&`."""
    headers: dict[str, str] = {}
    for part in text.replace("?", "&").split("&"):
        name, _, value = part.partition("=")
        headers.setdefault(name.lower(), unquote(value))
    return headers


def _reason(text: str | None) -> tuple[str, int] | None:
    value = None if text is None else parse_reason(text)
    if value is None or value.cause is None or value.protocol not in _REASON_PROTOCOLS:
        return None
    return (value.protocol, value.cause)


def _without_headers(uri: SipUri | TelUri) -> SipUri | TelUri:
    if isinstance(uri, SipUri) and uri.headers:
        return SipUri(uri.scheme, uri.user, uri.password, uri.host, uri.port, uri.params)
    return uri


def _without_cause(uri: SipUri | TelUri) -> SipUri | TelUri:
    if not any(name == "cause" for name, _ in uri.params):
        return uri
    params = tuple([item for item in uri.params if item[0] != "cause"])
    if isinstance(uri, TelUri):
        return TelUri(uri.number, params)
    return SipUri(uri.scheme, uri.user, uri.password, uri.host, uri.port, params)


def _word(value: str | None) -> str:
    return "" if value is None else unquoted(value).lower()


def _two_digits(value: str | None) -> int | None:
    return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) <= 2 else None


def _cause(value: str | None) -> int | None:
    return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) == 3 else None
