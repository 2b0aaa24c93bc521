"""What the sessions of a worker share: its ports, its poller, its clock, its engine and the memory of its counters.

`service` makes them; `engine_choice` sets `engine`, `slots` and `own`, and may set them anew; `session` and `way` use
them.
"""

from collections.abc import Callable, Collection
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import Struct

from sbc.media import wire
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.engine import Engine, NoEngine
from sbc.media.worker.far_end import Key, Latches
from sbc.media.worker.inlet import Clock, Inlet
from sbc.media.worker.lane import Lane
from sbc.media.worker.latch import Source, Target
from sbc.media.worker.ports import Pair, Udp
from sbc.media.worker.slots import Memory, Slots
from sbc.media.worker.srtp_memory import forget

if TYPE_CHECKING:
    from sbc.media.worker.association import Association
    from sbc.media.worker.dtls import Identity
    from sbc.media.worker.srtp_keyring import Keyring


NO_IDENTITY: Final = "no DTLS identity was given"
NO_MODULE: Final = "pyOpenSSL is not installed"


class Watch(Protocol):
    """The poller's side: which inlet a socket belongs to. Setting one that is watched already replaces its inlet.

    `beside`: another socket of an inlet that has one.
    """

    def set(self, socket: Udp, inlet: Inlet) -> None: ...
    def beside(self, socket: Udp, lane: Lane) -> None: ...
    def unset(self, socket: Udp) -> None: ...


class Connected(Struct, frozen=True):
    """A socket that is connected to `target`; `peer` is that, as `recvfrom` has it. `aside`: hears the others."""

    aside: Udp
    target: Target
    peer: Source


class Connector(Protocol):
    """See `connecting`. `connect`: None where it cannot be. `retire`: an aside, before what is queued in it is read for
    the last time. `is_short`: descriptors are needed for other things.
    """

    def is_short(self) -> bool: ...
    def connect(self, one: Udp, target: Target) -> Connected | None: ...
    def retire(self, aside: Udp) -> None: ...
    def disconnect(self, one: Udp) -> None: ...


def _unmarked(_socket: Udp) -> int:
    return 0


class Surroundings(Struct):
    """What every session of a worker uses. `say`: a reply that nobody asked for.

    `clock`: seconds of CLOCK_MONOTONIC, as the slots have it. `slots`: None: counters that die with us. `engine` and
    `own` (`wire.Configure.own`, canonical) may be set anew; every session is to be rewired then. `dscp`: of what leaves
    by a socket. `latches`: of each pair that a session has, or had last. `connector`: None: no socket is connected.
    `memory`: of a worker's own, whatever engine there is; SRTP's share of it is behind the slots. `dtls`: what we show
    in handshakes. `associations`: those of a pair, of RTP's port and of RTCP's.
    """

    find: Callable[[wire.End], Pair]
    watch: Watch
    agenda: Agenda
    clock: Clock
    say: Callable[[wire.Reply], None]
    slots: Slots | None = None
    engine: Engine = NoEngine()
    own: frozenset[str] = frozenset()
    dscp: Callable[[Udp], int] = _unmarked
    latches: dict[Key, Latches] = msgspec.field(default_factory=dict)
    connector: Connector | None = None
    memory: Memory | None = None
    secrets: "list[Keyring]" = msgspec.field(default_factory=list)
    dtls: wire.DtlsIdentity | None = None
    identities: "list[Identity]" = msgspec.field(default_factory=list)
    associations: "dict[Key, dict[bool, Association]]" = msgspec.field(default_factory=dict)

    def forget_associations(self, key: Key) -> None:
        """That pair is nobody's, or its end has no handshakes any more."""
        for association in self.associations.pop(key, {}).values():
            association.close()

    def identity(self) -> "Identity":
        """Made when the first handshake is asked for. Raises ValueError where it cannot be used."""
        from sbc.media.worker.dtls import Identity  # noqa: PLC0415 - as above

        if self.dtls is None:
            raise ValueError(NO_IDENTITY)
        if not self.identities or self.identities[0].given != self.dtls:
            self.identities[:] = [Identity(self.dtls)]
        return self.identities[0]

    def dtls_problem(self) -> str:
        """The same as `dtls_obstacle`, looked at to the end, as a session needs it."""
        found = self.dtls_obstacle()
        if found:
            return found
        try:
            self.identity()
        except (ImportError, ValueError) as error:
            return f"no DTLS: {error}"
        return ""

    def dtls_obstacle(self) -> str:
        """Why there are no handshakes; empty: there are."""
        if self.dtls is None:
            return NO_IDENTITY
        return "" if find_spec("OpenSSL") is not None else NO_MODULE

    def keyring(self) -> "Keyring":
        """Made when the first key comes: what it needs takes long to import, and most workers need none of it."""
        if not self.secrets:
            from sbc.media.worker.srtp_keyring import Keyring  # noqa: PLC0415

            self.secrets.append(Keyring(self.memory))
        return self.secrets[0]

    def forget_secrets(self, owners: Collection[int]) -> None:
        """What former workers wrote of keys that nobody holds, and of ends that are none of `owners`."""
        for keyring in self.secrets:
            keyring.clear_away(owners)
        if not self.secrets and self.memory is not None:
            forget(self.memory)
