"""Which of several peers at one source speaks: trunks by what we registered there, then by DID; PBXs by their account.

Contract, section 2, "Source match": what stays ambiguous after that fails `check`, so the first one is never a guess
of consequence. Asked once per call, and only where a source is shared. Pure.
"""

from collections.abc import Callable, Sequence

from sbc.policy.model import Peer
from sbc.policy.numbers import NumberPlan


def tell_apart(
    candidates: Sequence[Peer],
    invite_user: str,
    username: str | None,
    *,
    plan: NumberPlan,
    takes: Callable[[Peer], bool],
) -> Peer:
    """`candidates` has at least one. `takes`: whether a route that names this trunk takes the called number."""
    by_account = [peer for peer in candidates if username is not None and _account(peer) == username]
    left = by_account or [peer for peer in candidates if _is_registered_as(peer, invite_user, plan)] or candidates
    if len(left) == 1:
        return left[0]
    return next((peer for peer in left if peer.kind == "trunk" and takes(peer)), left[0])


def _account(peer: Peer) -> str | None:
    """A trunk's account is ours, with the carrier: it says nothing about who speaks."""
    return peer.auth.username if peer.auth is not None and peer.kind == "pbx" else None


def _is_registered_as(peer: Peer, invite_user: str, plan: NumberPlan) -> bool:
    """The Contact that we registered has the AOR's user part, and calls come to the Contact (RFC 3261 §10.2.1)."""
    register = peer.register
    if register is None or not invite_user:
        return False
    bare = peer.called_form == "e164-bare"
    return plan.read(register.user, bare=bare).best == plan.read(invite_user, bare=bare).best
