"""Requests and responses as values (RFC 3261 §7). Header fields keep their order and text; typed views are made on
first use and remembered.

A received message was checked at the door (`parse`), so that the typed views of the headers named there never fail; a
message that we build is right by construction. Bodies are opaque octets.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from msgspec import Struct, field

from sbc.sip.headers.cseq import CSeq, parse_cseq
from sbc.sip.headers.reason import ReasonValue, parse_reason
from sbc.sip.headers.via import Via, parse_via
from sbc.sip.nameaddr import NameAddr, Star, parse_name_addr
from sbc.sip.scan import number, split_list
from sbc.sip.uri import Uri, parse_uri

Fields = tuple[tuple[str, str], ...]
T = TypeVar("T")

LARGEST_MAX_FORWARDS: Final = 255
LARGEST_EXPIRES: Final = 2**32 - 1


class _Headers(Struct, frozen=True, eq=False):
    """What requests and responses have in common: reading of `fields`."""

    def header(self, name: str) -> str | None:
        """The first field of that (canonical) name."""
        first: dict[str, str] | None = self.cache.get("first")  # type: ignore[attr-defined]
        if first is not None:
            return first.get(name)
        for key, value in self.fields:  # type: ignore[attr-defined]
            if key == name:
                return value  # type: ignore[no-any-return]
        return None

    def headers(self, name: str) -> list[str]:
        """Every field of that name, as it stands."""
        first = self.cache.get("first")  # type: ignore[attr-defined]
        if first is not None and name not in first:
            return []
        return [value for key, value in self.fields if key == name]  # type: ignore[attr-defined]

    def values(self, name: str) -> list[str]:
        """Every element of every field of that name: for headers that are lists. Empty elements are left out."""
        found = self.headers(name)
        if not found:
            return []
        return [value for text in found for value in split_list(text) if value]

    def _typed(self, key: str, make: Callable[[], T]) -> T:
        cache: dict[str, Any] = self.cache  # type: ignore[attr-defined]
        try:
            return cache[key]  # type: ignore[no-any-return]
        except KeyError:
            made = cache[key] = make()
            return made

    @property
    def via(self) -> Via:
        """The topmost Via."""
        known: Via | None = self.cache.get("via")  # type: ignore[attr-defined]
        if known is not None:
            return known
        return self._typed("via", lambda: parse_via(split_list(self.header("Via") or "")[0]))

    @property
    def vias(self) -> tuple[Via, ...]:
        return self._typed("vias", lambda: tuple(parse_via(text) for text in self.values("Via")))

    @property
    def from_(self) -> NameAddr:
        known: NameAddr | None = self.cache.get("from")  # type: ignore[attr-defined]
        if known is not None:
            return known
        return self._typed("from", lambda: parse_name_addr(self.header("From") or "", "From"))

    @property
    def to(self) -> NameAddr:
        known: NameAddr | None = self.cache.get("to")  # type: ignore[attr-defined]
        if known is not None:
            return known
        return self._typed("to", lambda: parse_name_addr(self.header("To") or "", "To"))

    @property
    def call_id(self) -> str:
        return self.header("Call-ID") or ""

    @property
    def cseq(self) -> CSeq:
        known: CSeq | None = self.cache.get("cseq")  # type: ignore[attr-defined]
        if known is not None:
            return known
        return self._typed("cseq", lambda: parse_cseq(self.header("CSeq") or ""))

    @property
    def contacts(self) -> tuple[NameAddr, ...] | Star:
        return self._typed("contacts", self._read_contacts)

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        return self._typed("routes", lambda: self._addresses("Route"))

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        return self._typed("record-routes", lambda: self._addresses("Record-Route"))

    @property
    def max_forwards(self) -> int | None:
        return self._typed("max-forwards", self._read_max_forwards)

    @property
    def require(self) -> tuple[str, ...]:
        return tuple(self.values("Require"))

    @property
    def proxy_require(self) -> tuple[str, ...]:
        return tuple(self.values("Proxy-Require"))

    @property
    def supported(self) -> tuple[str, ...]:
        return tuple(self.values("Supported"))

    @property
    def allow(self) -> tuple[str, ...]:
        return tuple(self.values("Allow"))

    @property
    def accept(self) -> tuple[str, ...]:
        return tuple(self.values("Accept"))

    @property
    def content_type(self) -> str | None:
        """Lower-case type and subtype, without parameters."""
        value = self.header("Content-Type")
        return None if value is None else value.partition(";")[0].replace(" ", "").replace("\t", "").lower()

    @property
    def expires(self) -> int | None:
        """None also for what is no number; a larger one than 32 bits hold is the largest that they do (§20.19)."""
        value = self.header("Expires")
        if value is None or not (value.isascii() and value.isdigit()):
            return None
        digits = value.lstrip("0") or "0"
        return min(int(digits), LARGEST_EXPIRES) if len(digits) <= 10 else LARGEST_EXPIRES

    @property
    def reason_header(self) -> tuple[ReasonValue, ...]:
        """The values that can be read; the phrase of a response's status line is `reason`."""
        found = [parse_reason(text) for text in self.values("Reason")]
        return tuple([value for value in found if value is not None])

    def _addresses(self, name: str) -> tuple[NameAddr, ...]:
        return tuple([parse_name_addr(text, name) for text in self.values(name)])

    def _read_contacts(self) -> tuple[NameAddr, ...] | Star:
        values = self.values("Contact")
        if values == ["*"]:
            return Star()
        return tuple([parse_name_addr(text, "Contact") for text in values])

    def _read_max_forwards(self) -> int | None:
        value = self.header("Max-Forwards")
        return None if value is None else number(value, LARGEST_MAX_FORWARDS, "Max-Forwards")


class Request(_Headers, frozen=True, eq=False):
    method: str
    uri_text: str
    fields: Fields
    body: bytes = b""
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> Uri:
        return parse_uri(self.uri_text)


class Response(_Headers, frozen=True, eq=False):
    status: int
    reason: str
    fields: Fields
    body: bytes = b""
    cache: dict[str, Any] = field(default_factory=dict)
