"""Call paths: who holds how much of a trunk's simultaneous-call capacity.

A call path is a member, held by one leg of one call, and never an increment: what is used is how many hold. Giving back
twice changes nothing, and a count cannot outlive its holders. Several trunks may share a pool. No RFC knows of call
paths; the rules are the contract's, sections 2 and 7. It does not end calls and does not know them: the switch takes,
gives back, and proves the count with `reconcile`.
"""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from sbc.peering.peaks import DayPeaks
from sbc.peering.views import Direction, HolderView, PathView
from sbc.policy.model import PathRules

_UNLIMITED: Final = PathRules()


class PathLedger:
    """Taking and giving back cost the same however many paths are held."""

    def __init__(self) -> None:
        self._rules: dict[str, PathRules] = {}
        self._known: frozenset[str] = frozenset()  # trunks of the policy
        self._trunks: dict[str, _Account] = {}
        self._pool_of: dict[str, str] = {}  # trunk -> pool; also of trunks that left the policy with calls up
        self._pools: dict[str, _Pool] = {}
        self._calls: dict[str, dict[tuple[int, str], HolderView]] = {}  # ref -> leg and trunk -> holder
        self.today = DayPeaks()
        self._leaked = 0

    def __len__(self) -> int:
        return sum(map(len, self._calls.values()))

    @property
    def leaked(self) -> int:
        """Paths that `reconcile` had to take from calls that were gone, since the start. Not 0: a defect of ours."""
        return self._leaked

    def peaks(self, now: float) -> dict[str, int]:
        """Most paths held at once on this day (UTC), by trunk; what was taken before midnight and is held counts."""
        self._turn_to(now)
        return dict(self.today.trunks)

    def set_rules(
        self, rules: Mapping[str, PathRules], pools: Mapping[str, int], unlimited: Collection[str] = ()
    ) -> None:
        """What counts from now on, at start and after a reload. Whoever holds a path keeps it, whatever the caps say.

        A trunk that is not in `rules` has no limit; `unlimited` are those of the policy. In a pool, a trunk's own
        maxima go on counting, and a class's reserve is the largest that any of the pool's trunks asks for.
        """
        members = {name: rule.pool for name, rule in rules.items() if rule.pool is not None}
        gone = {name: pool for name, pool in self._pool_of.items() if name not in rules and self._trunks.get(name)}
        self._rules = dict(rules)
        self._known = frozenset((*rules, *unlimited))
        self._pool_of = gone | members
        self._trunks = {name: self._trunks.get(name) or _Account() for name in (*rules, *unlimited)} | {
            name: account for name, account in self._trunks.items() if account
        }
        self._pools = {
            name: _Pool(total, tuple(rule for rule in rules.values() if rule.pool == name))
            for name, total in pools.items()
        }
        for holder in self._holders():
            pool = self._pool(holder.trunk)
            if pool is not None:
                pool.account.add(holder)

    def would_fit(self, trunk: str, direction: Direction) -> bool:
        """Whether an ordinary call would get a path now."""
        rules = self._rules.get(trunk, _UNLIMITED)
        account = self._trunks.get(trunk) or _Account()
        most = rules.inbound if direction == "inbound" else rules.outbound
        if most is not None and account.used(direction) >= most:
            return False
        pool = self._pool(trunk)
        if pool is not None:
            return pool.account.has_room(direction, pool.rules)
        return account.has_room(direction, rules)

    def take(
        self, trunk: str, ref: str, leg: int, direction: Direction, now: float, *, emergency: bool = False
    ) -> bool:
        """False: full, and nothing was taken. Emergencies always get one. The same leg on the same trunk holds one."""
        holders = self._calls.get(ref)
        if holders is not None and (leg, trunk) in holders:
            return True
        if not emergency and not self.would_fit(trunk, direction):
            return False
        if now >= self.today.day_ends:
            self._turn_to(now)
        self._hold(HolderView(trunk, ref, leg, direction, now, emergency))
        self.today.wait(now)
        return True

    def give_back(self, ref: str, leg: int) -> tuple[HolderView, ...]:
        """What this leg holds, on any trunk; nothing where it holds nothing."""
        holders = tuple([holder for holder in self._calls.get(ref, {}).values() if holder.leg == leg])
        for holder in holders:
            self._release(holder)
        return holders

    def take_again(self, holders: Iterable[HolderView]) -> None:
        """What was given back a moment ago, since nobody has use for it: whatever the caps say now."""
        for holder in holders:
            self._hold(holder)

    def move(self, ref: str, leg: int, new_ref: str, new_leg: int) -> None:
        """What this leg holds, it holds as a leg of another call from now on: two calls have become one."""
        for holder in [holder for holder in self._calls.get(ref, {}).values() if holder.leg == leg]:
            # The new one first: a trunk that has left the policy is forgotten with its last holder.
            self._add(replace(holder, ref=new_ref, leg=new_leg))
            self._release(holder)

    def held_by(self, ref: str) -> Collection[HolderView]:
        """What the legs of this call hold."""
        holders = self._calls.get(ref)
        return holders.values() if holders is not None else ()

    def give_back_all(self, ref: str) -> None:
        """What any leg of this call still holds: for the call's one exit."""
        for holder in list(self._calls.get(ref, {}).values()):
            self._release(holder)

    def used(self, trunk: str, direction: Direction | None = None) -> int:
        """Emergencies count in their direction."""
        account = self._trunks.get(trunk)
        if account is None:
            return 0
        return len(account) if direction is None else account.used(direction)

    def views(self, now: float, *, with_holders: bool = True) -> tuple[PathView, ...]:
        """Every trunk with its holders, oldest first; after the trunks the pools, whose holders are their trunks'."""
        self._turn_to(now)
        trunks = (
            PathView(
                name,
                self._limit(name),
                len(account),
                account.holders() if with_holders else (),
                pool=self._pool_of.get(name, ""),
                peak_today=self.today.trunks[name],
                inbound=account.used("inbound"),
                outbound=account.used("outbound"),
            )
            for name, account in self._trunks.items()
        )
        pools = (
            PathView(
                name,
                pool.rules.total,
                len(pool.account),
                pool.account.holders() if with_holders else (),
                kind="pool",
                peak_today=self.today.pools[name],
                inbound=pool.account.used("inbound"),
                outbound=pool.account.used("outbound"),
            )
            for name, pool in self._pools.items()
        )
        return (*trunks, *pools)

    def reconcile(self, alive: Container[str]) -> list[HolderView]:
        """Take back what calls that are not in `alive` hold, and say which that were. There must be none."""
        gone = [held for ref, held in self._calls.items() if ref not in alive]
        leaked = [holder for held in gone for holder in held.values()]
        for holder in leaked:
            self._release(holder)
        self._leaked += len(leaked)
        return leaked

    def _holders(self) -> Iterator[HolderView]:
        for holders in self._calls.values():
            yield from holders.values()

    def _turn_to(self, now: float) -> None:
        """A new day begins with what is held."""
        if now >= self.today.day_ends:
            trunks = {name: len(account) for name, account in self._trunks.items() if account}
            self.today.begin_day(trunks, {name: len(pool.account) for name, pool in self._pools.items()}, now)

    def _pool(self, trunk: str) -> "_Pool | None":
        """None also for a pool that left the policy while its trunks' calls are up."""
        return self._pools.get(self._pool_of.get(trunk, ""))

    def _limit(self, trunk: str) -> int | None:
        pool = self._pool(trunk)
        return self._rules.get(trunk, _UNLIMITED).total if pool is None else pool.rules.total

    def _hold(self, holder: HolderView) -> None:
        held, pool = self._add(holder)
        if pool is None:
            self.today.see(holder.trunk, held, "", 0)
        else:
            self.today.see(holder.trunk, held, self._pool_of[holder.trunk], len(pool.account))

    def _add(self, holder: HolderView) -> "tuple[int, _Pool | None]":
        """How many the trunk holds then, and its pool."""
        self._calls.setdefault(holder.ref, {})[holder.leg, holder.trunk] = holder
        account = self._trunks.setdefault(holder.trunk, _Account())
        account.add(holder)
        pool = self._pool(holder.trunk)
        if pool is not None:
            pool.account.add(holder)
        return len(account), pool

    def _release(self, holder: HolderView) -> None:
        holders = self._calls[holder.ref]
        del holders[holder.leg, holder.trunk]
        if not holders:
            del self._calls[holder.ref]
        account = self._trunks[holder.trunk]
        account.discard(holder)
        pool = self._pool(holder.trunk)
        if pool is not None:
            pool.account.discard(holder)
        if not account and holder.trunk not in self._known:
            del self._trunks[holder.trunk]
            self._pool_of.pop(holder.trunk, None)


class _Account:
    """The holders of one trunk or one pool, by direction and by whether they are emergencies."""

    __slots__ = ("_emergency", "_ordinary")

    def __init__(self) -> None:
        self._ordinary: dict[Direction, dict[HolderView, None]] = {"inbound": {}, "outbound": {}}
        self._emergency: dict[Direction, dict[HolderView, None]] = {"inbound": {}, "outbound": {}}

    def __len__(self) -> int:
        return self.used("inbound") + self.used("outbound")

    def used(self, direction: Direction) -> int:
        return len(self._ordinary[direction]) + len(self._emergency[direction])

    def add(self, holder: HolderView) -> None:
        self._of(holder)[holder] = None

    def discard(self, holder: HolderView) -> None:
        self._of(holder).pop(holder, None)

    def has_room(self, direction: Direction, rules: PathRules) -> bool:
        """One more of this direction fits beside what the other direction and the emergencies hold or may claim."""
        if rules.total is None:
            return True
        other: Direction = "outbound" if direction == "inbound" else "inbound"
        reserve = rules.reserve_outbound if other == "outbound" else rules.reserve_inbound
        emergencies = len(self._emergency["inbound"]) + len(self._emergency["outbound"])
        taken = len(self._ordinary[direction])
        taken += max(len(self._ordinary[other]), reserve)
        taken += max(emergencies, rules.reserve_emergency)
        return taken < rules.total

    def holders(self) -> tuple[HolderView, ...]:
        every = [holder for kind in (self._ordinary, self._emergency) for some in kind.values() for holder in some]
        return tuple(sorted(every, key=lambda holder: (holder.since, holder.ref, holder.leg)))

    def _of(self, holder: HolderView) -> "dict[HolderView, None]":
        return (self._emergency if holder.emergency else self._ordinary)[holder.direction]


class _Pool:
    """Paths bought once: all its trunks' holders in one account, under one rule."""

    __slots__ = ("account", "rules")

    def __init__(self, total: int, members: tuple[PathRules, ...]) -> None:
        self.account = _Account()
        self.rules = PathRules(
            total=total,
            reserve_emergency=max((rule.reserve_emergency for rule in members), default=0),
            reserve_inbound=max((rule.reserve_inbound for rule in members), default=0),
            reserve_outbound=max((rule.reserve_outbound for rule in members), default=0),
        )
