"""What servers that we send calls to ask of us when they are overloaded (RFC 7339): by address, while it holds.

Loss-based control: a percentage of all requests is not to be sent. It is taken from new calls alone, so that what is up
can be ended; the share that new calls have of all requests is counted. Emergencies are never asked about (§5.10.1). It
knows nothing of calls; the hunt asks it. Who speaks RFC 7339: whose policy says so, and whoever has asked us for ours.
"""

from collections.abc import Callable
from typing import Final

from sbc.core import limits
from sbc.core.address import Address
from sbc.policy.engine import Policy
from sbc.policy.model import Peer
from sbc.sip.overload_params import Asked

_SAMPLED_SECONDS: Final = 5.0  # "Periodically (every 5-10 seconds), get the value of the counters", §7.2
_ASSUMED: Final = 0.8  # of all requests that may be left out, until they were counted: §7.2's own default
_ENOUGH: Final = 10  # requests that say something of their mix
_OVERFLOW: Final = 60  # seconds that a sequence number is behind when the server has begun anew, §4.4


class _Server:
    __slots__ = ("loss", "new", "others", "sampled_at", "sequence", "share", "until")

    def __init__(self, now: float) -> None:
        self.loss = 0
        self.until = 0.0
        self.sequence = (0, 0)
        self.new = self.others = 0
        self.share = _ASSUMED
        self.sampled_at = now


class Throttle:
    def __init__(self, policy: Policy) -> None:
        self._servers: dict[Address, _Server] = {}
        self._shown: set[str] = set()
        self._wanted: frozenset[str] = frozenset()
        self.is_used = False
        self.set_policy(policy)

    def __len__(self) -> int:
        """How many servers are remembered, whose word may have expired."""
        return len(self._servers)

    def set_policy(self, policy: Policy) -> None:
        self._wanted = frozenset(name for name, peer in policy.peers.items() if peer.overload == "rfc7339")
        self._shown = {name for name in self._shown if name in policy.peers}
        self.is_used = bool(self._wanted or self._shown)

    # --- whom to ask --------------------------------------------------------------------------------------------------

    def has_shown(self, peer: str) -> None:
        """It has asked us what we want: it speaks this."""
        if peer not in self._shown:
            self._shown.add(peer)
            self.is_used = True

    def speaks(self, peer: Peer) -> bool:
        # Deviation: "a SIP client MUST add an "oc" parameter … into every SIP request", RFC 7339 §4.1. To a peer that
        # has never shown that it knows this, it is sent where the policy says so alone: some choke on what is new.
        return peer.name in self._wanted or (peer.overload == "auto" and peer.name in self._shown)

    # --- what it asks -------------------------------------------------------------------------------------------------

    def was_asked(self, remote: Address, asked: Asked, now: float) -> None:
        """By the Via of a response. Later words count, earlier ones that come late do not (§5.4, §5.7)."""
        server = self._servers.get(remote) or self._add(remote, now)
        if asked.sequence is not None:
            behind = server.sequence[0] - asked.sequence[0]
            if asked.sequence <= server.sequence and behind < _OVERFLOW:
                return
            server.sequence = asked.sequence
        server.loss, server.until = asked.loss, now + asked.validity

    def sent(self, remote: Address) -> None:
        """A request that is not the first of a call has gone there, for the mix."""
        server = self._servers.get(remote)
        if server is not None:
            server.others += 1

    def loss(self, remote: Address, now: float) -> int:
        """Percent of all requests; 0: nothing is asked."""
        server = self._servers.get(remote)
        return server.loss if server is not None and now < server.until else 0

    def turns_away(self, remote: Address, now: float, number: Callable[[int], int]) -> bool:
        """Whether a new call is not to be sent there. `number(n)`: a random integer in [0, n)."""
        server = self._servers.get(remote)
        if server is None:
            return False
        server.new += 1
        if now - server.sampled_at >= _SAMPLED_SECONDS:
            self._sample(server, now)
        if now >= server.until or not server.loss:
            return False
        return number(10_000) < 100 * server.loss / server.share

    def _sample(self, server: _Server, now: float) -> None:
        total = server.new + server.others
        if total >= _ENOUGH:
            server.share = max(0.01, server.new / total)
        server.new = server.others = 0
        server.sampled_at = now

    def _add(self, remote: Address, now: float) -> _Server:
        if len(self._servers) >= limits.THROTTLED_SERVERS:
            expired = [at for at, server in self._servers.items() if server.until <= now]
            for at in expired or [next(iter(self._servers))]:
                del self._servers[at]
        server = self._servers[remote] = _Server(now)
        return server
