"""A request to the admin API and what is to be done about it, as values.

Failures are problem documents (RFC 9457). No socket and no web framework in here: `runtime.http` translates.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from sbc.b2bua.events import HangUpOrdered

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
TEXT: Final = "text/plain; charset=utf-8"


class Request(Struct, frozen=True):
    """Method, decoded path, query pairs in order, and the Accept field as it came."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    accept: str = ""


class Reply(Struct, frozen=True):
    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Order(Struct, frozen=True):
    """Tell the engine this, then give this reply."""

    event: HangUpOrdered
    reply: Reply


class ReadCdrs(Struct, frozen=True):
    """Ask the CDR store, away from the engine's loop. `last` asks for the newest ones instead of a page."""

    since: float | None = None
    trunk: str | None = None
    after: str | None = None
    limit: int = 100
    last: bool = False


Answer = Reply | Order | ReadCdrs


def json_reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, JSON, msgspec.json.encode(value))


def text_reply(text: str) -> Reply:
    """Octets of a peer that were no UTF-8 are shown escaped."""
    return Reply(200, TEXT, text.encode("utf-8", "backslashreplace"))


def problem(status: int, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """RFC 9457 §3. The type stays `about:blank`, so the title is the status's own phrase (§4.2.1)."""
    document = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail}
    return Reply(status, PROBLEM, msgspec.json.encode(document), headers)


_TITLES: Final = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
