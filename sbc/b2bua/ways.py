"""How the requests of one user go over TLS: which certificate the far end must show, and by which connection it speaks.

The endpoint asks, wherever the policy has TLS listeners. A request in a dialog proves its leg's peer, whatever address
the peer's Contact names (RFC 5922 §7.2), and goes over TLS where the dialog was set up so. It reads the tables of the
switch, and changes nothing.
"""

from collections.abc import Hashable, Sequence
from typing import Final

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.context import Context
from sbc.b2bua.leg import Leg
from sbc.core.address import Address, Flow, Transport
from sbc.policy.engine import Policy
from sbc.policy.model import Peer
from sbc.sip.connections import Way

_NO_WAY: Final = Way()
_TLS_ALONE: Final = frozenset((Transport.TLS,))


def way_of(user: Hashable, context: Context, beside: Beside) -> Way:
    while isinstance(user, tuple) and user and isinstance(user[0], tuple):
        user = user[0]  # of a request that follows from another one's answer
    policy = context.policy
    match context.moves.user_of(user):
        case ("health" | "register" | "left", str(name), int()):
            peer = policy.peers.get(name)
            return _NO_WAY if peer is None else _way(peer, policy)
        case ("beside", str(id_), int(n)):
            peer = beside.asked(id_, n)
            side = beside.side(id_, n)
            if peer is None or side is None:
                return _NO_WAY if peer is None else _way(peer, policy)
            return _way(peer, policy, side.reached.came_by, side.reached.by_tls)
        case (str(ref), int(n), int()) if ref in context.calls:
            call = context.calls[ref]
            leg = call.legs[n]
            policy = policy if leg.peer.name in policy.peers else call.policy
            return _way(leg.peer, policy, leg.reached.came_by, leg.reached.by_tls)
    return _NO_WAY


def proof_of(peer: str, policy: Policy) -> tuple[str, ...]:
    """What a connection must prove that is opened for a response to this peer."""
    name = policy.tls_profile(peer)
    return (name,) if name else ()


def has_tls(policy: Policy) -> bool:
    return any(one.transport is Transport.TLS for face in policy.interfaces.values() for one in face.listeners)


def is_by_tls(legs: Sequence[Leg]) -> bool:
    """Whether one of these dialogs was set up over TLS."""
    return any(leg.reached.by_tls is not None for leg in legs)


def _way(peer: Peer, policy: Policy, in_use: Flow | None = None, by_tls: Address | None = None) -> Way:
    is_secure = by_tls is not None or peer.transports == _TLS_ALONE
    return Way(policy.tls_profile(peer.name), is_secure, in_use, by_tls, peer.tls.reuse)
