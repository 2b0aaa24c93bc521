"""Whether each PBX that registers has a binding: since when, and what is said when the last one goes.

What `health` is to peers that are probed, this is to those that register. It keeps no binding itself (`registrar`
does). Used by `relations`.
"""

from sbc.core.commands import Log


class Presence:
    def __init__(self) -> None:
        self._pbxs: dict[str, _Pbx] = {}

    def watch(self, pbx: str, now: float, *, is_registered: bool) -> None:
        """From now on. One that is not there yet is nobody's fault; what is known already stays known."""
        if pbx not in self._pbxs:
            self._pbxs[pbx] = _Pbx(now, is_registered=is_registered)

    def forget(self, pbx: str) -> list[Log]:
        """It registers no more, or is gone; what was said of it is over."""
        known = self._pbxs.pop(pbx, None)
        if known is None or not known.is_said_down:
            return []
        return [Log("info", "peer.up", (("peer", pbx), ("why", "it need not register any more")))]

    def weigh(self, pbx: str, why_gone: str, now: float, *, is_registered: bool) -> list[Log]:
        """Its bindings have changed. `why_gone`: if this one has none any more."""
        known = self._pbxs.get(pbx)
        if known is None or known.is_registered == is_registered:
            return []
        known.is_registered, known.since = is_registered, now
        if not is_registered:
            known.why, known.is_said_down = f"not registered: {why_gone}", True
            return [Log("error", "peer.down", (("alarm", True), ("peer", pbx), ("why", known.why)))]
        known.why, was_said_down, known.is_said_down = "registered", known.is_said_down, False
        return [Log("info", "peer.up", (("peer", pbx), ("why", known.why)))] if was_said_down else []

    def since(self, pbx: str) -> float:
        """When it registered, or ceased to be registered."""
        known = self._pbxs.get(pbx)
        return 0.0 if known is None else known.since

    def why(self, pbx: str) -> str:
        known = self._pbxs.get(pbx)
        return "not registered" if known is None else known.why


class _Pbx:
    __slots__ = ("is_registered", "is_said_down", "since", "why")

    def __init__(self, now: float, *, is_registered: bool) -> None:
        self.is_registered = is_registered
        self.is_said_down = False
        self.since = now
        self.why = "registered" if is_registered else "not registered"
