"""The runtime's media pool in memory, for whole-SBC tests: a `MediaClient` before as many `FakeWorker`s as it wants.

To the engine it looks like the runtime's; a test can also kill a worker, and let time go by for it.
"""

from collections.abc import Callable, Collection, Iterable

from sbc.media import wire
from sbc.media.client import Asked, MediaClient, Outgoing
from sbc.testing.media_worker import FakeWorker, Packet


class FakeMedia:
    """Open ports, ask, kill and start workers, relay packets. `kill`, `start` and `worker` mean the first of them."""

    def __init__(
        self,
        first_port: int = 20000,
        last_port: int = 29999,
        *,
        clock: Callable[[], float] = lambda: 0.0,
        configure: wire.Configure | None = None,
    ) -> None:
        self.closed: list[tuple[str, int]] = []  # ports, in order
        self._configure = configure
        self.client = MediaClient(configure)
        self.workers: list[FakeWorker | None] = [None] * (configure.workers if configure else 1)
        self._clock = clock
        self._first = first_port + first_port % 2
        self._last = last_port
        self._next: dict[str, int] = {}
        self._pairs: dict[str, set[int]] = {}  # open, and this life of signalling knows them
        self._held: dict[str, set[int]] = {}  # open, of an earlier life
        self._pid = 0
        for n in range(len(self.workers)):
            self.start(n)

    @property
    def worker(self) -> FakeWorker | None:
        return self.workers[0]

    @property
    def sessions(self) -> tuple[str, ...]:
        """What the workers relay that run now."""
        return tuple(ref for worker in self._running() for ref in worker.sessions)

    def open_ports(self, local: str, pairs: int) -> tuple[int, ...]:
        """The even ports opened: fewer than asked when the range is used up. First those that an earlier life of
        signalling has left and no session uses.
        """
        held = self._held.get(local, set())
        busy = self.client.busy_ports() if held else frozenset()
        left = [port for port in sorted(held) if (local, port) not in busy][:pairs]
        held.difference_update(left)
        at = self._next.get(local, self._first)
        new = range(at, min(at + 2 * (pairs - len(left)), self._last), 2)
        self._next[local] = at + 2 * len(new)
        ports = (*left, *new)
        self._pairs.setdefault(local, set()).update(ports)
        self._say(self.client.ports_opened(local, ports))
        return ports

    def hold_ports(self, local: str, ports: Collection[int]) -> None:
        """Just these, of calls of an earlier life: left open, or opened again."""
        self._held.get(local, set()).difference_update(ports)
        self._next[local] = max(self._next.get(local, self._first), max(ports) + 2)
        self._pairs.setdefault(local, set()).update(ports)
        self._say(self.client.ports_opened(local, ports))

    def close_ports(self, local: str, ports: tuple[int, ...]) -> None:
        self.closed += [(local, port) for port in ports]
        self._pairs.get(local, set()).difference_update(ports)
        self._say(self.client.ports_closed(local, ports))

    def ask(self, request: Asked) -> list[wire.News]:
        return self._say(self.client.ask(request))

    def signalling_lost(self) -> None:
        """Its process is dead: the workers go on, the supervisor has the ports."""
        for local, ports in self._pairs.items():
            self._held.setdefault(local, set()).update(ports)
        self._pairs.clear()
        self.client = MediaClient(self._configure, is_settled=False)

    def signalling_found(self) -> list[wire.News]:
        """The next life of signalling: connected to every worker, which says what sessions it has."""
        news: list[wire.News] = []
        for n, worker in enumerate(self.workers):
            if worker is None:
                news += self.start(n)
                continue
            worker.news.clear()
            self.client.received(worker.start(), n)
            news += self._say(self.client.worker_started(n))
        return news

    def settled(self) -> None:
        """The next life has asked for every session that goes on."""
        self._say(self.client.settled())

    def everything_lost(self) -> None:
        """The supervisor too, and so every port and every session."""
        self.signalling_lost()
        self.workers = [None] * len(self.workers)
        self._held.clear()
        self._next.clear()

    def relay(self, packet: Packet) -> list[Packet]:
        """The worker that has the port reads it."""
        return [sent for worker in self._running() for sent in worker.relay(packet)]

    def tick(self, now: float) -> list[wire.News]:
        """Time has gone by: what is due is in what it returns, with all other news."""
        for worker in self._running():
            worker.tick(now)
        return self.news()

    def news(self) -> list[wire.News]:
        """What workers said unasked since this was asked last: of digits, of silence, of pairs that rest."""
        said: list[wire.News] = []
        for n, worker in enumerate(self.workers):
            for news in worker.news if worker else ():
                said += self.client.received(wire.encode(news), n)
            if worker:
                worker.news.clear()
        return said

    @property
    def played(self) -> tuple[wire.PlayDigit, ...]:
        """The digits that the workers which run now were told to play."""
        return tuple(digit for worker in self._running() for digit in worker.played)

    def poll(self) -> list[wire.News]:
        return self._say(self.client.poll())

    def kill(self, n: int = 0) -> None:
        self.workers[n] = None
        self.client.worker_lost(n)

    def start(self, n: int = 0) -> list[wire.News]:
        """A fresh worker; returns the answers to what had to be said again."""
        self._pid += 1
        worker = self.workers[n] = FakeWorker(self._pid, self._clock)
        self.client.received(worker.start(), n)
        return self._say(self.client.worker_started(n))

    def _running(self) -> list[FakeWorker]:
        return [worker for worker in self.workers if worker is not None]

    def _say(self, messages: Iterable[Outgoing]) -> list[wire.News]:
        replies: list[wire.News] = []
        for message in messages:
            worker = self.workers[message.worker]
            for answer in worker.receive(message.data) if worker else ():
                replies += self.client.received(answer, message.worker)
        return replies


__all__ = ["FakeMedia", "FakeWorker", "Packet"]
