"""The lives of signalling in a world: how its process dies, what outlives it, and how the next one begins.

A death of signalling alone takes the engine and all that it had in mind, and its stream connections. What `StoreState`
has kept stays (the memory journal: a put is there at once), the media worker goes on, the supervisor holds the sockets:
datagrams and new connections wait there for the next life. When everything dies, only the disk remembers, and that is
late by the time in which it groups its commits. Used by `world` and `sbc_host`.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sbc.b2bua.events import CdrDurable, ClockSet, Event, MediaReplied, StateRestored
from sbc.b2bua.switch import Switch
from sbc.cdr.record import CallRecord
from sbc.core.address import Transport
from sbc.media import wire
from sbc.policy.engine import Policy
from sbc.testing.seeds import seeded_ids
from sbc.trace.recorder import Recorder

if TYPE_CHECKING:
    from sbc.testing.world import World

SOCKET_BUFFER: Final = 4000  # datagrams that wait while nobody reads; what comes then is dropped by the kernel
_SEEDS_PER_LIFE: Final = 1_000_003  # each life has other identifiers, as two processes have


class Kept(dict[str, bytes]):
    """The memory journal; behind it the disk, which has each change some time later."""

    def __init__(self, items: dict[str, bytes]) -> None:
        super().__init__(items)
        self._disk = dict(items)
        self._unsynced: deque[tuple[float, str, bytes | None]] = deque()

    def put(self, key: str, value: bytes | None, now: float) -> None:
        _put(self, key, value)
        self._unsynced.append((now, key, value))
        self._sync(now - 60.0)

    def on_disk(self, now: float, late: float) -> dict[str, bytes]:
        """What a power cut leaves."""
        self._sync(now - late)
        return dict(self._disk)

    def _sync(self, until: float) -> None:
        while self._unsynced and self._unsynced[0][0] <= until:
            _, key, value = self._unsynced.popleft()
            _put(self._disk, key, value)


class Lives:
    def __init__(self, world: "World", seed: int) -> None:
        self._world = world
        self._seed = seed
        self._n = 0
        self.all_died = False
        self._waiting: deque[Callable[[], None]] = deque()  # in the sockets, while nobody reads them
        self._undurable: deque[tuple[float, CallRecord]] = deque()  # ordered, and when they are stored
        self._stored_before: set[str] = set()  # records that an earlier life has stored
        self.dies_after: int | None = None  # so many more commands are performed before it dies
        self.is_dead = False
        self.former: list[Recorder] = []  # what former lives have traced

    @property
    def count(self) -> int:
        """Of lives so far, the first is 0."""
        return self._n

    # --- dying --------------------------------------------------------------------------------------------------------

    def counts_down(self) -> bool:
        """One more command is about to be performed; True: the process died just before."""
        if self.dies_after is None:
            return self.is_dead
        if self.dies_after == 0:
            self.end()
            return True
        self.dies_after -= 1
        return False

    def end(self, *, records_lost: bool = True) -> None:
        """`records_lost`: those that it had ordered and that were not durable. Else only the news of that is lost."""
        world = self._world
        if self.is_dead:
            return
        self.is_dead, self.dies_after = True, None
        self.former.append(world.switch.trace)
        if not records_lost:
            for _, record in self._undurable:
                self._write(record)
        self._undurable.clear()
        world.unwritten.clear()
        self._stored_before.update(record.ref for record in world.cdr)
        world.media.signalling_lost()
        world.net.reset(world.host)

    def end_all(self, late: float) -> None:
        world = self._world
        self.end()
        if not self.all_died:
            world.kept = Kept(world.kept.on_disk(world.now, late))
            world.media.everything_lost()
            world.net.kill(world.host)
            self._waiting.clear()
            self.all_died = True

    # --- living again -------------------------------------------------------------------------------------------------

    def begin(self, policy: Policy) -> None:
        """As the program starts: media workers are known, then what was kept, then `start`; then it listens."""
        world = self._world
        self._n += 1
        former = world.switch
        is_late = self.all_died
        if self.all_died:
            self.all_died = False
            for party in (party for phone in world.phones for party in phone.agent.parties):
                party.talk.may_skip = True  # what was said last is forgotten, and its number not used again
            world.net.revive(world.host)
        world.listen_anew(policy)
        self.is_dead = False
        world.switch = Switch(world.policy, seeded_ids(self._seed + _SEEDS_PER_LIFE * self._n), timing=world.timing)
        if former._context.fingerprint is not None:  # its certificate is kept in data_dir
            world.switch.show_fingerprint(former._context.fingerprint)
        for news in world.media.signalling_found():
            if not isinstance(news, wire.Running):
                self._tell(MediaReplied(news))
        self._tell(ClockSet(world.wall_at_zero))
        self._tell(StateRestored(tuple(world.kept.items()), is_late))
        world.net.perform(world.host, world.host.perform(world.switch.start(world.now), world.now))
        world.media.settled()
        while self._waiting and not self.is_dead:
            self._waiting.popleft()()

    def _tell(self, event: Event) -> None:
        world = self._world
        world.net.perform(world.host, world.host.handle(event, world.now))

    def freeze(self, seconds: float) -> None:
        """It goes on with what waits in its sockets, as `runtime.driver` sees to it, and then with its timers."""
        world = self._world
        world.host.is_frozen = True
        world.net.run(seconds)
        world.host.is_frozen = False
        while self._waiting and not self.is_dead:
            self._waiting.popleft()()

    # --- what comes meanwhile -----------------------------------------------------------------------------------------

    def wait(self, transport: Transport, happen: Callable[[], None]) -> None:
        """Until somebody reads the sockets again; on a stream as much as is sent."""
        if transport is not Transport.UDP or len(self._waiting) < SOCKET_BUFFER:
            self._waiting.append(happen)

    # --- records ------------------------------------------------------------------------------------------------------

    def store(self, record: CallRecord) -> Event | None:
        """Its event now, or None: it comes later. A record that an earlier life has stored is not stored again."""
        world = self._world
        if world.cdr_seconds <= 0:
            self._write(record)
            return CdrDurable(record.ref)
        self._undurable.append((world.now + world.cdr_seconds, record))
        return None

    def next_deadline(self) -> float | None:
        """When a record is durable."""
        return self._undurable[0][0] if self._undurable else None

    def durable(self, now: float) -> list[Event]:
        """The news of records that are stored now."""
        news: list[Event] = []
        while self._undurable and self._undurable[0][0] <= now:
            _, record = self._undurable.popleft()
            self._write(record)
            news.append(CdrDurable(record.ref))
        return news

    def _write(self, record: CallRecord) -> None:
        if record.ref in self._stored_before:
            self._world.cdr_again.append(record)
        else:
            self._world.cdr.append(record)


def _put(kept: dict[str, bytes], key: str, value: bytes | None) -> None:
    if value is None:
        kept.pop(key, None)
    else:
        kept[key] = value
