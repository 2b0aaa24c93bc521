"""Interfaces of ours that have lost an address or their link: whom we cannot reach through them, and why.

The machine says so itself, sooner than any probe could: nobody is asked meanwhile, and when all is well again what was
known of the peers before still holds. It watches nothing (`runtime.network` does) and logs once for each interface,
not for each peer. Used by `relations` and `health`.
"""

from collections.abc import Mapping

from msgspec import Struct

from sbc.core.address import Flow
from sbc.core.commands import Log
from sbc.policy.model import Interface


class Outage(Struct, frozen=True):
    """`missing`: addresses, SIP and media. `is_whole`: no call can go by this interface at all."""

    missing: frozenset[str]
    why: str
    since: float
    is_whole: bool


class Outages:
    def __init__(self) -> None:
        self._of: dict[str, Outage] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def whole(self, interface: str) -> Outage | None:
        """Why nobody is reached by this interface; None: some are, or all."""
        outage = self._of.get(interface)
        return outage if outage is not None and outage.is_whole else None

    def of(self, flow: Flow) -> Outage | None:
        """Why nothing leaves by this flow; None: it can."""
        outage = self._of.get(flow.interface)
        return outage if outage is not None and (outage.is_whole or flow.local.host in outage.missing) else None

    def changed(self, interface: Interface, missing: tuple[str, ...], why: str, now: float) -> list[Log]:
        """`missing` empty: all is well. Nothing to say where that is known already."""
        before = self._of.get(interface.name)
        if not missing:
            if self._of.pop(interface.name, None) is None:
                return []
            back = (("interface", interface.name), ("why", why or "all its addresses are back"))
            return [Log("info", "interface.up", back)]
        since = now if before is None else before.since
        outage = self._of[interface.name] = _outage(interface, frozenset(missing), why, since)
        if before is not None and before.why == outage.why:
            return []  # as it is known
        return [Log("error", "interface.down", (("alarm", True), ("interface", interface.name), ("why", why)))]

    def change_policy(self, interfaces: Mapping[str, Interface]) -> list[Log]:
        """A reload: what has been taken away needs nothing any more."""
        before, self._of = self._of, {}
        logs: list[Log] = []
        for name, outage in before.items():
            missing = outage.missing & _addresses(interfaces[name]) if name in interfaces else frozenset[str]()
            if missing:
                why = outage.why.removeprefix(f"interface {name}: ")
                self._of[name] = _outage(interfaces[name], missing, why, outage.since)
            else:
                why = "its missing addresses are not in the policy any more"
                logs.append(Log("info", "interface.up", (("interface", name), ("why", why))))
        return logs


def _outage(interface: Interface, missing: frozenset[str], why: str, since: float) -> Outage:
    sip = {listener.address.host for listener in interface.listeners}
    return Outage(
        missing,
        f"interface {interface.name}: {why}",
        since,
        is_whole=sip <= missing or missing.issuperset(interface.media),
    )


def _addresses(interface: Interface) -> frozenset[str]:
    return frozenset({*interface.media, *(listener.address.host for listener in interface.listeners)})
