"""The hunt: who is tried next, and which failures let it go on (contract, "Rules that decide cases").

Pure: it draws and judges; `setup` opens targets and dials.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from sbc.core.address import Transport
from sbc.peering.hop import Hop, server_uri
from sbc.policy.model import Route, Server, Target
from sbc.sip.sips import is_sips

_CONTINUE_ON: Final = frozenset({401, 403, 407, 408, 430, 500, 502, 503, 504})
# Q.850: unallocated, and what says that the called party was found and will not or cannot talk.
_STOP_ON_Q850: Final = frozenset({1, 17, 18, 19, 20, 21, 22, 28})
_CONTINUE_ON_Q850: Final = frozenset({2, 3, 34, 38, 41, 42, 44, 47})
_ABOUT_MEDIA: Final = frozenset({415, 488, 606})
_INCOMPATIBLE: Final = 88


class Attempt(Struct, frozen=True):
    """One INVITE to be sent: to this server of this target's peer.

    `hop`: the address; None while the server's name is not looked up yet. `uri`: the Request-URI and `routes` the Route
    values of a PBX that has registered with us; for others they follow from the target. `is_plain`: once more, without
    the SRTP that it has refused.
    """

    target: Target
    server: Server
    hop: Hop | None = None
    uri: str = ""
    routes: tuple[str, ...] = ()
    is_plain: bool = False

    @property
    def next_hop(self) -> str:
        return server_uri(self.server) if self.hop is None else self.hop.uri

    @property
    def can_be_secure(self) -> bool:
        """Whether a SIPS URI can be kept there: over TLS, and to a contact that is itself one (RFC 5630 §5.3)."""
        if self.uri and not is_sips(self.uri):
            return False
        if self.hop is not None:
            return self.hop.flow.transport is Transport.TLS
        return self.server.transport is Transport.TLS or not self.server.names_transport

    @property
    def label(self) -> str:
        """For people: the server as it was configured, with the address where that says more."""
        text = self.server.text or server_uri(self.server)
        return text if self.hop is None or self.hop.flow.remote.host in text else f"{text} ({self.hop})"


Lead = Target | Attempt
"""What is left of a hunt: targets that are still to be opened into the addresses of their servers, and those."""


def refuses_srtp(attempt: Attempt, status: int, q850: int | None) -> bool:
    """Whether SRTP, which this attempt has insisted on, may be what was refused: 415, 488 and 606 are about the
    description (RFC 3261 §21.4.13, §21.4.26, §21.6.4), Q.850 88 says "incompatible destination".
    """
    is_asked = attempt.target.peer.srtp.mode == "required" and not attempt.is_plain
    return is_asked and (status in _ABOUT_MEDIA or q850 == _INCOMPATIBLE)


def drawn(targets: Sequence[Target], number: Callable[[int], int]) -> tuple[Target, ...]:
    """Targets with weights that stand together are put into an order drawn by weight; the others stay where they are.

    `number(n)` is a random integer in [0, n). Every target stays in the hunt: a weight says who is first how often.
    """
    if all(target.weight is None for target in targets):
        return tuple(targets)
    ordered: list[Target] = []
    urn: list[Target] = []
    for target in targets:
        if target.weight is None:
            ordered += _empty(urn, number)
            ordered.append(target)
        else:
            urn.append(target)
    return (*ordered, *_empty(urn, number))


def _empty(urn: list[Target], number: Callable[[int], int]) -> list[Target]:
    taken: list[Target] = []
    while urn:
        at = number(sum(target.weight or 0 for target in urn))
        for i, target in enumerate(urn):
            at -= target.weight or 0
            if at < 0:
                taken.append(urn.pop(i))
                break
    return taken


def goes_on(status: int, q850: int | None, rule: Route | None = None) -> bool:
    """Whether another server may be tried after this refusal. The route's own lists know best, then a Q.850 cause."""
    if rule is not None:
        if status in rule.stop_on:
            return False
        if status in rule.continue_on:
            return True
    if q850 in _STOP_ON_Q850:
        return False
    return q850 in _CONTINUE_ON_Q850 or status in _CONTINUE_ON
