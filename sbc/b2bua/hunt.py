"""The hunt: which server is tried next, and which failures let it go on (contract, "Rules that decide cases").

Pure: it plans and judges; the call dials.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from sbc.peering.hop import server_uri
from sbc.policy.model import Server, Target

_CONTINUE_ON: Final = frozenset({401, 403, 407, 408, 430, 500, 502, 503, 504})
# Q.850: unallocated, and what says that the called party was found and will not or cannot talk.
_STOP_ON_Q850: Final = frozenset({1, 17, 18, 19, 20, 21, 22, 28})
_CONTINUE_ON_Q850: Final = frozenset({2, 3, 34, 38, 41, 42, 44, 47})


class Attempt(Struct, frozen=True):
    """One INVITE to be sent: to this server of this target's peer."""

    target: Target
    server: Server

    @property
    def next_hop(self) -> str:
        return server_uri(self.server)


def plan(targets: Iterable[Target]) -> tuple[Attempt, ...]:
    """Every server of every target, in order."""
    return tuple(Attempt(target, server) for target in targets for server in target.peer.servers)


def goes_on(status: int, q850: int | None) -> bool:
    """Whether another server may be tried after this refusal. A Q.850 cause, where the peer gave one, knows better."""
    if q850 in _STOP_ON_Q850:
        return False
    return q850 in _CONTINUE_ON_Q850 or status in _CONTINUE_ON
