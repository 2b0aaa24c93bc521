"""A network in memory and in virtual time: hosts, UDP with loss, duplication, reordering and delay by seed, streams.

UDP datagrams go where they are addressed or nowhere; streams are ordered and reliable, have connection numbers, can be
refused and reset, and may arrive in pieces. Every octet sent is kept with its fate, so that a test can ask what reached
whom. Time stands still unless somebody says `run` or `settle`. It knows nothing about SIP but where a message ends.
"""

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from sbc.core.address import Address, Flow, Transport
from sbc.core.limits import CONNECT_SECONDS
from sbc.sip.commands import CloseFlow, SendMessage
from sbc.testing.proofs import Proofs
from sbc.testing.stream import Connection, Connections
from sbc.testing.timeline import Timeline

Fate = Literal["delivered", "duplicated", "lost", "refused", "nowhere"]
_STORM = 200_000  # events in one run; more is a message loop


class Host(Protocol):
    """Whoever is attached. All but `name` is what the engine has too; outputs are performed at once."""

    name: str

    def receive(self, data: bytes, flow: Flow, now: float) -> Sequence[SendMessage | CloseFlow]: ...

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> Sequence[SendMessage | CloseFlow]: ...

    def flow_failed(self, flow: Flow, reason: str, now: float) -> Sequence[SendMessage | CloseFlow]: ...

    def tick(self, now: float) -> Sequence[SendMessage | CloseFlow]: ...

    def next_deadline(self) -> float | None: ...


class Conditions(Struct, frozen=True):
    """How bad the network is. Probabilities per datagram; streams suffer loss as delay."""

    delay: float = 0.001
    jitter: float = 0.0  # up to so much more, at random
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # such a datagram takes up to 50 ms longer, so that later ones overtake it
    pieces: bool = False  # streams arrive cut at random places

    @property
    def is_in_order(self) -> bool:
        """All that is sent arrives, once, and in the order in which it was sent."""
        return not (self.jitter or self.loss or self.duplicate or self.reorder)


class Sent(Struct, frozen=True):
    """One thing sent, and what became of it. `receiver` is None where nobody has that address."""

    at: float
    sender: str
    receiver: str | None
    transport: Transport
    source: Address
    target: Address
    data: bytes
    fate: Fate


class Network:
    """Attach hosts, say what they send, let time pass."""

    def __init__(self, *, seed: int = 0, conditions: Conditions | None = None, clock: Timeline | None = None) -> None:
        self.conditions = conditions or Conditions()
        self.clock = clock or Timeline(1000.0)
        self.log: list[Sent] = []
        self.hosts: list[Host] = []
        self.blackholes: set[str] = set()  # IP addresses from which nothing comes back
        self._random = random.Random(seed)
        self._listeners: dict[tuple[Transport, Address], tuple[Host, str]] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._n = 0
        self._held: dict[str, list[Callable[[], None]]] = {}
        self._losses: list[_Loss] = []
        self._dead: dict[str, dict[tuple[Transport, Address], tuple[Host, str]]] = {}
        self._refusing: set[str] = set()  # machines that are there, but nobody listens
        self._gone: set[str] = set()  # machines that answer nothing at all
        self.streams = Connections()
        self.proofs: dict[str, Proofs] = {}  # by name of the host that asks for certificates

    @property
    def now(self) -> float:
        return self.clock.now

    # --- who is there -------------------------------------------------------------------------------------------------

    def attach(self, host: Host, *addresses: tuple[Transport, Address], interface: str = "") -> None:
        if host not in self.hosts:
            self.hosts.append(host)
        for transport, address in addresses:
            if (transport, address) in self._listeners:
                raise ValueError(f"{transport}:{address} is taken")
            self._listeners[transport, address] = (host, interface)

    def rename(self, transport: Transport, address: Address, interface: str) -> None:
        """What comes to this listener comes by another interface from now on."""
        host, _ = self._listeners[transport, address]
        self._listeners[transport, address] = (host, interface)

    def close(self, transport: Transport, address: Address) -> None:
        """Nobody listens there any more."""
        del self._listeners[transport, address]

    def listens(self, transport: Transport, address: Address) -> bool:
        return (transport, address) in self._listeners

    def detach(self, host: Host) -> None:
        """The host is gone, as if its machine had crashed: its ports refuse."""
        self._listeners = {key: value for key, value in self._listeners.items() if value[0] is not host}
        self.reset(host)
        self.hosts.remove(host)

    def kill(self, host: Host, *, silently: bool = False) -> None:
        """As if its process had crashed: its ports refuse, its connections are reset. `silently`: its whole machine."""
        mine = {key: value for key, value in self._listeners.items() if value[0] is host}
        if silently:
            self._gone |= {address.host for _, address in mine}
            for connection in self.streams.of(host.name):
                self.streams.forget(connection)
        else:
            self._refusing |= {address.host for _, address in mine}
        self.detach(host)
        self._dead[host.name] = mine

    def revive(self, host: Host) -> None:
        """It listens again where it did."""
        mine = self._dead.pop(host.name)
        self._listeners |= mine
        self.hosts.append(host)
        self._gone -= {address.host for _, address in mine}
        self._refusing -= {address.host for _, address in mine}

    # --- how bad it is ------------------------------------------------------------------------------------------------

    def loses(self, start: str | bytes, *, to: str | None = None, by: str | None = None, times: int = 1) -> None:
        """Lose the next `times` datagrams whose first line begins so, by name of receiver and sender."""
        self._losses.append(_Loss(start.encode() if isinstance(start, str) else start, to, by, times))

    def loses_no_more(self) -> None:
        """What was to be lost is delivered from now on."""
        self._losses.clear()

    @contextmanager
    def holding(self, host: Host | str) -> Iterator[None]:
        """What this host sends and what is sent to it stays in flight until the end of the block; then it arrives."""
        name = host if isinstance(host, str) else host.name
        held = self._held.setdefault(name, [])
        try:
            yield
        finally:
            del self._held[name]
            for deliver in held:
                deliver()
        self.settle()

    # --- what is sent -------------------------------------------------------------------------------------------------

    def perform(self, host: Host, commands: Sequence[SendMessage | CloseFlow]) -> None:
        for command in commands:
            if isinstance(command, CloseFlow):
                self._close(command.flow)
            elif command.flow.transport is Transport.UDP:
                self._send_datagram(host, command.flow, command.data)
            else:
                self._send_on_stream(host, command.flow, command.data)

    def reset(self, host: Host) -> None:
        """Every stream connection of this host breaks."""
        for connection in self.streams.of(host.name):
            self.streams.forget(connection)
            for end in connection.ends:
                self._fail(self._host(end.host), end.flow, "connection reset")

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        self.run_until(self.now + seconds)

    def run_until(self, end: float) -> None:
        """Let everything happen that happens until `end`."""
        self._work(lambda: (at := self.next_event()) is not None and at <= end)
        self.clock.reach(end)

    def settle(self) -> None:
        """Until nothing is in flight. Timers fire only while waiting for that; what is held stays held."""
        self._work(lambda: bool(self._events))

    def run_while(self, condition: Callable[[], bool], *, at_most: float) -> bool:
        """Until `condition` is false; False when `at_most` seconds were not enough."""
        end = self.now + at_most
        self._work(lambda: condition() and (at := self.next_event()) is not None and at <= end)
        return not condition()

    def next_event(self) -> float | None:
        """When something happens next: a delivery, or a host's deadline."""
        times = [at for host in self.hosts if (at := host.next_deadline()) is not None]
        times += [at for at in (self.streams.next_deadline(),) if at is not None]
        if self._events:
            times.append(self._events[0][0])
        return min(times) if times else None

    def _work(self, more: Callable[[], bool]) -> None:
        steps = 0
        while more():
            at = self.next_event()
            if at is None:
                return
            self.clock.reach(at)
            self._step()
            steps += 1
            if steps > _STORM:
                raise AssertionError(f"message storm: {steps} events; last: {[s.data[:60] for s in self.log[-4:]]}")

    def _step(self) -> None:
        if self._events and self._events[0][0] <= self.now:
            heapq.heappop(self._events)[2]()
            return
        for connection in self.streams.overdue(self.now):
            self.streams.forget(connection)
        for host in list(self.hosts):
            deadline = host.next_deadline()
            if deadline is not None and deadline <= self.now:
                self.perform(host, host.tick(self.now))

    # --- what reached whom --------------------------------------------------------------------------------------------

    def sent_to(self, host: Host | str) -> list[bytes]:
        """Every message sent to a host, the lost ones too."""
        name = host if isinstance(host, str) else host.name
        return [sent.data for sent in self.log if sent.receiver == name]

    def sent_by(self, host: Host | str) -> list[bytes]:
        name = host if isinstance(host, str) else host.name
        return [sent.data for sent in self.log if sent.sender == name]

    # --- UDP ----------------------------------------------------------------------------------------------------------

    def _send_datagram(self, host: Host, flow: Flow, data: bytes) -> None:
        target = self._listeners.get((Transport.UDP, flow.remote))
        if target is None:
            self._note(host, None, flow, data, "nowhere")
            # A machine that is there says so by ICMP; an address without a machine says nothing.
            if self._has_machine(flow.remote.host):
                self._later(self.conditions.delay, lambda: self._fail(host, flow, "port unreachable"))
            return
        receiver, interface = target
        lost = flow.remote.host in self.blackholes or self._is_lost(host.name, receiver.name, data)
        if lost:
            self._note(host, receiver, flow, data, "lost")
            return
        copies = 2 if self._chance(self.conditions.duplicate) else 1
        self._note(host, receiver, flow, data, "delivered" if copies == 1 else "duplicated")
        back = Flow(Transport.UDP, interface, flow.remote, flow.local)
        for _ in range(copies):
            self._in_flight(host.name, receiver, self._delay(), lambda: self._deliver(receiver, data, back))

    def _deliver(self, receiver: Host, data: bytes, flow: Flow) -> None:
        if receiver in self.hosts:
            self.perform(receiver, receiver.receive(data, flow, self.now))

    def _is_lost(self, sender: str, receiver: str, data: bytes) -> bool:
        for rule in self._losses:
            if rule.times > 0 and rule.fits(sender, receiver, data):
                rule.times -= 1
                return True
        return self._chance(self.conditions.loss)

    # --- streams ------------------------------------------------------------------------------------------------------

    def _send_on_stream(self, host: Host, flow: Flow, data: bytes) -> None:
        if flow.remote.host in self._gone:
            self._note(host, None, flow, data, "lost")
            self._later(CONNECT_SECONDS, lambda: self._fail(host, flow, "timed out"))
            return
        connection: Connection | str | None = self.streams.find(host.name, flow)
        if connection is None:
            connection = self._connect(host, flow) if flow.connection == 0 else "connection is gone"
        if isinstance(connection, str):
            self._note(host, None, flow, data, "refused")
            reason = connection
            self._later(self.conditions.delay, lambda: self._fail(host, flow, reason))
            return
        end = connection.far_end(host.name, flow)
        receiver = self._host(end.host)
        self._note(host, receiver, flow, data, "delivered")
        for piece in self._pieces(data):
            delay = self._delay() + (0.2 if self._chance(self.conditions.loss) else 0.0)
            end.arrives_at = max(end.arrives_at, self.now + delay)
            self._in_flight(host.name, receiver, end.arrives_at - self.now, self._arrival(connection, end.flow, piece))

    def _arrival(self, connection: Connection, flow: Flow, piece: bytes) -> Callable[[], None]:
        def arrive() -> None:
            if not self.streams.has(connection):
                return
            end = connection.end_of(flow)
            host = self._host(end.host)
            for frame in end.feed(piece, self.now):
                if isinstance(frame, bytes):
                    self.perform(host, host.receive(frame, flow, self.now))
                elif frame.is_ping:
                    self._send_on_stream(host, flow, b"\r\n")
                else:
                    self.perform(host, host.bad_frame(frame.data, flow, frame.reason, self.now))

        return arrive

    def _connect(self, host: Host, flow: Flow) -> Connection | str:
        """The connection, or why there is none."""
        target = self._listeners.get((flow.transport, flow.remote))
        if target is None or flow.remote.host in self.blackholes:
            return "connection refused"
        receiver, interface = target
        connection = self.streams.open(host.name, flow, receiver.name, interface)
        if flow.transport is not Transport.TLS:
            return connection
        why = self._shake_hands(flow, connection)
        if why:
            self.streams.forget(connection)
        return why or connection

    def _shake_hands(self, flow: Flow, connection: Connection) -> str:
        """What each end has proved to the other stands in their flows; or why there is no connection."""
        opener, called = connection.ends
        if opener.host in self.proofs:
            found = self.proofs[opener.host].opened(flow, called.host)
            if isinstance(found, str):
                return found
            opener.flow = replace(opener.flow, proved=found)
        if called.host in self.proofs:
            found = self.proofs[called.host].accepted(called.flow, opener.host)
            if isinstance(found, str):
                return "connection closed"
            called.flow = replace(called.flow, proved=found)
        return ""

    def _close(self, flow: Flow) -> None:
        """After what is already on its way has arrived."""
        connection = self.streams.numbered(flow.connection)
        if connection is not None:
            at = max(end.arrives_at for end in connection.ends)
            self._later(max(0.0, at - self.now), lambda: self.streams.forget(connection))

    def _pieces(self, data: bytes) -> list[bytes]:
        if not self.conditions.pieces or len(data) < 3:
            return [data]
        cut = self._random.randrange(1, len(data))
        return [data[:cut], data[cut:]]

    # --- small things -------------------------------------------------------------------------------------------------

    def _fail(self, host: Host, flow: Flow, reason: str) -> None:
        if host in self.hosts:
            self.perform(host, host.flow_failed(flow, reason, self.now))

    def _in_flight(self, sender: str, receiver: Host, delay: float, deliver: Callable[[], None]) -> None:
        held = self._held.get(sender)
        if held is None:
            held = self._held.get(receiver.name)
        if held is not None:
            held.append(lambda: self._later(delay, deliver))
        else:
            self._later(delay, deliver)

    def _later(self, delay: float, happen: Callable[[], None]) -> None:
        self._n += 1
        heapq.heappush(self._events, (self.now + delay, self._n, happen))

    def _delay(self) -> float:
        conditions = self.conditions
        extra = self._random.uniform(0.0, 0.05) if self._chance(conditions.reorder) else 0.0
        jitter = self._random.uniform(0.0, conditions.jitter) if conditions.jitter else 0.0
        return conditions.delay + jitter + extra

    def _chance(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability

    def _note(self, host: Host, receiver: Host | None, flow: Flow, data: bytes, fate: Fate) -> None:
        name = None if receiver is None else receiver.name
        self.log.append(Sent(self.now, host.name, name, flow.transport, flow.local, flow.remote, data, fate))

    def _host(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)

    def _has_machine(self, host: str) -> bool:
        if host in self.blackholes or host in self._gone:
            return False
        return host in self._refusing or any(address.host == host for _, address in self._listeners)


class _Loss(Struct):
    start: bytes
    to: str | None
    by: str | None
    times: int

    def fits(self, sender: str, receiver: str, data: bytes) -> bool:
        return data.startswith(self.start) and self.to in (None, receiver) and self.by in (None, sender)
