"""What the two ends of a leg understand: what we say of ourselves, and what the peer's Allow has said (RFC 3261 §20.5).

It knows no session timer, though that is negotiated in the same messages (`refreshing`). The leg and its parts use it.
"""

from sbc.policy.model import Peer
from sbc.sip.checks import ACCEPT, SUPPORTED, UNRELIABLE, allow_field
from sbc.sip.message import Fields, Request, Response


class Abilities:
    __slots__ = ("_allow", "_peer", "said")

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.said: str | None = None  # the peer's Allow of last
        self._allow: frozenset[str] | None = None  # … once it is asked for

    def fields(self) -> Fields:
        """Ours, in a request that refreshes the target and in the 2xx to one."""
        return (allow_field(self._peer.methods), self._supported())

    def fields_of_reinvite(self) -> Fields:
        """The answer is to be in the 2xx: a re-INVITE asks for no reliable provisionals."""
        return (allow_field(self._peer.methods), UNRELIABLE)

    def fields_of_invite(self, *, reliable: bool) -> Fields:
        """`reliable`: the provisionals may be so. The first INVITE has its Allow already."""
        return (self._supported() if reliable else UNRELIABLE,)

    def fields_of_options(self) -> Fields:
        return (allow_field(self._peer.methods), ACCEPT, self._supported())

    def _supported(self) -> tuple[str, str]:
        return SUPPORTED if self._peer.reliable == "offer" else UNRELIABLE

    def note(self, message: Request | Response) -> None:
        """What the peer says of itself, if anything."""
        said = message.headers("Allow")
        if said:
            self.said, self._allow = said[0] if len(said) == 1 else ",".join(said), None

    def allows(self, method: str) -> bool:
        """What the peer's Allow has said. Without any, UPDATE and PRACK are too new to be taken for granted."""
        if self.said is None:
            return method not in ("UPDATE", "PRACK")
        if self._allow is None:
            self._allow = frozenset([name.strip() for name in self.said.split(",")])
        return method in self._allow

    def forget_update(self) -> None:
        """The peer's Allow has named it, and yet it does not know it."""
        self.said = ", ".join([name for name in sorted(self._peer.methods) if name != "UPDATE" and self.allows(name)])
        self._allow = None
