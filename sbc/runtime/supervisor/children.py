"""The supervisor's children: who is started again and when, what a signal means, in which order all ends (sans-IO).

`Children` is told what happens and returns what to do. Signalling comes first and goes first; its end before it was
ever ready is the program's end with the same status, so that a wrong policy is said once and not for ever. Workers are
started when signalling asks for them and end after it. A departure (SIGUSR1, SIGUSR2) has signalling leave its calls
as they are: for the next start of the program, or for the program that this process becomes once that was rehearsed.
Used by `main`, which starts, kills and waits.
"""

import signal
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NewType

from msgspec import Struct

from sbc.runtime.supervisor.restart import Restart

Child = NewType("Child", int)
SIGNALLING: Final = Child(-1)  # all others are media workers, by number

STOP_NOW_SECONDS: Final = 15.0  # after the second signal; signalling itself needs less, but for a disk that is stuck
WORKERS_SECONDS: Final = 2.0  # for the workers' end
LEAVE_SECONDS: Final = 3.0  # for signalling to write what waits and go; its journal is in our memory without that
LEAVE_TO_DISK_SECONDS: Final = 10.0  # where the memory may end with us
LEAVES: Final = signal.SIGUSR2  # told to signalling: end now, and leave the calls to the next life

# --- what happens -----------------------------------------------------------------------------------------------------


class Began(Struct, frozen=True):
    """The supervisor is up."""


class Wanted(Struct, frozen=True):
    """Signalling needs that worker."""

    child: Child


class Unwanted(Struct, frozen=True):
    """Signalling is ready and has not asked for that worker."""

    child: Child


class Runs(Struct, frozen=True):
    """The child has said that it runs; signalling: that it is ready."""

    child: Child


class Stops(Struct, frozen=True):
    """Signalling drains: its end is what was meant."""


class Ended(Struct, frozen=True):
    """`status`: exit status, or the negative number of the signal that killed it. Also who could not be started."""

    child: Child
    pid: int
    status: int


class Signalled(Struct, frozen=True):
    """Somebody sent us SIGTERM, SIGINT, SIGHUP; SIGUSR1 (leave), SIGUSR2 (restart in place)."""

    number: int


class Took(Struct, frozen=True):
    """We have taken over from an earlier supervisor; said before `Began`. `workers` run; `stops`: see `inheritance`."""

    workers: tuple[Child, ...]
    was_ready: bool
    stops: tuple[int, ...] = ()


class Rehearsed(Struct, frozen=True):
    """The program that is installed now could start, or (`refusal`) not."""

    refusal: str = ""


class NotBecome(Struct, frozen=True):
    """It could not be executed after all."""

    reason: str


Event = Began | Wanted | Unwanted | Runs | Stops | Ended | Signalled | Took | Rehearsed | NotBecome

# --- what to do -------------------------------------------------------------------------------------------------------


class Start(Struct, frozen=True):
    child: Child


class Send(Struct, frozen=True):
    """A signal."""

    child: Child
    number: int


class LetGo(Struct, frozen=True):
    """Close the worker's life line: it ends by itself."""

    child: Child


class Exit(Struct, frozen=True):
    """Nobody is left. `status` as in `Ended`. `leaves`: the next start is to go on with what we hold."""

    status: int
    leaves: bool = False


class Rehearse(Struct, frozen=True):
    """Try whether the program that is installed now would start; `Rehearsed` follows."""


class Become(Struct, frozen=True):
    """Signalling has left: be the next program, with everything that is held. `stops`: for it to hear."""

    stops: tuple[int, ...] = ()


class Log(Struct, frozen=True):
    level: Literal["info", "warning", "error"]
    event: str
    fields: Mapping[str, str | int | float | bool]


Command = Start | Send | LetGo | Exit | Rehearse | Become | Log


class _Life(Struct, eq=False):
    """One child over all its lives."""

    restart: Restart
    is_alive: bool = False
    ran_since: float | None = None
    start_at: float | None = None


class Children:
    """`handle` and `tick` return what to do; ask `next_deadline` afterwards."""

    def __init__(self) -> None:
        self._lives: dict[Child, _Life] = {}
        self._was_ready = False
        self._stops = 0  # signals that asked for it
        self._is_stopping = False
        self._held_reload = False
        self._held_stops: list[int] = []  # that came while signalling was leaving
        self._is_rehearsing = False
        self._departure: Literal["", "stay", "go"] = ""  # signalling leaves, and we become the next program, or end
        self._status: int | None = None  # the program's, once signalling has ended for good
        self._kill_at: float | None = None

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case Began():
                return self._start(SIGNALLING)
            case Wanted(child):
                return [] if self._status is not None or child in self._lives else self._start(child)
            case Unwanted(child):
                self._lives.pop(child, None)
                return [LetGo(child)]
            case Runs(child):
                return self._runs(child, now)
            case Stops():
                self._is_stopping = True
                return []
            case Ended():
                return self._ended(event, now)
            case Took(workers, was_ready, stops):
                return self._took(workers, now, stops, was_ready=was_ready)
            case Rehearsed(refusal):
                return self._rehearsed(refusal, now)
            case NotBecome(reason):
                self._departure = ""
                return [_refused(reason), *self._start(SIGNALLING)]
            case Signalled(signal.SIGUSR2):
                return self._rehearse()
            case Signalled(signal.SIGUSR1):
                return [] if self._is_stopping or self._departure == "go" else self._depart("go", now)
            case Signalled(signal.SIGHUP):
                return [] if self._departure else self._reload()
            case Signalled(number):
                return self._stop(number, now)

    def tick(self, now: float) -> list[Command]:
        done: list[Command] = []
        for child, life in self._lives.items():
            if life.start_at is not None and life.start_at <= now:
                done += self._start(child)
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_at = None
            stuck = [SIGNALLING] if self._status is None else [c for c, life in self._lives.items() if life.is_alive]
            done += [Send(child, signal.SIGKILL) for child in stuck]
        return done

    def next_deadline(self) -> float | None:
        times = [life.start_at for life in self._lives.values() if life.start_at is not None]
        if self._kill_at is not None:
            times.append(self._kill_at)
        return min(times, default=None)

    # --- lives ----------------------------------------------------------------------------------------------------

    def _start(self, child: Child) -> list[Command]:
        life = self._lives.setdefault(child, _Life(Restart()))
        life.is_alive = True
        life.ran_since = life.start_at = None
        return [Start(child)]

    def _runs(self, child: Child, now: float) -> list[Command]:
        life = self._lives.get(child)
        if life is None:
            return []
        if life.ran_since is None:
            life.ran_since = now
        if child != SIGNALLING:
            return []
        self._was_ready = True
        is_reload, self._held_reload = self._held_reload, False
        stops, self._held_stops = self._held_stops, []
        reloads: list[Command] = [Send(SIGNALLING, signal.SIGHUP)] if is_reload else []
        return reloads + [command for number in stops for command in self._stop(number, now)]

    def _ended(self, event: Ended, now: float) -> list[Command]:
        life = self._lives.get(event.child)
        if life is None:
            return []
        lived = None if life.ran_since is None else max(now - life.ran_since, 0.0)
        life.is_alive = False
        life.ran_since = None
        if self._status is not None:
            return self._exit_if_alone()
        if event.child == SIGNALLING and self._departure:
            return self._left(now)
        if event.child == SIGNALLING and self._is_its_last(event.status):
            return self._let_all_go(event.status, now)
        pause = life.restart.pause(lived)
        life.start_at = now + pause
        return [_obituary(event, lived, pause), *self.tick(now)]

    def _is_its_last(self, status: int) -> bool:
        return self._is_stopping or (not self._was_ready and status >= 0)

    # --- leaving the calls as they are ----------------------------------------------------------------------------

    def _took(self, workers: Iterable[Child], now: float, stops: Iterable[int], *, was_ready: bool) -> list[Command]:
        """What runs goes on, and what ends before it is ready is tried again: there are calls to go on with."""
        self._was_ready = was_ready
        self._held_stops = list(stops)
        for child in workers:
            self._lives[child] = _Life(Restart(), is_alive=True, ran_since=now)
        return []

    def _rehearse(self) -> list[Command]:
        if self._is_stopping or self._departure:
            return [_refused("it is ending")]
        if self._is_rehearsing:
            return []
        self._is_rehearsing = True
        return [Rehearse()]

    def _rehearsed(self, refusal: str, now: float) -> list[Command]:
        self._is_rehearsing = False
        if self._is_stopping or self._departure:
            return [_refused("it is ending")]
        return [_refused(refusal)] if refusal else self._depart("stay", now)

    def _depart(self, how: Literal["stay", "go"], now: float) -> list[Command]:
        is_on_its_way = bool(self._departure)
        self._departure = how
        if is_on_its_way:
            return []
        life = self._lives[SIGNALLING]
        if not life.is_alive:
            return self._left(now)
        self._kill_at = now + (LEAVE_SECONDS if how == "stay" else LEAVE_TO_DISK_SECONDS)
        return [Send(SIGNALLING, LEAVES)]

    def _left(self, now: float) -> list[Command]:
        self._kill_at = None
        if self._departure == "go":
            return self._let_all_go(0, now)
        return [Become(tuple(self._held_stops))]

    # --- the end --------------------------------------------------------------------------------------------------

    def _reload(self) -> list[Command]:
        """A policy that is just being read may have been read before it was changed."""
        if self._lives[SIGNALLING].ran_since is None:
            self._held_reload = True
            return []
        return [Send(SIGNALLING, signal.SIGHUP)]

    def _stop(self, number: int, now: float) -> list[Command]:
        if self._status is not None or self._departure == "go":  # it ends, and soon
            return []
        if self._departure == "stay" or (self._held_stops and self._lives[SIGNALLING].ran_since is None):
            self._held_stops.append(number)  # calls are ended by who knows them
            return []
        self._is_stopping = True
        self._stops += 1
        if not self._lives[SIGNALLING].is_alive:  # it waits for its next start
            return self._let_all_go(0, now)
        if self._stops == 2:
            self._kill_at = now + STOP_NOW_SECONDS
        return [Send(SIGNALLING, number)]

    def _let_all_go(self, status: int, now: float) -> list[Command]:
        self._status = status
        self._kill_at = now + WORKERS_SECONDS
        for life in self._lives.values():
            life.start_at = None
        workers = [child for child, life in self._lives.items() if life.is_alive]
        return [LetGo(child) for child in workers] + self._exit_if_alone()

    def _exit_if_alone(self) -> list[Command]:
        if self._status is None or any(life.is_alive for life in self._lives.values()):
            return []
        self._kill_at = None
        return [Exit(self._status, leaves=self._departure == "go")]


def _refused(reason: str) -> Log:
    return Log("error", "restart.refused", {"alarm": True, "reason": reason})


def _obituary(event: Ended, lived: float | None, pause: float) -> Log:
    fields: dict[str, str | int | float | bool] = {"child": name(event.child), "pid": event.pid, "status": event.status}
    if lived is not None:
        fields["ran_seconds"] = round(lived, 3)
    if pause:
        fields["again_in_seconds"] = pause
    if event.child == SIGNALLING:  # of a worker's death signalling raises the alarm, which is posted
        fields = {"alarm": True} | fields
    return Log("error", "child.died", fields)


def name(child: Child) -> str:
    return "signalling" if child == SIGNALLING else f"media-{child}"
