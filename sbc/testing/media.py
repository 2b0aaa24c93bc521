"""The runtime's media pool in memory, for whole-SBC tests: a `MediaClient` before a `FakeWorker`.

To the engine it looks like the runtime's; a test can also kill the worker, and let time go by for it.
"""

from collections.abc import Callable, Iterable

from sbc.media import wire
from sbc.media.client import Asked, MediaClient, Outgoing
from sbc.testing.media_worker import FakeWorker, Packet


class FakeMedia:
    """The runtime's media pool, in memory: open ports, ask, kill and start the worker, relay packets."""

    def __init__(
        self, first_port: int = 20000, last_port: int = 29999, *, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.client = MediaClient()
        self._clock = clock
        self.worker: FakeWorker | None = None
        self._first = first_port + first_port % 2
        self._last = last_port
        self._next: dict[str, int] = {}
        self._generation = 0
        self.start()

    def open_ports(self, local: str, pairs: int) -> tuple[int, ...]:
        """The even ports opened: fewer than asked when the range is used up."""
        at = self._next.get(local, self._first)
        ports = tuple(range(at, min(at + 2 * pairs, self._last), 2))
        self._next[local] = at + 2 * len(ports)
        self._say(self.client.ports_opened(local, ports))
        return ports

    def ask(self, request: Asked) -> list[wire.Reply]:
        return self._say(self.client.ask(request))

    def relay(self, packet: Packet) -> list[Packet]:
        return self.worker.relay(packet) if self.worker else []

    def news(self) -> list[wire.Reply]:
        """What the worker said unasked since this was asked last: of digits, of silence, of pairs that rest."""
        if self.worker is None:
            return []
        said = [wire.encode(reply) for reply in self.worker.news]
        self.worker.news.clear()
        return [reply for data in said for reply in self.client.received(data)]

    def tick(self, now: float) -> list[wire.Reply]:
        """Time has gone by: what is due is in what it returns, with all other news."""
        if self.worker is not None:
            self.worker.tick(now)
        return self.news()

    @property
    def played(self) -> tuple[wire.PlayDigit, ...]:
        """The digits that the worker which runs now was told to play."""
        return tuple(self.worker.played) if self.worker else ()

    def poll(self) -> list[wire.Reply]:
        return self._say(self.client.poll())

    def kill(self) -> None:
        self.worker = None
        self.client.worker_lost()

    def start(self) -> list[wire.Reply]:
        """A fresh worker; returns the answers to what had to be said again."""
        self._generation += 1
        self.worker = FakeWorker(self._generation, self._clock)
        self.client.received(self.worker.start())
        return self._say(self.client.worker_started())

    def _say(self, messages: Iterable[Outgoing]) -> list[wire.Reply]:
        worker = self.worker
        if worker is None:
            return []
        answers = [answer for message in messages for answer in worker.receive(message.data)]
        return [reply for answer in answers for reply in self.client.received(answer)]


__all__ = ["FakeMedia", "FakeWorker", "Packet"]
