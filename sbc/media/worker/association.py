"""The DTLS association of one port: handshakes, until one has given keys, whoever else sends there (RFC 5764).

A passive end has one handshake for each source that may be the far end's, SOURCES at most, and the first that shows
the right certificate wins; so nobody who is quicker keeps the far end out. An active one begins again when a handshake
has failed. What a flood may cost is bounded by that, by a number of records a second, by one of strangers in the whole
worker, and by the latch, which lets no other source come here; so there are no cookies (RFC 6347 §4.2.1).
When there are keys, handshakes go on for a while for those who have not heard our last words, and are forgotten then. A
far end that says hello anew without a new description is not heard: whoever can send from its address could end a call.
`securing` makes one for each port of an end that is to be keyed so; it outlives sessions (`Surroundings.associations`).
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from sbc.core.limits import (
    DTLS_GIVE_UP_SECONDS,
    DTLS_KEPT_SECONDS,
    DTLS_RECORDS_PER_SECOND,
    DTLS_SOURCES,
)
from sbc.media import wire
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.dtls import Handshake, Identity
from sbc.media.worker.inlet import Clock
from sbc.media.worker.latch import NOWHERE, Source, Target

_PAUSE_SECONDS: Final = 3.0  # before an active end begins again
_SOONEST: Final = 0.01  # that OpenSSL is asked again whether its time has come

Send = Callable[[bytes, Target], None]
Told = Callable[[wire.Crypto | None, str], None]


class Association:
    """`dtls`: what was asked for, without keys. `keys`: None: there are none yet.

    The owner sets `send` (a datagram to that address), `target` (where the far end is said to be) and `told`, which is
    called once with keys, and before that once, at most, with words why there are none.
    """

    __slots__ = (
        "_agenda",
        "_clock",
        "_gives_up_at",
        "_handshakes",
        "_identity",
        "_is_closed",
        "_is_told",
        "_looked",
        "_resumes_at",
        "dtls",
        "keys",
        "send",
        "target",
        "told",
    )

    def __init__(self, dtls: wire.Dtls, identity: Identity, agenda: Agenda, clock: Clock) -> None:
        self.dtls = dtls
        self.keys: wire.Crypto | None = None
        self.send: Send = lambda _datagram, _target: None
        self.target: Callable[[], Target | None] = lambda: None
        self.told: Told = lambda _keys, _error: None
        self._identity = identity
        self._agenda = agenda
        self._clock = clock
        self._handshakes: OrderedDict[Target, Handshake] = OrderedDict()
        self._is_told = self._is_closed = False
        self._gives_up_at = 0.0
        self._resumes_at = 0.0
        self._looked = {True: (0.0, 0), False: (0.0, 0)}

    @property
    def handshakes(self) -> int:
        """How many are kept, over ones included."""
        return len(self._handshakes)

    def start(self) -> None:
        """The far end may be spoken to, if it is known where. Twice is once."""
        if self._gives_up_at or self._is_closed or self.keys is not None or self.target() is None:
            return
        now = self._clock()
        self._gives_up_at = now + DTLS_GIVE_UP_SECONDS
        self._agenda.book(self._gives_up_at, self)
        if self.dtls.active:
            self._begin(now)

    def close(self) -> None:
        self._is_closed = True
        self._handshakes.clear()

    def receive(self, datagram: bytes, source: Source, now: float) -> bool:
        """From a source that may be the far end's. False: it was not looked at."""
        if self._is_closed or not self._may_look(source, now):
            return False
        at = NOWHERE if self.dtls.active else (source[0], source[1])
        handshake = self._handshakes.get(at)
        if handshake is None:
            if self.dtls.active or self.keys is not None:
                return False
            if at != self.target() and not self._identity.may_meet(now):
                return False
            handshake = self._made(at)
        if handshake is None:
            return False
        self._after(at, handshake, handshake.receive(datagram), now, (source[0], source[1]))
        return True

    def tick(self, now: float) -> None:
        if self._is_closed:
            return
        if self.keys is not None and now >= self._gives_up_at:
            self._handshakes.clear()
            return
        for at, handshake in list(self._handshakes.items()):
            wait = handshake.wait()
            if wait is not None and wait <= _SOONEST:
                self._after(at, handshake, handshake.tick(), now, at)
            elif wait is not None:
                self._agenda.book(now + wait, self)
        if self.keys is None and now >= self._gives_up_at:
            self._tell(f"no handshake within {DTLS_GIVE_UP_SECONDS:.0f} s")
        if self.dtls.active and not self._handshakes and self.keys is None and now >= self._resumes_at:
            self._begin(now)

    def _begin(self, now: float) -> None:
        handshake = self._made(NOWHERE)
        if handshake is not None:
            self._after(NOWHERE, handshake, handshake.begin(), now, NOWHERE)

    def _made(self, at: Target) -> Handshake | None:
        try:
            handshake = Handshake(self._identity, self.dtls)
        except ValueError as error:
            self._tell(str(error))
            return None
        if len(self._handshakes) >= DTLS_SOURCES:
            described = self.target()
            del self._handshakes[next(one for one in self._handshakes if one != described)]
        self._handshakes[at] = handshake
        return handshake

    def _after(self, at: Target, handshake: Handshake, out: list[bytes], now: float, source: Target) -> None:
        """Something has happened to one handshake."""
        to = source if source != NOWHERE else self.target()
        if to is not None:
            for datagram in out:
                self.send(datagram, to)
        if handshake.error:
            self._handshakes.pop(at, None)
            self._resumes_at = now + _PAUSE_SECONDS
            self._agenda.book(self._resumes_at, self)
            self._tell(handshake.error)
            return
        if handshake.keys is not None and self.keys is None:
            self._keyed(at, handshake, handshake.keys, now)
        wait = handshake.wait()
        if wait is not None:
            self._agenda.book(now + max(wait, _SOONEST), self)

    def _keyed(self, at: Target, handshake: Handshake, keys: wire.Crypto, now: float) -> None:
        self.keys = keys
        self._handshakes.clear()
        self._handshakes[at] = handshake
        self._gives_up_at = now + DTLS_KEPT_SECONDS
        self._agenda.book(self._gives_up_at, self)
        self.told(keys, "")

    def _tell(self, error: str) -> None:
        if not self._is_told and self.keys is None:
            self._is_told = True
            self.told(None, error)

    def _may_look(self, source: Source, now: float) -> bool:
        """Who is just where the SDP says has a share that nobody else can use up."""
        is_described = (source[0], source[1]) == self.target()
        since, looked = self._looked[is_described]
        since, looked = (now, 1) if now - since >= 1 else (since, looked + 1)
        self._looked[is_described] = since, looked
        return looked <= DTLS_RECORDS_PER_SECOND
