"""One run: a world, its traffic and its faults, in shifts of virtual time, by one seed. The same seed, the same run.

A shift ends with all calls ended, a look at what is left, and an empty log, so that a run may last for ever. Time in
which nothing happens costs nothing. Who uses it: `sbc simulate` and tests/simulation.
"""

import hashlib
import random
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from sbc.b2bua.events import Event, HangUpOrdered, MediaReplied
from sbc.media import wire
from sbc.testing.binding import Binding
from sbc.testing.simulation.agenda import Agenda
from sbc.testing.simulation.attempts import Attempt, Book
from sbc.testing.simulation.faults import GOOD, Faults
from sbc.testing.simulation.invariants import Watch
from sbc.testing.simulation.scene import people, policy
from sbc.testing.simulation.station import Station
from sbc.testing.simulation.traffic import Traffic
from sbc.testing.simulation.violation import Violation
from sbc.testing.world import World

SHIFT_HOURS: Final = 4.0  # the longest time without a moment in which all is idle
_LOOK_SECONDS: Final = 60.0
_QUIET_SECONDS: Final = 100.0  # transactions are over
_SESSION_SECONDS: Final = 420.0  # session timers of 300 s are over too
_REGISTER_SECONDS: Final = 240.0


class Settings(Struct, frozen=True):
    """`fault_minutes`: from one fault to the next, on average; 0: none. `deaths`: signalling and power too."""

    seed: int
    hours: float = 1.0
    calls_per_hour: float = 60.0
    fault_minutes: float = 5.0
    deaths: bool = True


class Figures(Struct, frozen=True):
    """What a run was. `digest` stands for every octet that crossed the network, and when."""

    hours: float
    calls: int
    answered: int
    faults: int
    deaths: int
    messages: int
    digest: str


class Simulation:
    """`run` raises `Violation`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        dice = self._dice = random.Random(settings.seed)
        self.world = World(policy(0), seed=settings.seed, conditions=GOOD)
        self.world.cdr_seconds = 0.05
        self.agenda = Agenda()
        self.book = Book()
        self.ordered: set[str] = set()  # refs that an operator has hung up
        self.began_at = self.world.now
        self.died_at = 0.0
        self.is_rough = settings.fault_minutes > 0
        self.stations = {name: Station(self, name, phone) for name, phone in people(self.world).items()}
        self.traffic = Traffic(self, dice, settings.calls_per_hour)
        self.faults = Faults(self, dice, 60.0 * (settings.fault_minutes or 1.0), deaths=settings.deaths)
        self.watch = Watch(self)
        self._binding: Binding | None = None
        self._on_death: tuple[Callable[[], None], float] | None = None
        self._digest = hashlib.sha256()
        self._messages = self._answered = self._deaths = 0
        for station in self.stations.values():
            self._manners(station, dice)

    @property
    def now(self) -> float:
        return self.world.now

    # --- a run --------------------------------------------------------------------------------------------------------

    def run(self) -> Figures:
        left = 3600.0 * self.settings.hours
        self.later(1.0, self._register_again)
        while left > 0:
            shift = min(left, 3600.0 * SHIFT_HOURS)
            self._shift(shift)
            left -= shift
        return self.figures

    @property
    def figures(self) -> Figures:
        return Figures(
            self.settings.hours, self.book.made, self._answered, len(self.faults.told), self._deaths,
            self._messages, self._digest.hexdigest()[:16],
        )  # fmt: skip

    def _shift(self, seconds: float) -> None:
        end = self.now + seconds
        self.traffic.begins(end)
        if self.settings.fault_minutes:
            self.faults.begin(end)
        self.later(_LOOK_SECONDS, self._look)
        self._run_until(end)
        self.faults.heal()
        self._run_until(self.now + 60.0)
        for _ in range(2):
            self.traffic.ends_all()
            self._run_until(self.now + _QUIET_SECONDS)
        self._run_until(self.now + _SESSION_SECONDS)
        for news in self.world.media.tick(self.now):
            if not isinstance(news, wire.Running):
                self.tell(MediaReplied(news))
        self._run_until(self.now + _QUIET_SECONDS)
        self._end_forgotten()
        self.watch.judge()
        self._turn_page()

    def _end_forgotten(self) -> None:
        """Calls that were held when the phones of both sides died, which no timer ends: an operator does."""
        calls = self.world.switch.calls
        forgotten = {one.call_id for one in self.book.all if {"death", "power", "crash"} & set(one.excuses)}
        for ref in [ref for ref, call in sorted(calls.items()) if call.account.ingress_call_id in forgotten]:
            self.ordered.add(ref)
            self.tell(HangUpOrdered(ref))
        self._run_until(self.now + _QUIET_SECONDS)

    def _run_until(self, end: float) -> None:
        while True:
            due = self.agenda.next()
            self._until(end if due is None else min(due, end))
            move = self.agenda.pop_due(self.now)
            if move is not None:
                move()
            elif self.now >= end:
                return
            self._notice_death()

    def _until(self, at: float) -> None:
        """The network moves on; where signalling dies in between, that is noticed at once."""
        net, lives = self.world.net, self.world.lives
        if lives.dies_after is None:
            net.run_until(at)
            return
        net.run_while(lambda: not lives.is_dead, at_most=max(0.0, at - self.now))
        if not lives.is_dead:
            net.run_until(at)
        else:
            self._notice_death()
            net.run_until(at)

    # --- moves --------------------------------------------------------------------------------------------------------

    def later(self, seconds: float, move: Callable[[], None]) -> None:
        self.agenda.at(self.now + seconds, move)

    def surely(self, seconds: float, move: Callable[[], None]) -> None:
        """Then, or as soon as signalling lives: an operator tries again."""
        self.later(seconds, lambda: self.surely(1.0, move) if self.world.lives.is_dead else move())

    def tell(self, event: Event) -> None:
        self.world.net.perform(self.world.host, self.world.host.handle(event, self.now))

    def begins(self, attempt: Attempt) -> None:
        """What is wrong already when a call begins excuses it as well."""
        if self.faults.is_bad_weather:
            attempt.excuses.append("weather")
        if self.world.lives.is_dead:
            attempt.excuses.append("crash")
        if not any(self.stations[name].is_up for name in ("carrier", "second", "backup")):
            attempt.excuses.append("death")
        self.book.add(attempt)

    def when_dead(self, mark: Callable[[], None], pause: float) -> None:
        """Once signalling has died: say it to the book, and let it live again."""
        self._on_death = (mark, pause)
        self._notice_death()

    def _notice_death(self) -> None:
        if self._on_death is None or not self.world.lives.is_dead:
            return
        mark, pause = self._on_death
        self._on_death = None
        self.died_at = self.now
        self._deaths += 1
        mark()
        self.later(pause, self._live)
        self.later(self._dice.uniform(0.1, 2.0), self.register)  # whose connection is gone

    def _live(self) -> None:
        if not self.world.lives.is_dead:
            return
        had_media = bool(self.world.media.sessions)
        self.world.lives.begin(self.world.policy)
        self.later(1.0, lambda: self.watch.outlived(with_media=had_media))
        if self.world.lives.is_dead:
            self.when_dead(lambda: None, 1.0)

    def register(self) -> None:
        """The branch registers, and again before that runs out."""
        station = self.stations["branch"]
        if self._binding is None:
            self._binding = station.phone.registers("sip:branch@10.0.0.1", expires=600)
        elif station.is_up:
            station.does(station.phone.agent.register(self._binding, self.now))

    def _register_again(self) -> None:
        self.register()
        self.later(_REGISTER_SECONDS, self._register_again)

    def _look(self) -> None:
        self.watch.inspect()
        self.later(_LOOK_SECONDS, self._look)

    def _manners(self, station: Station, dice: random.Random) -> None:
        if dice.random() < 0.4:
            station.phone.uses_100rel()
        if dice.random() < 0.5:
            station.phone.uses_session_timer(300)

    # --- page after page ----------------------------------------------------------------------------------------------

    def _turn_page(self) -> None:
        world = self.world
        self._answered += sum(attempt.answered_at is not None for attempt in self.book.all)
        for sent in world.net.log:
            self._digest.update(f"{sent.at:.6f} {sent.sender} {sent.receiver} {sent.fate} ".encode() + sent.data)
        self._messages += len(world.net.log)
        world.net.log.clear()
        world.logs.clear()
        world.alerts.clear()
        world.cdr.clear()
        world.cdr_again.clear()
        world.lives.former.clear()
        self.ordered.clear()
        self.book.turn_page()
        self.watch.turn_page()
        self.agenda.clear()
        for station in self.stations.values():
            station.turn_page()
        self._register_again()


__all__ = ["Figures", "Settings", "Simulation", "Violation"]
