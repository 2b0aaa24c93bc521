"""How many new calls and minutes are allowed: the rate of the node and of each trunk, the limits of PBXs and routes.

One place for what `rates` counts: made from the policy, changed in place by a reload, and kept over a restart where it
counts minutes. Part of `relations`.
"""

from collections.abc import Collection
from typing import Final

from sbc.core.commands import StoreState
from sbc.peering.rates import Rate, Usage
from sbc.peering.views import LimitView
from sbc.policy.engine import Policy
from sbc.policy.model import Limits

SAVE_SECONDS: Final = 5.0  # between writings of the minutes that were spent
KEPT: Final = "usage"  # what keys of kept minutes begin with


class Quotas:
    def __init__(self, policy: Policy) -> None:
        self._node: Rate | None = None
        self._trunks: dict[str, Rate] = {}
        self._usage: dict[str, Usage] = {}
        self._saved: dict[str, bytes] = {}  # of those that count minutes
        self._save_at: float | None = None
        self.set_policy(policy)

    def set_policy(self, policy: Policy) -> None:
        """What was counted so far goes on counting."""
        peers = policy.peers.values()
        self._trunks = {p.name: _rate(self._trunks.get(p.name), p.cps) for p in peers if p.cps is not None}
        self._node = None if policy.cps is None else _rate(self._node, policy.cps)
        limits: dict[str, Limits] = {f"pbx {p.name}": p.limits for p in peers if p.limits is not None}
        limits |= {f"route {r.name}": r.limits for r in policy.routes if r.limits is not None}
        usage: dict[str, Usage] = {}
        for key, limit in limits.items():
            usage[key] = self._usage.get(key) or Usage(limit)
            usage[key].limits = limit
        self._usage = usage

    def restore(self, key: str, saved: bytes) -> None:
        """What was kept before the last stop; of a limit that is gone it is forgotten."""
        if key in self._usage:
            self._usage[key].restore(saved)
            self._saved[key] = saved

    def start(self, now: float) -> None:
        """Also after a reload."""
        counts_minutes = any(usage.limits.minutes_per_day is not None for usage in self._usage.values())
        self._save_at = now + SAVE_SECONDS if counts_minutes else None

    def admits_to(self, trunk: str, now: float) -> bool:
        """Whether the rate of new calls towards this trunk allows one more; it is counted if so."""
        rate = self._trunks.get(trunk)
        return rate is None or rate.allows(now)

    def admits_any(self, now: float) -> bool:
        """The node's own rate, likewise."""
        return self._node is None or self._node.allows(now)

    def usage(self, key: str) -> Usage | None:
        """Of `pbx NAME` or `route NAME`; None: it has no limits."""
        return self._usage.get(key)

    def keys_of(self, usages: Collection[Usage]) -> tuple[str, ...]:
        """By which `usage` gives these."""
        return tuple([key for key, usage in self._usage.items() if usage in usages]) if usages else ()

    def end_all(self, ref: str, now: float, wall: float) -> None:
        """This call uses no limit any more, whichever it has used. `wall`: wall-clock seconds (UTC) at `now`."""
        for usage in self._usage.values():
            usage.end(ref, now, wall)

    def views(self, now: float, wall: float) -> tuple[LimitView, ...]:
        """`wall`: wall-clock seconds (UTC) at `now`."""
        return tuple(
            LimitView(
                key,
                usage.running,
                usage.limits.call_paths,
                usage.minutes(now, wall),
                usage.limits.minutes_per_day,
                usage.limits.cps,
            )
            for key, usage in self._usage.items()
        )

    def tick(self, now: float) -> list[StoreState]:
        """Minutes that were spent stay spent over a restart, but for those of the last seconds."""
        if self._save_at is None or now < self._save_at:
            return []
        self._save_at = now + SAVE_SECONDS
        outs: list[StoreState] = []
        for key, usage in self._usage.items():
            saved = usage.saved(now)
            if usage.limits.minutes_per_day is not None and _spent(self._saved.get(key, b"")) != _spent(saved):
                self._saved[key] = saved
                outs.append(StoreState(f"{KEPT}/{key}", saved))
        return outs

    def next_deadline(self) -> float | None:
        return self._save_at


def _spent(saved: bytes) -> list[bytes]:
    """Without up to when: of nobody who runs nothing is spent."""
    return saved.split(b" ")[:2]


def _rate(old: Rate | None, per_second: int) -> Rate:
    if old is None:
        return Rate(per_second)
    old.per_second = per_second
    return old
