"""How the peer of a dialog is reached: over TLS for as long as the dialog lasts, where it was set up so.

A Contact or a Record-Route without `transport=tls` names UDP; by that the keys in a description would go out in the
clear, and so would all else of a dialog that began encrypted. This knows where the peer's first hop takes TLS, and by
which connection the peer speaks; the way of each request the endpoint finds (`ways`). A leg uses it, and each side of
a subscription.
"""

from typing import Final

from sbc.core.address import Address, Flow, Transport
from sbc.policy.model import Peer
from sbc.sip.connections import spoken_by, takes_tls_at
from sbc.sip.message import Request
from sbc.sip.sips import warning

_KEY: Final = b"a=crypto:"
_TLS_PORT: Final = Transport.TLS.default_port
OVERHEARD: Final = (488, warning((399, "SRTP keys in the clear, and this dialog is over TLS"), "sbc"))


class Reached:
    """`came_by`: the TLS connection by which the peer has spoken last. `by_tls`: where its first hop takes TLS; None:
    the dialog was not set up over TLS. `is_overheard`: what the peer has said last in such a dialog was not over TLS.
    """

    __slots__ = ("by_tls", "came_by", "is_overheard")

    def __init__(self) -> None:
        self.by_tls: Address | None = None
        self.came_by: Flow | None = None
        self.is_overheard = False

    def invited(self, request: Request) -> None:
        """Its first request is here, which makes the dialog; `spoke` comes before."""
        self.by_tls = None if self.came_by is None else takes_tls_at(request, self.came_by)

    def replied(self, flow: Flow) -> None:
        """A response to our first INVITE is here, which has gone out by `flow`. What a peer has connected from is no
        place to connect to.
        """
        if flow.transport is Transport.TLS:
            self.by_tls = Address(flow.remote.host, _TLS_PORT if flow.connection else flow.remote.port)

    def spoke(self, flow: Flow, known: Flow | None) -> Flow | None:
        """The peer has said something from there. Where one that has registered with us is now; `known`: was."""
        self.came_by = spoken_by(flow, self.came_by)
        self.is_overheard = not self.takes(flow)
        return known if known is None or self.is_overheard else flow

    def takes(self, flow: Flow) -> bool:
        """Whether requests in this dialog may go by that."""
        return self.by_tls is None or flow.transport is Transport.TLS

    def would_tell_keys(self, request: Request, peer: Peer) -> bool:
        """Whether the answer to this, the last thing that the peer has said, would have keys in it, and go out in the
        clear: a response goes where its request came from (RFC 3261 §18.2.2).
        """
        if not self.is_overheard:
            return False
        if request.body:
            return _KEY in request.body
        return request.method == "INVITE" and peer.srtp.mode != "off" and "sdes" in peer.srtp.keying
