"""What goes wrong in a simulation, and how it gets well again. Each is said to the book, which knows what it excuses.

A death of signalling excuses only calls in set-up: what was established has to survive it (`attempt.touched`).
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sbc.b2bua.events import (
    BusyOutOrdered,
    ClockSet,
    DrainOrdered,
    DrainRevoked,
    DrillOrdered,
    HangUpOrdered,
    PolicyChanged,
)
from sbc.testing.net import Conditions
from sbc.testing.simulation.scene import policy
from sbc.testing.world import read_policy

if TYPE_CHECKING:
    from sbc.testing.simulation.simulation import Simulation

_BAD: Final = (
    Conditions(delay=0.02, jitter=0.05, loss=0.15, duplicate=0.05, reorder=0.1),
    Conditions(delay=0.2, jitter=0.3, loss=0.02, reorder=0.3),
    Conditions(delay=0.005, duplicate=0.5),
    Conditions(delay=0.01, jitter=0.03, loss=0.3, pieces=True),
)
GOOD: Final = Conditions(delay=0.005)
_POWER_CUT_SECONDS: Final = 2.0  # what was new then may be lost with the disk's last group


class Faults:
    """`mean`: seconds between two faults, on average."""

    def __init__(self, sim: "Simulation", dice: random.Random, mean: float, *, deaths: bool) -> None:
        self._sim = sim
        self._dice = dice
        self._mean = mean
        self._until = 0.0
        self.told: list[tuple[float, str]] = []  # when, what
        self.is_bad_weather = False
        kinds: list[Callable[[], None]] = [
            self._weather, self._weather, self._phone_dies, self._phone_dies, self._connections_break,
            self._worker_dies, self._reload, self._drain, self._drill, self._busy_out, self._clock, self._full_disk,
            self._operator,
        ]  # fmt: skip
        if deaths:
            kinds += [self._signalling_dies] * 6 + [self._everything_dies]
        self._kinds = kinds

    def begin(self, until: float) -> None:
        self._until = until
        self._sim.later(self._dice.expovariate(1 / self._mean), self._next)

    def _next(self) -> None:
        if self._sim.now >= self._until:
            return
        self._dice.choice(self._kinds)()
        self._sim.later(self._dice.expovariate(1 / self._mean), self._next)

    def _tell(self, what: str) -> None:
        self.told.append((self._sim.now, what))

    def _excuse(self, why: str, whose: str = "") -> None:
        self._sim.book.excuse(why, self._sim.now, whose=whose)

    # --- the network and those at its ends ----------------------------------------------------------------------------

    def _weather(self) -> None:
        if self.is_bad_weather:
            return
        conditions, seconds = self._dice.choice(_BAD), self._dice.uniform(5.0, 90.0)
        self._tell(f"bad network for {seconds:.0f} s: {conditions}")
        self._excuse("weather")
        self.is_bad_weather = True
        self._sim.world.net.conditions = conditions
        self._sim.later(seconds, self._good_weather)

    def _good_weather(self) -> None:
        self.is_bad_weather = False
        self._excuse("weather")
        self._sim.world.net.conditions = GOOD

    def _phone_dies(self) -> None:
        station = self._sim.stations[self._dice.choice(list(self._sim.stations))]
        silently, seconds = self._dice.random() < 0.5, self._dice.uniform(1.0, 120.0)
        if not station.is_up:
            return
        self._tell(f"{station.name} dies {'silently ' if silently else ''}for {seconds:.0f} s")
        self._excuse("death", station.name)
        station.is_up = False
        station.phone.dies(silently=silently)
        self._sim.later(seconds, lambda: self._phone_lives(station.name))

    def _phone_lives(self, name: str) -> None:
        station = self._sim.stations[name]
        if station.is_up:
            return
        self._excuse("death", name)
        station.phone.revives()
        station.is_up = True
        if name == "branch":
            self._sim.register()

    def _connections_break(self) -> None:
        name = self._dice.choice(("branch", "backup"))
        self._tell(f"connections of {name} break")
        self._excuse("reset", name)
        if self._sim.stations[name].is_up:
            self._sim.world.net.reset(self._sim.stations[name].phone.agent)
        if name == "branch":
            self._sim.later(1.0, self._sim.register)

    # --- us -----------------------------------------------------------------------------------------------------------

    def _signalling_dies(self) -> None:
        world, dice = self._sim.world, self._dice
        after, pause = dice.choice((0, 0, dice.randrange(1, 60))), dice.uniform(0.05, 3.0)
        lost = dice.random() < 0.5
        if world.lives.is_dead or world.lives.dies_after is not None:
            return
        self._tell(f"signalling dies after {after} commands; lives again {pause:.2f} s later")
        world.signalling_dies(after=after, records_lost=lost)
        if after:
            self._sim.later(2.0, self._dies_at_last)
        self._sim.when_dead(lambda: self._mark("signalling died"), pause)

    def _dies_at_last(self) -> None:
        """Where so many commands have not come meanwhile."""
        if self._sim.world.lives.dies_after is not None:
            self._sim.world.signalling_dies()

    def _everything_dies(self) -> None:
        world, pause = self._sim.world, self._dice.uniform(1.0, 15.0)
        if world.lives.is_dead or world.lives.dies_after is not None:
            return
        self._tell(f"power cut; everything lives again {pause:.1f} s later")
        for attempt in self._sim.book.under_way(self._sim.now):
            recent = [attempt.begun_at, attempt.answered_at or 0.0, *attempt.ends.values(), attempt.changed_at]
            if self._sim.now - max(recent) < _POWER_CUT_SECONDS:
                attempt.excuses.append("power")
        world.everything_dies(late=0.2)
        self._sim.when_dead(lambda: self._mark("power cut"), pause)

    def _mark(self, what: str) -> None:
        """A death has happened: what was established has to survive it."""
        now = self._sim.now
        self._sim.watch.died()
        for attempt in self._sim.book.under_way(now):
            if attempt.is_established(now):
                attempt.touched.append(f"{now:.3f} {what}")
            else:
                attempt.excuses.append("crash")

    def _worker_dies(self) -> None:
        world = self._sim.world
        if world.media.worker is None or world.lives.is_dead:
            return
        self._tell("the media worker dies")
        world.worker_dies()
        self._sim.later(self._dice.uniform(0.1, 3.0), self._worker_lives)

    def _worker_lives(self) -> None:
        world = self._sim.world
        if world.media.worker is None and not world.lives.is_dead:
            world.worker_starts()

    def _reload(self) -> None:
        variant = self._dice.randrange(3)
        if self._sim.world.lives.is_dead:
            return
        self._tell(f"reload of policy {variant}")
        self._sim.world.policy = read_policy(policy(variant))
        self._sim.tell(PolicyChanged(self._sim.world.policy))

    def _drain(self) -> None:
        seconds = self._dice.uniform(2.0, 30.0)
        self._tell(f"drain for {seconds:.0f} s")
        self._sim.tell(DrainOrdered(self._sim.now + 3600.0, is_leaving=True))
        self._sim.surely(seconds, lambda: self._sim.tell(DrainRevoked()))

    def _drill(self) -> None:
        pbx, seconds = self._dice.choice(("office", "branch")), self._dice.uniform(5.0, 60.0)
        self._tell(f"drill of {pbx} for {seconds:.0f} s")
        self._sim.tell(DrillOrdered(pbx, on=True))
        self._sim.surely(seconds, lambda: self._sim.tell(DrillOrdered(pbx, on=False)))

    def _busy_out(self) -> None:
        trunk, seconds = self._dice.choice(("carrier", "backup")), self._dice.uniform(5.0, 60.0)
        self._tell(f"{trunk} is busied out for {seconds:.0f} s")
        self._sim.tell(BusyOutOrdered(trunk, on=True))
        self._sim.surely(seconds, lambda: self._sim.tell(BusyOutOrdered(trunk, on=False)))

    def _clock(self) -> None:
        step = self._dice.choice((-3600.0, 3600.0, -7.0, 0.6))
        self._tell(f"the wall clock steps by {step} s")
        self._excuse("clock")
        self._sim.world.wall_at_zero += step
        self._sim.tell(ClockSet(self._sim.world.wall_at_zero))

    def _full_disk(self) -> None:
        if self._sim.world.disk_is_full:
            return
        seconds = self._dice.uniform(5.0, 120.0)
        self._tell(f"the disk is full for {seconds:.0f} s")
        self._sim.world.disk_is_full = True
        self._sim.later(seconds, self._room)

    def _room(self) -> None:
        self._sim.world.disk_has_room()

    def _operator(self) -> None:
        world = self._sim.world
        calls = [] if world.lives.is_dead else sorted(world.switch.calls)
        if not calls:
            return
        ref = self._dice.choice(calls)
        self._tell(f"an operator hangs up {ref}")
        self._sim.ordered.add(ref)
        self._sim.tell(HangUpOrdered(ref))

    # --- the end of a shift -------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Everybody is there, and all is well."""
        world = self._sim.world
        self._good_weather()
        for name in self._sim.stations:
            self._phone_lives(name)
        if world.disk_is_full:
            self._room()
        self._worker_lives()
        for pbx in ("office", "branch"):
            self._sim.tell(DrillOrdered(pbx, on=False))
        for trunk in ("carrier", "backup"):
            self._sim.tell(BusyOutOrdered(trunk, on=False))
        self._sim.tell(DrainRevoked())
