"""Imperative values of the SIP stack: first what it orders the runtime to do, then what it is told to do itself.

The runtime carries its orders out and never answers at once; failures come back as events.
"""

from collections.abc import Hashable
from typing import Literal

from msgspec import Struct

from sbc.core.address import Flow
from sbc.sip.message import Fields, Request
from sbc.sip.transaction.saved import SavedInvite, SavedServer

RecordKind = Literal["NAPTR", "SRV", "A", "AAAA"]

# --- to the runtime ---------------------------------------------------------------------------------------------------


class SendMessage(Struct, frozen=True):
    """Send these octets. A flow with connection 0 on a stream transport means: find or open one to `flow.remote`.

    What fails later comes back as `FlowFailed` for the same flow. `user` is whose transaction it is, for the trace.
    """

    flow: Flow
    data: bytes
    user: Hashable = None


class CloseFlow(Struct, frozen=True):
    """Close a stream connection after what is already queued has been sent."""

    flow: Flow


class LookUp(Struct, frozen=True):
    """Ask the DNS for one record set; answered by `LookedUp`, always. `name`: lower case, no final dot."""

    name: str
    kind: RecordKind


# --- to the endpoint --------------------------------------------------------------------------------------------------


class SendRequest(Struct, frozen=True, eq=False):
    """Start a client transaction. `request` has neither Via nor Contact; both say how we are reached on its flow.

    `next_hop` is the URI whose host the request goes to, through `interface`. Answered by `ResponseReceived` and
    `TransactionFailed` with the same `user`, which must be new. `contact` is the user part of our Contact; None: none.
    `flow`: send it there, whatever `next_hop` says (the server that issued a nonce, the connection of a registration).
    `contact_params`: parameters of that Contact's URI, as `bnc` (RFC 6140 §5.1). `features`: of the Contact itself,
    with their semicolons, as `;isfocus` (RFC 3840 §9).
    """

    user: Hashable
    request: Request
    interface: str
    next_hop: str
    contact: str | None = None
    flow: Flow | None = None
    contact_params: str = ""
    features: str = ""


class SendAck(Struct, frozen=True, eq=False):
    """Acknowledge a 2xx to the INVITE that `user` sent; repeated for each repetition of that 2xx. `flow`: as above."""

    user: Hashable
    request: Request
    interface: str
    next_hop: str
    flow: Flow | None = None


class CancelRequest(Struct, frozen=True):
    """Cancel the INVITE that `user` sent. A 2xx may still come, and is then reported. `reason`: value of a Reason."""

    user: Hashable
    reason: str | None = None


class Respond(Struct, frozen=True, eq=False):
    """Answer a request. `contact` is the user part of our Contact; None: none. `features`: as above."""

    key: tuple[str, ...]
    status: int
    to_tag: str = ""
    fields: Fields = ()
    body: bytes = b""
    contact: str | None = None
    features: str = ""


class Adopt(Struct, frozen=True):
    """From now on reports about the request of `key` name this user."""

    key: tuple[str, ...]
    user: Hashable


class KeepAlive(Struct, frozen=True):
    """Send a CRLF pair on this flow, so that a NAT keeps it open (RFC 5626 §3.5.1). `user`: on whose behalf."""

    flow: Flow
    user: Hashable = None


class ResendResponse(Struct, frozen=True):
    """The last response to the request of `key` again: a 2xx that waits for its ACK (RFC 3261 §13.3.1.4)."""

    key: tuple[str, ...]


class Revive(Struct, frozen=True, eq=False):
    """A transaction of an earlier life of this program goes on, as `user`'s: a peer's request, to be answered or known
    again; or an INVITE of ours, which is cancelled.
    """

    saved: SavedServer | SavedInvite
    user: Hashable


Order = SendRequest | SendAck | CancelRequest | Respond | Adopt | KeepAlive | ResendResponse | Revive
