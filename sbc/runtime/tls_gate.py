"""The TLS handshakes of all connections: by whose rules, what became of them, and who is told.

A connection goes on only where its handshake is done and the certificate, where one was needed or shown, is right; its
flow then says which profiles it has proved. A peer's refusal is one log line a minute and, of a trunk, an alarm;
strangers get silence. Used by `tcp`.
"""

import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Flow
from sbc.core.errors import OperatorError
from sbc.policy.protection import TlsProfile
from sbc.runtime.connecting import Sayings, words
from sbc.runtime.connection import Connection
from sbc.runtime.stream_bounds import Whose
from sbc.runtime.tls import TlsError, TlsSession, shake
from sbc.runtime.tls_proof import Shown, is_revoked, knows_us_for, refusal
from sbc.runtime.tls_rules import TlsRules, Way

_READ_OCTETS: Final = 16_384  # a handshake has some thousand; and a flood of them is not to be taken at once
_EXPIRIES: Final = 1_000  # certificates of peers, whose end is remembered

log = structlog.get_logger("tls")


class TlsGate:
    """`expiries`: of certificates that peers have shown, by profile; seconds since 1970."""

    def __init__(
        self,
        rules: TlsRules,
        drops: Counter[str],
        now: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.expiries: dict[str, float] = {}
        self._rules = rules
        self._drops = drops
        self._wall = wall
        self._sayings = Sayings(now)
        self._refused: dict[str, str] = {}  # profiles whose alarm stands, and which way the connection was
        self._turns = {is_stranger: trio.CapacityLimiter(limits.HANDSHAKE_THREADS) for is_stranger in (False, True)}

    def whose(self, flow: Flow) -> Whose:
        return Whose(*self._rules.whose(flow))

    # --- handshakes -----------------------------------------------------------------------------------------------

    async def meet_server(self, connection: Connection, flow: Flow) -> str:
        """Of a connection that was opened for this flow. Empty where it stands, else why not."""
        profile = flow.proved[0] if flow.proved else ""
        try:
            way = self._rules.to_server(flow)
            session, shown = await self._begin(connection, way, is_stranger=False, is_server=False)
            way = self._rules.to_server(flow)  # a reload may have come between
            why = self._refusal(way.profiles[0], shown)
        except (TlsError, OperatorError) as error:
            why = str(error)
        except trio.ClosedResourceError:
            return "closed before it was connected"
        except OSError as error:
            why = f"the TLS handshake was broken off: {words(error)}"
        if why:
            self._say(connection.flow, profile, why, "out")
            return f"TLS: {why}"
        self._stands(connection, session, shown, [profile, *self._proved(way.profiles[1:], shown)])
        return ""

    async def meet_client(self, connection: Connection, *, is_stranger: bool) -> bool:
        """Of a connection that was accepted. Whether it may go on."""
        way: Way | None = None
        try:
            way = self._rules.from_client(connection.flow)
            session, shown = await self._begin(connection, way, is_stranger=is_stranger, is_server=True)
            way = self._rules.from_client(connection.flow)
            proved = self._proved(way.profiles, shown)
            why = "" if proved else self._unproved(way, shown)
        except (TlsError, OperatorError) as error:
            why = str(error)
        except (OSError, trio.ClosedResourceError):
            self._drops["tls_handshake_failed"] += 1
            return False
        if why:
            self._drops["tls_handshake_failed"] += 1
            if not is_stranger:
                self._say(connection.flow, self._name(way), why, "in")
            return False
        self._stands(connection, session, shown, proved)
        if not proved:
            self._say_unproved(connection.flow, shown)
        if not proved and self._refused.get(self._name(way)) == "in" and self._need_not_prove(way):
            self._is_over(self._name(way), connection)  # who need prove nothing comes in again
        return True

    async def _begin(
        self, connection: Connection, way: Way, *, is_stranger: bool, is_server: bool
    ) -> tuple[TlsSession, Shown]:
        session = TlsSession(way.context, server_name=way.server_name, is_server=is_server)
        stream = _Stream(connection.socket)
        await shake(session, stream.receive, stream.send, self._turns[is_stranger])
        shown = replace(session.shown(way.lists), is_server=not is_server, ours=way.ours)
        if shown.version < way.minimum:
            raise TlsError(f"it speaks TLS {shown.version}, and {way.minimum} is the oldest that is allowed")
        return session, shown

    def _stands(self, connection: Connection, session: TlsSession, shown: Shown, proved: list[str]) -> None:
        connection.secured(session, shown, tuple(proved))
        connection.connected()
        for name in proved:
            if shown.certificate is not None and (name in self.expiries or len(self.expiries) < _EXPIRIES):
                self.expiries[name] = shown.certificate.ends
            if name in self._refused:
                self._is_over(name, connection)

    def _is_over(self, name: str, connection: Connection) -> None:
        del self._refused[name]
        log.info("tls.proved", peer=name, remote=connection.flow.remote.host)

    # --- judgement ------------------------------------------------------------------------------------------------

    def _refusal(self, profile: TlsProfile, shown: Shown) -> str:
        return refusal(profile, shown, self._rules.contexts.authorities, self._wall())

    def _proved(self, profiles: Iterable[TlsProfile], shown: Shown) -> list[str]:
        if shown.certificate is None:
            return []
        return [one.name for one in profiles if knows_us_for(one, shown) and not self._refusal(one, shown)]

    def _unproved(self, way: Way, shown: Shown) -> str:
        """Why somebody who has proved nothing is refused; "": he may be who needs not."""
        if shown.certificate is None:
            by_source = [one for one in way.profiles if one.identity != "certificate"]
            if not way.profiles or any(shown.version >= one.trust.minimum for one in by_source):
                return ""
        elif way.lax:
            return ""
        return next(self._refusal(profile, shown) for profile in way.profiles)

    def judge_again(self, connection: Connection, before: Mapping[str, TlsProfile]) -> "Judged":
        """After a reload. `before`: the profiles as they were.

        A connection that stands keeps its proof while the policy means the same peer by it, for certificates and
        authorities are exchanged under running calls; also of a peer that is taken away, whose calls are still up.
        """
        shown, flow = connection.shown, connection.flow
        if shown is None:
            return Judged((), ())
        known = self._rules.policy.tls_profiles
        kept: list[str] = []
        stale: list[str] = []
        for name in flow.proved:
            now, was = known.get(name), before.get(name)
            is_proved = now is not None and now.interface == flow.interface and not self._refusal(now, shown)
            if now is None or not is_proved or not knows_us_for(now, shown):
                stale.append(name)
            is_meant = now is None or (was is not None and (now.domains, now.pins) == (was.domains, was.pins))
            if is_proved or is_meant:
                kept.append(name)
        remote = flow.remote
        others = self._rules.policy.tls_candidates(flow.interface, remote.host, remote.port)
        gained = [name for name in self._proved(others, shown) if name not in kept]
        revoked = any(self._is_revoked(known[name], shown) for name in flow.proved if name in known)
        return Judged((*kept, *gained), tuple(stale), revoked)

    def _is_revoked(self, profile: TlsProfile, shown: Shown) -> bool:
        return is_revoked(profile, shown) or self._rules.lists.name(profile.trust.crl, shown.chain)

    def forget_gone(self) -> None:
        """After a reload: peers that are gone are no news any more."""
        known = self._rules.policy.tls_profiles
        for name in self.expiries.keys() - known.keys():
            del self.expiries[name]
        self._refused = {name: way for name, way in self._refused.items() if name in known}

    # --- what is said ---------------------------------------------------------------------------------------------

    def broke(self, connection: Connection) -> None:
        """A session that stood could not go on: in TLS 1.3 a server's refusal of our certificate comes so late."""
        if connection.flow.proved and connection.tls_failure:
            self._say(connection.flow, connection.flow.proved[0], connection.tls_failure, "out")

    def _say(self, flow: Flow, profile: str, why: str, direction: str) -> None:
        alarm = self._rules.is_trunk(profile)
        if profile and alarm and self._refused.get(profile) != "out":
            self._refused[profile] = direction
        # Where we connect, another reason is news at once: somebody has just tried to mend the first one.
        news = f" {why}" if direction == "out" else ""
        if not self._sayings.is_due(f"{flow.remote.host} {profile}{news}"):
            return
        log.warning(
            "tls.refused",
            peer=profile or None,
            remote=flow.remote.host,
            interface=flow.interface,
            direction=direction,
            reason=why,
            **({"alarm": True} if alarm else {}),
        )

    def _say_unproved(self, flow: Flow, shown: Shown) -> None:
        """It may go on, as anybody may on this interface; but it is the address of peers who all have to prove who they
        are, and to the engine it is none of them: their calls are those of somebody who has not logged in.
        """
        policy = self._rules.policy
        peers = [one for one in policy.tls_peers(flow.interface, flow.remote.host) if not one.accepts_any]
        if not peers or any(one.tls.identity != "certificate" for one in peers):
            return
        peer = next((one for one in peers if one.kind == "trunk"), peers[0])
        name = policy.tls_profile(peer.name)
        profile = policy.tls_profiles.get(name)
        if profile is None:
            return
        is_alarm = peer.kind == "trunk"
        if is_alarm:
            self._refused.setdefault(name, "in")
        if not self._sayings.is_due(f"{flow.remote.host} {name} unproved"):
            return
        log.warning(
            "tls.unproved",
            peer=name,
            remote=flow.remote.host,
            interface=flow.interface,
            reason=self._refusal(profile, shown),
            **({"alarm": True} if is_alarm else {}),
        )

    def _need_not_prove(self, way: Way | None) -> bool:
        name = self._name(way)
        return way is not None and any(one.name == name and one.identity != "certificate" for one in way.profiles)

    def _name(self, way: Way | None) -> str:
        """Of who may have come from there, a trunk's name first: somebody is woken for its sake."""
        if way is None or not way.profiles:
            return ""
        trunks = [profile.name for profile in way.profiles if self._rules.is_trunk(profile.name)]
        return (trunks or [way.profiles[0].name])[0]


class Judged(Struct, frozen=True):
    """`proved`: as it stands in the flow from now on. `stale`: what has to be proved anew before anything is begun."""

    proved: tuple[str, ...]
    stale: tuple[str, ...]
    is_revoked: bool = False


class _Stream:
    """A socket, as a handshake needs it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._is_silent = True
        self._left = limits.HANDSHAKE_OCTETS

    async def receive(self) -> bytes:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                octets = self._socket.recv(_READ_OCTETS)
            except BlockingIOError:
                continue
            if self._is_silent and not octets:
                raise ConnectionError("it has closed the connection")  # a look whether anybody is there
            self._is_silent = False
            self._left -= len(octets)
            if self._left < 0:
                raise TlsError("its handshake has no end")
            return octets

    async def send(self, octets: bytes) -> None:
        rest = memoryview(octets)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
