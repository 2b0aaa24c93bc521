"""Policies that a reload has replaced while calls were up: who spoke under them may still speak in those calls.

"A reload touches no call" also where it takes a peer away, or its address: its BYE must end the call and free its path.
It decides nothing; the switch asks it about sources that the policy in force does not know.
"""

from collections.abc import Iterable

from sbc.core import limits
from sbc.core.address import Flow, Transport
from sbc.policy.engine import Policy
from sbc.policy.model import Peer


class FormerPolicies:
    """Bounded: of very many reloads during one call, the oldest are forgotten."""

    def __init__(self) -> None:
        self._policies: list[tuple[Policy, set[str]]] = []  # the newest last, with the calls that were up

    def __bool__(self) -> bool:
        return bool(self._policies)

    def __len__(self) -> int:
        return len(self._policies)

    def replaced(self, policy: Policy, calls: Iterable[str]) -> None:
        """`calls`: refs of those that are up."""
        refs = set(calls)
        if refs:
            self._policies = [*self._policies[1 - limits.FORMER_POLICIES :], (policy, refs)]

    def taken_in(self, ref: str, into: str) -> None:
        """The legs of this call are another one's from now on."""
        for _, refs in self._policies:
            if ref in refs:
                refs.remove(ref)
                refs.add(into)

    def forget(self, ref: str) -> None:
        """This call is gone."""
        if not self._policies:
            return
        for _, refs in self._policies:
            refs.discard(ref)
        self._policies = [one for one in self._policies if one[1]]

    def identify(self, flow: Flow) -> Peer | None:
        """Who spoke from there when the oldest calls that are up began."""
        for policy, _ in reversed(self._policies):
            peer = policy.identify(flow.interface, flow.remote.host, flow.remote.port, flow.transport, flow.proved)
            if peer is not None:
                return peer
        return None

    def knows(self, interface: str, host: str, port: int, transport: Transport) -> bool:
        """As `Switch.knows`, of who spoke from there then."""
        return any(may_connect(policy, interface, host, port, transport) for policy, _ in self._policies)


def may_connect(policy: Policy, interface: str, host: str, port: int, transport: Transport) -> bool:
    """Whether what comes from there by this transport is listened to, once it has proved who it is."""
    if transport is Transport.TLS:
        return bool(policy.tls_candidates(interface, host, port))
    return policy.identify(interface, host, port, transport) is not None
