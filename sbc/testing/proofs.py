"""TLS of the network in memory, as far as it decides who is who: which names each host's certificate holds, and what
that proves to the SBC. No octet is encrypted, and every certificate is well signed: others are the runtime's matter.

Used by `world` for the SBC's end of each connection, as the runtime does it: the source says before the handshake what
may be proved, and a connection of ours must prove the profile that it is opened for.
"""

from collections.abc import Callable

from sbc.core.address import Flow
from sbc.policy.engine import Policy


class Proofs:
    """`certificates`: by name of the host, the domains that its certificate names."""

    def __init__(self, policy: Callable[[], Policy], knows: Callable[[str, str, int], bool]) -> None:
        self.certificates: dict[str, tuple[str, ...]] = {}
        self._policy = policy
        self._knows = knows

    def opened(self, flow: Flow, callee: str) -> tuple[str, ...] | str:
        """What a connection of the SBC's has proved, or why it is given up."""
        profiles = self._policy().tls_profiles
        if not flow.proved or flow.proved[0] not in profiles:
            return "nothing says what it must prove"
        domains = profiles[flow.proved[0]].domains
        shown = self.certificates.get(callee, ())
        if set(domains).isdisjoint(shown):
            return f"its certificate names {', '.join(shown) or 'nobody'}, not {' or '.join(domains)}"
        return flow.proved

    def accepted(self, flow: Flow, caller: str) -> tuple[str, ...] | str:
        """What who connects to the SBC has proved, or that he is a stranger."""
        source = (flow.interface, flow.remote.host, flow.remote.port)
        if not self._knows(*source):
            return "a stranger"
        shown = self.certificates.get(caller, ())
        candidates = self._policy().tls_candidates(*source)
        return tuple([profile.name for profile in candidates if not set(profile.domains).isdisjoint(shown)])
