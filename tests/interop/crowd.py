"""A crowd of telephones on both sides of an SBC: calls that are held up for long, and calls that come and go.

Every call has a number of its own, so that both its ends, its record and its rings are known to belong together,
whatever became of the SBC between them. What each end saw is kept; `wrong` says what no telephone should ever see.
"""

import random
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import count
from typing import Self

from .children import until
from .crowd_call import OTHER, Call, Plan
from .crowd_exchange import Exchange, Side, Timers
from .crowd_probe import Probe
from .crowd_sound import Sound
from .crowd_wire import Connections, Datagrams
from .node import Node
from .phones import header

_AT_ONCE = 20  # exchanges of one kind under way


class Crowd:
    """`with Crowd(node, seed) as crowd:`. What is not said to be inside runs in a thread of its own."""

    def __init__(
        self,
        node: Node,
        seed: int,
        *,
        inside: Callable[[Side], AbstractContextManager[None]] = lambda _: nullcontext(),
        exchanges: Callable[..., Exchange] = Exchange,
        wires: dict[Side, Callable[..., Datagrams | Connections]] | None = None,
    ) -> None:
        """`inside`: where sockets of a side are made, as `Namespaces.inside`. `wires`: UDP, unless said otherwise."""
        self.timers, self.sound = Timers(), Sound()
        self.selector = selectors.DefaultSelector()
        self.calls: list[Call] = []
        self._rng = random.Random(seed)
        self._numbers = count(1)
        self._rate = 0.0
        self._by_number: dict[str, Call] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        here: dict[Side, tuple[str, str]] = {"pbx": (node.pbx, node.inside), "carrier": (node.carrier, node.outside)}
        self.exchanges: dict[Side, Exchange] = {
            side: exchanges(side, *here[side], self, (wires or {}).get(side, Datagrams), partial(inside, side))
            for side in OTHER
        }
        with inside("pbx"):
            self.probe = Probe(node.pbx, node.inside)
        self._thread = threading.Thread(target=self._run, name="crowd", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        self.sound.close()
        for exchange in self.exchanges.values():
            exchange.wire.close()
        self.probe.close()
        self.selector.close()

    # --- what it is told ----------------------------------------------------------------------------------------------

    def establish(self, count: int, *, rate: float = 25.0, every: Sequence[float] = (0.0,)) -> list[Call]:
        """So many calls for long, both ways in turns; each talks with one of these pauses between its packets."""
        placed = []
        for n in range(count):
            plan = Plan(caller=("pbx", "carrier")[n % 2], every=every[n % len(every)], ends=self._side())
            placed.append(self.place(plan))
            time.sleep(1 / rate)
        until(lambda: all(call.is_talking for call in placed), "all calls to be answered", 10,
              lambda: [call.story() for call in placed if not call.is_talking][:2])  # fmt: skip
        until(lambda: not self._unacknowledged(), "every ACK", 5, self._unacknowledged)
        self.sound.talk(*(line.ear for call in placed for line in call.lines.values() if line.ear))
        return placed

    def come_and_go(self, rate: float) -> None:
        """From now on: so many calls a second, of every kind; 0: no more."""
        with self._lock:
            was, self._rate = self._rate, rate
        if rate and not was:
            self.timers.after(0, self._places)

    def place(self, plan: Plan) -> Call:
        with self._lock:
            call = Call(next(self._numbers), plan, self)
            self.calls.append(call)
            self._by_number[call.number] = call
            call.is_placed()
            return call

    def each(self, calls: Iterable[Call], do: Callable[[Call, Callable[[], None]], None], seconds: float) -> None:
        """Some at once. `do` calls what it is given when it is done with the call."""
        waiting = deque(calls)
        left = len(waiting)
        over = threading.Event()

        def next_one() -> None:
            if waiting:
                do(waiting.popleft(), done)

        def done() -> None:
            nonlocal left
            left -= 1
            if not left:
                over.set()
            self.timers.after(0, next_one)

        with self._lock:
            for _ in range(min(_AT_ONCE, left)):
                self.timers.after(0, next_one)
        assert not left or over.wait(seconds), f"{left} calls were left after {seconds} s"

    def hold_and_resume(self, calls: Sequence[Call]) -> list[str]:
        """Each of them, from a side of chance: what was not as it should be."""
        wrong: list[str] = []

        def one(call: Call, done: Callable[[], None]) -> None:
            side = self._side()
            here, there = call.lines[side], call.lines[OTHER[side]]

            def held() -> None:
                if (here.status, there.theirs) != (200, "sendonly") or here.theirs not in ("recvonly", "inactive"):
                    wrong.append(f"{call.number}: hold by the {side}: {here.status} {here.theirs} {there.theirs}")
                    done()
                    return
                here.resumes(resumed)

            def resumed() -> None:
                if (here.status, here.theirs, there.theirs) != (200, "sendrecv", "sendrecv"):
                    wrong.append(f"{call.number}: resumed by the {side}: {here.status} {here.theirs} {there.theirs}")
                done()

            here.holds(held)

        self.each(calls, one, 60 + len(calls))
        return wrong

    def hang_up(self, calls: Sequence[Call]) -> list[str]:
        """Each from the side of its plan: those that were not over on both sides."""
        self.each(calls, lambda call, done: call.lines[call.plan.ends].hangs_up(done), 60 + len(calls))
        end = time.monotonic() + 5
        while time.monotonic() < end and not all(call.is_over for call in calls):
            time.sleep(0.05)
        return [f"{call.number} is not over" for call in calls if not call.is_over]

    def unfinished(self, seconds: float) -> list[Call]:
        """Calls that ought to come to an end by themselves, and have not within so many seconds."""
        end = time.monotonic() + seconds
        while (found := [call for call in self._passing() if not call.is_over]) and time.monotonic() < end:
            time.sleep(0.05)
        return found

    def wrong(self) -> list[str]:
        """What no telephone should see."""
        found = [what for call in tuple(self.calls) for what in call.wrong()]
        return found + [
            f"{exchange.side}: {what}" for exchange in self.exchanges.values() for what in exchange.complaints
        ]

    def call_of(self, number: str) -> Call | None:
        return self._by_number.get(number)

    def _passing(self) -> list[Call]:
        return [call for call in self.calls if call.plan.talks is not None]

    def _unacknowledged(self) -> list[tuple[str, int]]:
        return [one for exchange in self.exchanges.values() for one in exchange.waits_for_ack()]

    # --- of the exchanges ---------------------------------------------------------------------------------------------

    def called(self, side: Side, invite: str) -> Call | None:
        """Whose number stands in an INVITE that has come there."""
        field = invite.split(" ")[1] if side == "carrier" else header(invite, "From")
        number = field.partition("sip:")[2].partition("@")[0]
        call = self._by_number.get(number)
        return call if call is not None and call.plan.caller != side else None

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over.is_set():
            ready = self.selector.select(0.005)
            with self._lock:
                for key, _ in ready:
                    key.data()
                self.timers.turn()

    def _places(self) -> None:
        if self._rate:
            self.place(self._chance())
            self.timers.after(self._rng.expovariate(self._rate), self._places)

    def _chance(self) -> Plan:
        rng = self._rng
        plan = Plan(self._side(), rng.uniform(0, 1.5), talks=rng.uniform(0.1, 4.0), ends=self._side())
        kind = rng.random()
        if kind < 0.1:
            return Plan(plan.caller, plan.rings, 486, talks=0.0)
        if kind < 0.2:
            return Plan(plan.caller, 0.0, 0, gives_up=rng.uniform(0.1, 2.0), talks=0.0)
        return plan

    def _side(self) -> Side:
        return self._rng.choice(("pbx", "carrier"))
