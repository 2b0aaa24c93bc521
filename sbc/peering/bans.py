"""Who is banned, until when and why; and who is about to be (sans-IO, no RFC: the rules are the policy's, `sbc.bans`).

A source is an address in canonical text; of IPv6 it is its /64, since whoever has one address there has all of them. An
offence is a strike; so many within the time that the policy gives ban. The operator bans and lifts besides. Both tables
are bounded. Bans survive a restart (`StoreState`, keys `ban/…`), strikes do not.

It does not know who may not be banned, and reads no message: `b2bua.keeping_out`, which uses it, does.
"""

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec
from msgspec import Struct

from sbc.core import limits
from sbc.core.address import canonical_ip
from sbc.core.commands import BlockAll, BlockSource, Log, StoreState
from sbc.core.timers import Schedule
from sbc.peering.views import BanView
from sbc.policy.protection import BanRules

KEPT: Final = "ban"
LONGEST_SECONDS: Final = 30 * 86_400.0  # of an operator's ban
_MANY: Final = limits.BANS // 2
_FEW: Final = limits.BANS // 4
_LINES: Final = 10  # about single bans a minute; of more only their number is said
_LINES_SECONDS: Final = 60.0

By = Literal["sbc", "operator"]
Out = Log | StoreState | BlockSource | BlockAll


class _Ban(Struct, frozen=True):
    since: float
    until: float
    by: By
    why: str


class _Kept(Struct, frozen=True):
    """Seconds of the engine's clock, which goes on over a restart; where `clock` is missing, of the wall, as before."""

    since: float
    until: float
    by: By
    why: str
    clock: str = ""


def source_of(host: str) -> str | None:
    """What is banned with this address (any literal form): itself, or its /64. None: it is none, or a network."""
    ip = canonical_ip(host.strip().lower().removesuffix("/64"))
    if ip is None or "%" in ip:
        return None
    if ":" not in ip or ip == "::1":  # loopback is trusted, and its /64 would not be
        return ip
    return str(ipaddress.ip_network(f"{ip}/64", strict=False))


class Bans:
    """`rules` may be replaced at any time."""

    def __init__(self, rules: BanRules) -> None:
        self.rules = rules
        self.added = 0  # by offences, since the start
        self._bans: dict[str, _Ban] = {}
        self._strikes: OrderedDict[str, deque[float]] = OrderedDict()
        self._due: Schedule[str] = Schedule()
        self._outdated: list[str] = []
        self._views: tuple[BanView, ...] | None = ()
        self._is_many_said = False
        self._lines_from = 0.0
        self._lines = 0
        self._unsaid = 0

    def __len__(self) -> int:
        return len(self._bans)

    @property
    def struck(self) -> int:
        """Sources whose offences are counted."""
        return len(self._strikes)

    def is_banned(self, source: str) -> bool:
        """`source`: as `source_of` gives it."""
        return source in self._bans

    # --- across restarts ----------------------------------------------------------------------------------------------

    def restore(self, items: Iterable[tuple[str, bytes]], now: float, wall_at_zero: float) -> None:
        """What was kept before the last stop, but for what is over."""
        for key, value in items:
            kind, _, source = key.partition("/")
            if kind != KEPT:
                continue
            ban = _restored(value, source, now, wall_at_zero)
            if ban is None or len(self._bans) >= limits.BANS:
                self._outdated.append(key)
            else:
                self._put(source, ban)

    def start(self) -> list[Out]:
        """What was kept and is good for nothing; and the whole list for who mirrors it."""
        outs: list[Out] = [StoreState(key, None) for key in self._outdated]
        self._outdated.clear()
        return [*outs, *self._say_many()]

    # --- what bans ----------------------------------------------------------------------------------------------------

    def strike(self, source: str, why: str, now: float, weight: int = 1) -> list[Out]:
        """An offence. `weight`: as many as that. `why`: a few words of ours."""
        if not self.rules.is_on or source in self._bans:
            return []
        struck = self._strikes.get(source)
        if struck is None:
            struck = self._strikes[source] = deque()
            if len(self._strikes) > limits.STRUCK_SOURCES:
                self._strikes.popitem(last=False)
        else:
            self._strikes.move_to_end(source)
        while struck and struck[0] <= now - self.rules.within:
            struck.popleft()
        struck.extend([now] * min(weight, self.rules.strikes))
        if len(struck) < self.rules.strikes:
            return []
        del self._strikes[source]
        self.added += 1
        return self._add(source, self.rules.lasts, "sbc", why, now)

    def add(self, source: str, seconds: float, why: str, now: float) -> list[Out]:
        """The operator's; it takes the place of one that is there."""
        return self._add(source, min(seconds, LONGEST_SECONDS), "operator", why, now)

    def _add(self, source: str, seconds: float, by: By, why: str, now: float) -> list[Out]:
        outs: list[Out] = []
        if source not in self._bans and len(self._bans) >= limits.BANS:
            gone = self._least()
            if by == "sbc" and self._bans[gone].by == "operator":
                return []  # he has banned all that there is room for
            outs += self._drop(gone)
        ban = _Ban(now, now + seconds, by, why[: limits.BAN_WHY_CHARACTERS])
        self._put(source, ban)
        fields = (("address", source), ("seconds", round(seconds)), ("by", by), ("why", ban.why))
        outs += self._line(Log("warning" if by == "operator" else "info", "ban.added", fields), now, by)
        outs += [StoreState(f"{KEPT}/{source}", _kept(ban)), BlockSource(source, seconds)]
        return [*outs, *self._say_many()]

    def _least(self) -> str:
        """The one that is there longest, and so would end first; the operator's last."""
        return next((source for source, ban in self._bans.items() if ban.by == "sbc"), next(iter(self._bans)))

    # --- what ends bans -----------------------------------------------------------------------------------------------

    def lift(self, source: str, why: str, now: float) -> list[Out]:
        """Before its time. Nothing where there is no such ban. Its strikes are forgotten, too."""
        self._strikes.pop(source, None)
        ban = self._bans.get(source)
        if ban is None:
            return []
        fields = (("address", source), ("why", why), ("banned_seconds", round(now - ban.since)))
        return [*self._line(Log("info", "ban.lifted", fields), now, "operator"), *self._drop(source), *self._say_many()]

    def lift_trusted(self, is_trusted: Callable[[str], bool], now: float) -> list[Out]:
        """A reload or the DNS has made peers of some."""
        outs: list[Out] = []
        for source in [source for source in self._strikes if is_trusted(source)]:
            del self._strikes[source]
        for source in [source for source in self._bans if is_trusted(source)]:
            outs += self.lift(source, "a peer speaks from there", now)
        return outs

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for source in self._due.pop_due(now):
            if source in self._bans:
                outs += self._drop(source, is_over=True)
        if self._unsaid and now >= self._lines_from + _LINES_SECONDS:
            outs += self._line(None, now, "sbc")
        return [*outs, *self._say_many()] if outs else []

    def next_deadline(self) -> float | None:
        due = self._due.next()
        if not self._unsaid:
            return due
        said = self._lines_from + _LINES_SECONDS
        return said if due is None else min(due, said)

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def views(self) -> tuple[BanView, ...]:
        """The newest first. Made when something has changed."""
        if self._views is None:
            rows = sorted(self._bans.items(), key=lambda row: row[1].since, reverse=True)
            self._views = tuple([BanView(source, ban.since, ban.until, ban.by, ban.why) for source, ban in rows])
        return self._views

    def everyone(self, now: float) -> BlockAll:
        """For who mirrors the list: each source and for how many seconds more."""
        return BlockAll(tuple([(source, ban.until - now) for source, ban in self._bans.items() if ban.until > now]))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _put(self, source: str, ban: _Ban) -> None:
        self._bans[source] = ban
        self._due.set(source, ban.until)
        self._views = None

    def _drop(self, source: str, *, is_over: bool = False) -> list[Out]:
        del self._bans[source]
        self._due.set(source, None)
        self._views = None
        forget = StoreState(f"{KEPT}/{source}", None)
        return [forget] if is_over else [forget, BlockSource(source, 0.0)]  # whoever mirrors it has the time, too

    def _line(self, line: Log | None, now: float, by: By) -> list[Out]:
        """A thousand banned in a minute are a hundred lines nobody reads: ten, and how many more there were."""
        outs: list[Out] = []
        if now >= self._lines_from + _LINES_SECONDS:
            if self._unsaid:
                outs.append(Log("info", "ban.more", (("changes", self._unsaid), ("bans", len(self._bans)))))
            self._lines_from, self._lines, self._unsaid = now, 0, 0
        if line is None:
            return outs
        if by == "operator" or self._lines < _LINES:
            self._lines += 1
            return [*outs, line]
        self._unsaid += 1
        return outs

    def _say_many(self) -> list[Out]:
        """An alarm while half of the room is taken: somebody attacks from many places, or everybody is shut out."""
        if not self._is_many_said and len(self._bans) >= _MANY:
            self._is_many_said = True
            return [Log("error", "ban.many", (("bans", len(self._bans)), ("room", limits.BANS), ("alarm", True)))]
        if self._is_many_said and len(self._bans) < _FEW:
            self._is_many_said = False
            return [Log("warning", "ban.few_again", (("bans", len(self._bans)),))]
        return []


def _kept(ban: _Ban) -> bytes:
    return msgspec.json.encode(_Kept(ban.since, ban.until, ban.by, ban.why, "engine"))


def _restored(value: bytes, source: str, now: float, wall_at_zero: float) -> _Ban | None:
    try:
        kept = msgspec.json.decode(value, type=_Kept)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    zero = 0.0 if kept.clock else wall_at_zero
    until = kept.until - zero
    if source_of(source) != source or not now < until <= now + LONGEST_SECONDS:
        return None
    return _Ban(min(kept.since - zero, now), until, kept.by, kept.why[: limits.BAN_WHY_CHARACTERS])
