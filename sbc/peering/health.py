"""Which servers of our peers can be used: one table, shared by probes (OPTIONS), registrations and calls.

RFC 3261 §11 (OPTIONS), §21.5.4 (503). What one address has shown is counted in `health_state`; here is who is asked
when, what the answers mean, and what is said of it. It places no call and has no opinion where a call should go.
Used by `relations`.
"""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import Log, StoreState
from sbc.core.ids import IdSource
from sbc.core.timers import Schedule
from sbc.peering.health_options import options_to, retry_after
from sbc.peering.health_pings import Pings
from sbc.peering.health_state import LIVE_SECONDS, SavedServer, ServerHealth
from sbc.peering.hop import Hop
from sbc.peering.outages import Outages
from sbc.peering.views import PingView, ServerState, ServerView
from sbc.policy.model import Peer
from sbc.sip.commands import SendRequest
from sbc.sip.message import Response

PING_SECONDS: Final = 4.0  # for the answer to an operator's ping
SLOT_SECONDS: Final = 0.002  # between two probes, whomever they go to: many servers are no burst
_FIRST_MILLISECONDS: Final = 1000  # at the start every server is asked within this

KEPT: Final = "health"  # what keys of what is kept of a server begin with

Key = tuple[str, Transport, Address]  # peer, and where it is reached


class PeerChanged(Struct, frozen=True):
    """The last usable server of this peer went out of service, or the first came back (also: on trial)."""

    peer: str
    usable: bool
    why: str


Out = SendRequest | Log | StoreState | PeerChanged


class HealthTable:
    """`outages`: of our own interfaces. What goes by them is out of service, and not asked, until they are over."""

    def __init__(self, ids: IdSource, outages: Outages | None = None) -> None:
        self._ids = ids
        self._outages = Outages() if outages is None else outages
        self._peers: dict[str, _Peer] = {}
        self._servers: dict[Key, ServerHealth] = {}
        self._deadlines: Schedule[Key] = Schedule()
        self._probes: dict[int, Key] = {}  # under way; at most one of each server
        self._pings = Pings()
        self._number = 0
        self._free_at = 0.0  # when the next probe may go out
        self._left: dict[str, SavedServer] = {}  # by an earlier life of ours, of servers that are not known yet
        self._stored: dict[Key, SavedServer] = {}

    # --- across restarts ----------------------------------------------------------------------------------------------

    def restore(self, name: str, value: bytes) -> None:
        """What `StoreState` kept under `health/<name>`; said before `set_hops`. What cannot be read is as new."""
        try:
            self._left[name] = _decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._left[name] = _NOTHING

    def forget_left(self, peer: str | None, *, but: Collection[str] = ()) -> list[StoreState]:
        """What an earlier life has left of servers that this peer has no more; None: of peers that there are no more,
        `but` those.
        """
        gone = [name for name in self._left if _is_of(name, peer, but)]
        for name in gone:
            del self._left[name]
        return [StoreState(f"{KEPT}/{name}", None) for name in gone]

    def _store(self, key: Key, server: ServerHealth) -> list[StoreState]:
        saved = server.saved()
        if saved == self._stored.get(key):
            return []
        if saved is None:
            del self._stored[key]
            return [StoreState(f"{KEPT}/{_name_of(key)}", None)]
        self._stored[key] = saved
        return [StoreState(f"{KEPT}/{_name_of(key)}", _encoder.encode(saved))]

    # --- which servers there are --------------------------------------------------------------------------------------

    def set_hops(self, peer: Peer, hops: Sequence[Hop], now: float) -> list[Out]:
        """The addresses of this peer from now on. Known ones keep what is known of them; new ones are probed soon."""
        outs: list[Out] = []
        known = self._peers.get(peer.name)
        is_new = known is None
        if known is None:
            known = self._peers[peer.name] = _Peer(peer, now)
        old = known.servers
        known.policy, known.servers = peer, {}
        for hop in hops:
            key = _key(hop)
            if key not in known.servers:
                known.servers[key] = self._server(key, hop, peer, now)
        for key in old.keys() - known.servers.keys():
            outs += self._drop(key)
        known.index_hosts()
        outs += self._weigh(known, "its servers have changed", now)
        if is_new and any(key in self._stored for key in known.servers):
            known.since = known.known_since()
        return outs

    def forget(self, peer: str) -> list[StoreState]:
        known = self._peers.pop(peer, None)
        return [out for key in (() if known is None else known.servers) for out in self._drop(key)]

    def _server(self, key: Key, hop: Hop, peer: Peer, now: float) -> ServerHealth:
        server = self._servers.get(key)
        is_as_before = server is not None and server.health == peer.health
        if server is None:
            server = self._servers[key] = ServerHealth(hop, peer.health, now)
            left = self._left.pop(_name_of(key), None)
            if left is not None:
                self._stored[key] = left
                server.restore(left, now)
        server.reconfigure(hop, peer.health, now)
        if not server.is_probed:
            self._probes.pop(server.asked, None)
            server.asked = 0
        elif not server.asked and not is_as_before:
            server.probe_at = min(server.probe_at, now + self._drawn())
        self._plan(key, server)
        return server

    def _drawn(self) -> float:
        """Somewhere within the first second."""
        return self._ids.number(_FIRST_MILLISECONDS) / 1000

    def _drop(self, key: Key) -> list[StoreState]:
        server = self._servers.pop(key)
        self._probes.pop(server.asked, None)
        self._deadlines.set(key, None)
        return [] if self._stored.pop(key, None) is None else [StoreState(f"{KEPT}/{_name_of(key)}", None)]

    def interface_changed(self, interface: str, now: float) -> list[Out]:
        """`outages` has news of it. Who is reached again is asked soon, and may be called at once."""
        outs: list[Out] = []
        for known in self._peers.values():
            if known.policy.interface != interface:
                continue
            for key, server in known.servers.items():
                outage = self._outages.of(server.hop.flow)
                self._probes.pop(server.asked, None)
                server.asked, server.has_turn = 0, False
                if outage is None and server.is_probed:
                    server.probe_at = now + self._drawn()
                self._plan(key, server)
            whole = self._outages.whole(interface)
            outs += self._weigh(known, whole.why if whole else f"interface {interface} is back", now)
        return outs

    def _plan(self, key: Key, server: ServerHealth) -> None:
        is_cut = bool(self._outages) and self._outages.of(server.hop.flow) is not None
        self._deadlines.set(key, None if is_cut else server.next_deadline())

    def _is_usable(self, server: ServerHealth) -> bool:
        return server.is_usable and not (self._outages and self._outages.of(server.hop.flow) is not None)

    # --- what happens -------------------------------------------------------------------------------------------------

    def heard(
        self, peer: str, flow: Flow, now: float, status: int | None = None, retry_after: float | None = None
    ) -> list[Out]:
        """Live traffic of this peer: the status of a response (not to our OPTIONS), or None: a request.

        Called for every message; where nothing changes it is one look-up.
        """
        key = (peer, flow.transport, flow.remote)
        server = self._servers.get(key)
        if server is None:
            server = self._of_host(peer, flow)
            if server is None:
                return []
            key = _key(server.hop)
        if server.is_settled and status != 503:
            if status is not None:
                server.heard_at = now
            return []
        before = server.state
        if status == 503:
            server.refuse(retry_after, now)
        elif server.hear(status, now):
            self._hurry(server, max(now, server.sent_at + LIVE_SECONDS))
        return self._after(key, server, before, now)

    def _of_host(self, peer: str, flow: Flow) -> ServerHealth | None:
        """From another port than it listens on, as on connections that the peer opens: if its host is one server."""
        known = self._peers.get(peer)
        return None if known is None else known.by_host.get((flow.transport, flow.remote.host))

    def failed(self, hop: Hop, why: str, now: float) -> list[Out]:
        """A call or a registration got silence there, or a transport failure."""
        key = _key(hop)
        server = self._servers.get(key)
        return [] if server is None else self._fail(key, server, why, now)

    def take_response(self, user: tuple[str, str, int], response: Response, flow: Flow, now: float) -> list[Out]:
        """To an OPTIONS of ours. "The response code … MUST be the same that would have been chosen had the request
        been an INVITE", §11.2; whatever it is, the server is there. Late ones say so too.
        """
        _, peer, number = user
        if response.status < 200:
            return []
        self._pings.answered(number, response.status, response.reason, now)
        key = self._probes.pop(number, (peer, flow.transport, flow.remote))
        server = self._servers.get(key)
        if server is None:
            return []
        if server.asked == number:
            server.asked = 0
        before = server.state
        if response.status == 503:
            server.suspend("503 to OPTIONS", retry_after(response), now)
        else:
            server.succeed(f"{response.status} to OPTIONS", now)
        self._plan_probe(server, now)
        return self._after(key, server, before, now)

    def take_failure(self, user: tuple[str, str, int], why: str, now: float) -> list[Out]:
        """An OPTIONS of ours could not be delivered, or its transaction timed out after we had given it up."""
        number = user[2]
        self._pings.failed(number, why)
        key = self._probes.pop(number, None)
        return [] if key is None else self._fail(key, self._servers[key], f"OPTIONS: {why}", now, probe=True)

    # --- what is asked ------------------------------------------------------------------------------------------------

    def is_usable(self, hop: Hop) -> bool:
        """Neither down nor suspended, and not behind an interface of ours that is; an address that is not in the table
        is usable.
        """
        if self._outages and self._outages.of(hop.flow) is not None:
            return False
        server = self._servers.get(_key(hop))
        return server is None or server.is_usable

    def is_peer_usable(self, peer: str) -> bool:
        """Any of its servers is, or none is known."""
        known = self._peers.get(peer)
        return known is None or known.is_usable

    def since(self, peer: str) -> float:
        """When the peer became usable, or ceased to be."""
        known = self._peers.get(peer)
        return 0.0 if known is None else known.since

    def servers(self, peer: str) -> tuple[ServerView, ...]:
        known = self._peers.get(peer)
        servers = () if known is None else known.servers.values()
        return tuple([self._view(server) for server in servers])

    def _view(self, server: ServerHealth) -> ServerView:
        outage = self._outages.of(server.hop.flow) if self._outages else None
        if outage is not None:
            return ServerView(_name(server.hop), str(server.hop), "down", outage.since, outage.why)
        return ServerView(_name(server.hop), str(server.hop), server.state, server.since, server.why)

    # --- the operator's ping ------------------------------------------------------------------------------------------

    def ping(self, peer: str, token: str, now: float) -> list[Out]:
        """OPTIONS to every server of this peer, now. Answers count as those to probes do, silence does not."""
        known = self._peers.get(peer)
        if known is None or not known.servers:
            nowhere = PingView(token, "", "", 0, None, "no server address is known")
            self._pings.asked(self._next_number(), nowhere, now, PING_SECONDS)
            return []
        outs: list[Out] = []
        for server in known.servers.values():
            number = self._next_number()
            view = PingView(token, _name(server.hop), str(server.hop), None, None)
            self._pings.asked(number, view, now, PING_SECONDS)
            outs.append(options_to(known.policy, server.hop, number, self._ids))
        return outs

    def pings(self) -> tuple[PingView, ...]:
        """The oldest first."""
        return self._pings.views()

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        self._pings.tick(now)
        outs: list[Out] = []
        for key in self._deadlines.pop_due(now, limits.PEERS_DUE_AT_ONCE):
            outs += self._due(key, self._servers[key], now)
        return outs

    def next_deadline(self) -> float | None:
        deadlines = (self._deadlines.next(), self._pings.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    def _due(self, key: Key, server: ServerHealth, now: float) -> list[Out]:
        before = server.state
        server.come_back(now)
        outs = self._after(key, server, before, now)
        if server.asked:
            if server.timed_out(now):
                del self._probes[server.asked]
                outs += self._fail(key, server, f"no answer to OPTIONS within {server.patience:g} s", now, probe=True)
        elif server.probe_at <= now and not server.postpone(now):
            outs += self._probe(key, server, now)
        self._deadlines.set(key, server.next_deadline())
        return outs

    def _probe(self, key: Key, server: ServerHealth, now: float) -> list[Out]:
        if not server.has_turn and self._free_at > now:  # others are being asked: after them
            server.has_turn = True
            server.probe_at = self._free_at
            self._free_at += SLOT_SECONDS
            return []
        server.has_turn = False
        self._free_at = max(self._free_at, now + SLOT_SECONDS)
        server.asked = self._next_number()
        self._probes[server.asked] = key
        server.sent_at = now
        return [options_to(self._peers[key[0]].policy, server.hop, server.asked, self._ids)]

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    # --- what follows -------------------------------------------------------------------------------------------------

    def _fail(self, key: Key, server: ServerHealth, why: str, now: float, *, probe: bool = False) -> list[Out]:
        if self._outages and self._outages.of(server.hop.flow) is not None:
            return []  # that is no fault of theirs
        before = server.state
        server.fail(why, now)
        if probe:
            server.asked = 0
            self._plan_probe(server, now)
        elif server.health is not None:
            self._hurry(server, max(now, server.sent_at + server.health.retry))
        return self._after(key, server, before, now)

    def _hurry(self, server: ServerHealth, at: float) -> None:
        """The next probe at `at`, unless it is earlier, or under way."""
        if server.is_probed and not server.asked:
            server.probe_at = min(server.probe_at, at)

    def _plan_probe(self, server: ServerHealth, now: float) -> None:
        if server.is_probed and not server.asked:
            server.probe_at = max(now, server.sent_at + server.interval * (1 - self._ids.number(100) / 1000))

    def _after(self, key: Key, server: ServerHealth, before: ServerState, now: float) -> list[Out]:
        """Plan what is next, and say what has changed."""
        self._plan(key, server)
        stored = self._store(key, server)
        if server.state == before:
            return [*stored]
        known = self._peers[key[0]]
        return [*stored, *_said(server), *self._weigh(known, f"{server.hop}: {server.why}", now)]

    def _weigh(self, known: "_Peer", why: str, now: float) -> list[Out]:
        """Whether the peer as a whole can be used. A trial is no return: that is said when it has answered."""
        servers = known.servers.values()
        is_usable = not servers or any(self._is_usable(server) for server in servers)
        is_theirs = bool(servers) and not any(server.is_usable for server in servers)
        outs: list[Out] = []
        if is_usable != known.is_usable:
            known.is_usable, known.since = is_usable, now
            outs.append(PeerChanged(known.policy.name, is_usable, why))
        if is_theirs and not known.is_said_down:
            known.is_said_down = True
            outs.append(Log("error", "peer.down", (("alarm", True), ("peer", known.policy.name), ("why", why))))
        elif known.is_said_down and (not servers or any(server.state == "up" for server in servers)):
            known.is_said_down = False
            outs.append(Log("info", "peer.up", (("peer", known.policy.name), ("why", why))))
        return outs


class _Peer:
    """A peer and its servers, in the order to be tried."""

    __slots__ = ("by_host", "is_said_down", "is_usable", "policy", "servers", "since")

    def __init__(self, policy: Peer, now: float) -> None:
        self.policy = policy
        self.servers: dict[Key, ServerHealth] = {}
        self.by_host: dict[tuple[Transport, str], ServerHealth | None] = {}  # None: several on that host
        self.is_usable = True
        self.is_said_down = False
        self.since = now

    def known_since(self) -> float:
        """Of servers that an earlier life has known: since when the peer is as it is."""
        usable = [server.since for server in self.servers.values() if server.is_usable]
        return min(usable) if usable else max(server.since for server in self.servers.values())

    def index_hosts(self) -> None:
        self.by_host.clear()
        for (_, transport, remote), server in self.servers.items():
            place = (transport, remote.host)
            self.by_host[place] = None if place in self.by_host else server


_NOTHING: Final = SavedServer("unknown", 0.0, "")
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[SavedServer] = msgspec.msgpack.Decoder(SavedServer)


def _name_of(key: Key) -> str:
    """As it stands in the key of what is kept."""
    peer, transport, remote = key
    return f"{peer}/{transport}/{remote}"


def _is_of(name: str, peer: str | None, but: Collection[str]) -> bool:
    owner = name.partition("/")[0]
    return owner not in but if peer is None else owner == peer


def _key(hop: Hop) -> Key:
    return (hop.peer, hop.flow.transport, hop.flow.remote)


def _name(hop: Hop) -> str:
    return hop.server.text or hop.server.host


def _said(server: ServerHealth) -> list[Out]:
    hop = server.hop
    fields = (("peer", hop.peer), ("server", _name(hop)), ("address", str(hop)), ("why", server.why))
    match server.state:
        case "up":
            return [Log("info", "server.up", fields)]
        case "down":
            return [Log("warning", "server.down", fields)]
        case "suspended":
            return [Log("warning", "server.suspended", fields)]
        case "unknown":
            return []
