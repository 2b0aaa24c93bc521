"""What comes out of a transaction: octets to send, and reports to the transaction user. Past tense: facts."""

from collections.abc import Hashable
from typing import Literal

from msgspec import Struct

from sbc.core.address import Flow
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request, Response
from sbc.sip.transaction.key import ClientKey, ServerKey


class RequestReceived(Struct, frozen=True, eq=False):
    """A new request; answer it with `TransactionLayer.respond(key, …)`."""

    key: ServerKey
    request: Request
    flow: Flow


class AckReceived(Struct, frozen=True, eq=False):
    """An ACK that ends no transaction: it is for a 2xx, whose dialog the user knows."""

    request: Request
    flow: Flow


class CancelReceived(Struct, frozen=True, eq=False):
    """The INVITE of `key` shall be cancelled; the CANCEL itself is already answered (§9.2)."""

    user: Hashable
    key: ServerKey
    request: Request


class CancelDue(Struct, frozen=True, eq=False):
    """To the layer alone: the INVITE of `key` may be cancelled now."""

    key: ClientKey
    cancel: Request


class ResponseReceived(Struct, frozen=True, eq=False):
    """A response to `request`, which is ours (without the Via that it went out with)."""

    user: Hashable
    key: ClientKey
    response: Response
    flow: Flow
    request: Request


class ResponseStrayed(Struct, frozen=True, eq=False):
    """A 2xx to an INVITE that no transaction of ours awaits: it "MUST be passed to the core", RFC 3261 §18.1.2. `flow`:
    by which it came.
    """

    response: Response
    flow: Flow


class TransactionFailed(Struct, frozen=True):
    """A request of ours got no final answer. `heard`: a provisional had come."""

    user: Hashable
    key: ClientKey
    why: Literal["timeout", "transport"]
    detail: str = ""
    heard: bool = False


class ConnectionLost(Struct, frozen=True):
    """An INVITE of ours has had a 100 and nothing else, and its connection is gone. It may still be answered."""

    user: Hashable
    detail: str


Out = (
    SendMessage
    | ConnectionLost
    | RequestReceived
    | AckReceived
    | CancelReceived
    | CancelDue
    | ResponseReceived
    | ResponseStrayed
    | TransactionFailed
)
