"""A request to the admin API and what is to be done about it, as values.

Failures are problem documents (RFC 9457). No socket and no web framework in here: `runtime.http` translates.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from sbc.admin.state import AdminState
from sbc.b2bua.events import (
    BanOrdered,
    BusyOutOrdered,
    DrainOrdered,
    DrainRevoked,
    DrillOrdered,
    HangUpOrdered,
    LiftOrdered,
    PingOrdered,
)
from sbc.cdr.store import CdrReader

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
TEXT: Final = "text/plain; charset=utf-8"


class Request(Struct, frozen=True):
    """Method, decoded path, query pairs in order, the Accept field as it came, and the body."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    accept: str = ""
    body: bytes = b""


class Reply(Struct, frozen=True):
    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


# What this API may tell the engine.
ControlEvent = (
    HangUpOrdered | DrainOrdered | DrainRevoked | DrillOrdered | BusyOutOrdered | PingOrdered | BanOrdered | LiftOrdered
)


class Order(Struct, frozen=True):
    """Tell the engine this, then reply with what is so afterwards."""

    event: ControlEvent
    reply: Callable[[AdminState], Reply]


class Ping(Struct, frozen=True):
    """Let the engine ping this peer, wait until all answers are in or `PING_SECONDS` are over, then `pinged`."""

    peer: str


class Reload(Struct, frozen=True):
    """Read the policy again, then `reloaded`."""


class AskStore(Struct, frozen=True):
    """Ask the CDR store, in a thread: `question` may block, and has only the store.

    What it raises becomes a reply: ValueError is 400, StoreError 503.
    """

    question: Callable[[CdrReader], Reply]


class Perform(Struct, frozen=True):
    """The program does this by itself, outside the engine, and says what came of it: `runtime.http` has a performer for
    each type of `what`.
    """

    what: Struct


class Stream(Struct, frozen=True):
    """Tell of everything that changes, as long as the client listens (`stream`)."""


Answer = Reply | Order | Ping | Reload | AskStore | Perform | Stream


def json_reply(value: Any, status: int = 200) -> Reply:
    return Reply(status, JSON, msgspec.json.encode(value))


def text_reply(text: str) -> Reply:
    """Octets of a peer that were no UTF-8 are shown escaped."""
    return Reply(200, TEXT, text.encode("utf-8", "backslashreplace"))


def wants_text(accept: str) -> bool:
    """True where text/plain is named and JSON is not: two types need no more of RFC 9110 §12.5.1."""
    named = [part.split(";", 1)[0].strip().lower() for part in accept.split(",")]
    return "text/plain" in named and "application/json" not in named


def problem(status: int, detail: str, headers: tuple[tuple[str, str], ...] = (), **members: Any) -> Reply:
    """RFC 9457 §3. The type stays `about:blank`, so the title is the status's own phrase (§4.2.1).

    `members` extend the document (§3.2).
    """
    document = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": detail} | members
    return Reply(status, PROBLEM, msgspec.json.encode(document), headers)


_TITLES: Final = {
    400: "Bad Request",
    403: "Forbidden",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    421: "Misdirected Request",
    500: "Internal Server Error",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
