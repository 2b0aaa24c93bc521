"""A transaction as a value: what must be remembered of it where the process may die (RFC 3261 §17).

An INVITE or another request of a peer: enough to answer it, and to know it again. An INVITE of ours that has no final
response: enough to cancel it, and to acknowledge what comes. The machines save and revive themselves; here is only what
that looks like, and how the octets of a request become one again. Times are the engine's clock.
"""

import re
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.core.address import Flow
from sbc.sip.message import Fields, Request
from sbc.sip.parse import parse_message

_LENGTH: Final = b"\r\nContent-Length: "
_CREDENTIALS: Final = re.compile(rb"\r\n(?:Proxy-)?Authorization:[^\r]*+")


class SavedServer(Struct, frozen=True, omit_defaults=True):
    """`data`: our last response, where it may be asked for. `until`: when the machine ends by itself; None: when it is
    answered. `peer` and `octets`: whose share of the table it takes.
    """

    key: tuple[str, ...]
    state: str
    uri: str
    echo: Fields
    flow: Flow
    merge: tuple[str, str, int, str] | None = None
    data: bytes | None = None
    to_tag: str = ""
    until: float | None = None
    peer: str = ""
    octets: int = 0

    def request(self) -> Request:
        """Of the request what responses to it are made of."""
        return Request(self.key[-1], self.uri, self.echo)


class SavedInvite(Struct, frozen=True, omit_defaults=True):
    """An INVITE of ours without final response. `head`: its octets without body and credentials. `sent_at`: None where
    a provisional is known to have come, so that it may be cancelled at once.
    """

    head: bytes
    via: str
    flow: Flow
    sent_at: float | None = None

    def request(self) -> Request:
        """Without Via and body. Raises ParseError for what is no request."""
        start, found, _ = self.head.rpartition(_LENGTH)
        read = parse_message((start if found else self.head) + _LENGTH + b"0\r\n\r\n", stream=False)
        fields = tuple([field for field in read.fields if field[0] not in ("Via", "Content-Length", "Content-Type")])
        uri = read.uri_text if isinstance(read, Request) else ""
        return Request("INVITE", uri, fields)


def head_of(data: bytes) -> bytes:
    """Of an INVITE of ours, as we write it, without what answers a challenge."""
    head = data.partition(b"\r\n\r\n")[0]
    return _CREDENTIALS.sub(b"", head) if b"uthorization:" in head else head


def without_connection(flow: Flow, proved: tuple[str, ...] = ()) -> Flow:
    """No connection outlives the process, and its number is soon another one's. `proved`: what a new one must prove."""
    return replace(flow, connection=0, proved=proved) if flow.connection or flow.proved != proved else flow
