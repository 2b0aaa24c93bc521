"""When a way of RTP goes to the engine, and when it comes back (a machine).

It goes when its source is locked for certain, a packet has been relayed and the socket is empty: what the engine relays
then comes behind all that userland has relayed. After `put` the socket is looked at once more, for what came meanwhile.
It comes back before anything of it changes, when another source or payload type is heard, and when the engine turns out
not to relay it; then the next packet that userland relays is the one behind the engine's last. The counters stay where
they are (see `slots`). A way comes and goes INSTALLS_PER_MINUTE at most. `way` makes one for each way of RTP.
"""

from collections import deque
from typing import Final

from msgspec import Struct

from sbc.media.worker.engine import NOT_YET, PASS_UP, Engine, Flow, NoEngine
from sbc.media.worker.inlet import CLOCK_RATE, Inlet, Rules
from sbc.media.worker.latch import Latch, Target, canonical

INSTALLS_PER_MINUTE: Final = 6
NOT_TAKEN: Final = "the kernel did not take it"
TOO_OFTEN: Final = "it changes too often"
_PROVED_SECONDS: Final = 0.9  # after that long, an engine that relays has relayed
_PASSED_UP: Final = 5  # packets that the engine should have relayed, and that prove that it does not
_PAUSE_SECONDS: Final = 60.0  # before an engine that refused is asked again
_MOMENT_SECONDS: Final = 0.5  # before one that starts is asked again: the sweep comes once a second
_MINUTE: Final = 60.0


class Route(Struct, frozen=True):
    """What does not change while a way is wired. `out`: what it leaves by. `obstacle`: why it has to stay here."""

    local: str
    port: int
    out: Target
    dscp: int = 0
    packets_per_second: int = 0
    obstacle: str = ""


class Handover:
    """One way. `why`: why the engine does not relay it, where it could; empty: it does, or will soon, or never could.

    `installs`: when the way went to the engine lately; it outlives this object.
    """

    __slots__ = (
        "_engine",
        "_flow",
        "_inlet",
        "_installs",
        "_latch",
        "_not_before",
        "_passed_up",
        "_proved_at",
        "_route",
        "_rules",
        "_taken",
        "why",
    )

    def __init__(
        self, inlet: Inlet, rules: Rules, latch: Latch, route: Route, engine: Engine, installs: deque[float]
    ) -> None:
        self._inlet = inlet
        self._rules = rules
        self._latch = latch
        self._route = route
        self._engine = engine
        self._installs = installs
        self._flow: Flow | None = None
        self._not_before = 0.0
        self._proved_at = 0.0
        self._taken = 0  # KERNEL_PACKETS when it was looked at last
        self._passed_up = 0
        self.why = "" if isinstance(engine, NoEngine) else route.obstacle
        inlet.on_source = self.changed
        inlet.on_simple = self._saw
        self._await()

    @property
    def is_away(self) -> bool:
        return self._flow is not None

    def offer(self, now: float) -> bool:
        """The socket is empty; True where the engine has the way now, and the socket is to be looked at once more."""
        inlet = self._inlet
        if self._latch.source is None or not inlet.types or not inlet.statistics.is_started:
            return False
        inlet.offer = None  # `verify` asks again
        if not self._latch.is_shut(now):
            return False
        if not self._may_install(now):
            self.why = TOO_OFTEN
            return False
        flow = self._wanted(self._latch.locked)
        self.why = "no target" if flow is None else self._engine.put(flow)
        if flow is None or self.why:
            self._not_before = now + (_MOMENT_SECONDS if self.why == NOT_YET else _PAUSE_SECONDS)
            return False
        self._installs.append(now)
        self._has(flow, now)
        return True

    def adopt(self, flow: Flow | None, now: float) -> bool:
        """The engine has relayed on while the worker was away: leave it so where it fits, else take the way back."""
        inlet, rules = self._inlet, self._rules
        if flow is None:
            return False
        for kind, becomes in enumerate(flow.types):
            if becomes != PASS_UP and rules.is_simple(kind):
                inlet.types[kind] = rules.clocks.get(kind, CLOCK_RATE)
        inlet.statistics.rate = flow.rate
        fits = not self._route.obstacle and inlet.statistics.is_started and self._latch.is_shut(now)
        if not fits or flow != self._wanted(self._latch.locked):
            self._engine.remove(self._route.local, self._route.port)
            return False
        self._has(flow, now)
        return True

    def changed(self) -> None:
        """Something of the way is about to change: take it back; it may go again."""
        self.withdraw()
        self._await()

    def withdraw(self) -> None:
        """Every packet comes to the socket from now on."""
        if self._flow is not None:
            self._flow = None
            self._engine.remove(self._route.local, self._route.port)
            self._inlet.unshare()
            self._inlet.statistics.load()

    def verify(self, now: float) -> None:
        """To be asked once a second: does the engine relay what it has; may it be asked again."""
        if self._flow is None:
            if now >= self._not_before:
                self._await()
            return
        if now < self._proved_at:
            return
        taken, before = self._inlet.statistics.kernel_packets(), self._taken
        if taken == before and self._passed_up > _PASSED_UP:
            self.withdraw()
            self.why = NOT_TAKEN
            self._not_before = now + _PAUSE_SECONDS
        self._taken, self._passed_up = taken, 0

    def _await(self) -> None:
        """Offer the way as soon as the socket is empty."""
        can = not self._route.obstacle and not isinstance(self._engine, NoEngine)
        self._inlet.offer_to(self.offer if can else None)

    def _has(self, flow: Flow, now: float) -> None:
        self._flow = flow
        self.why = ""
        self._proved_at = now + _PROVED_SECONDS
        self._taken, self._passed_up = self._inlet.statistics.kernel_packets(), 0
        self._inlet.offer = None
        self._inlet.share()

    def _saw(self, payload_type: int) -> None:
        """A packet was passed up that the engine could have relayed."""
        if self._flow is None:
            return
        if self._flow.types[payload_type] == PASS_UP:
            self.changed()
        else:
            self._passed_up += 1

    def _may_install(self, now: float) -> bool:
        while self._installs and self._installs[0] <= now - _MINUTE:
            self._installs.popleft()
        return len(self._installs) < INSTALLS_PER_MINUTE

    def _wanted(self, source: Target) -> Flow | None:
        """The flow as it should be now: payload types of one clock, those that were seen."""
        inlet, route, rules = self._inlet, self._route, self._rules
        statistics = inlet.statistics
        if inlet.target is None:
            return None
        types = bytearray((PASS_UP,)) * 128
        for kind, rate in inlet.types.items():
            if rate == statistics.rate:
                types[kind] = kind if rules.table is None else rules.table[kind]
        return Flow(
            route.local,
            route.port,
            source,
            route.out,
            (canonical(inlet.target[0]), inlet.target[1]),
            statistics.offset,
            statistics.ssrc,
            statistics.rate,
            bytes(types),
            route.dscp,
            route.packets_per_second,
        )
