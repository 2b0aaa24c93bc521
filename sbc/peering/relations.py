"""What stands between us and each peer right now: health, registration, bindings, credentials, call paths, rates, and
the operator's orders. One view, shared by probes, registration and calls (behaviour, pain 9).

It keeps the machines of this package together, hands each what is for it, and answers the calls' questions. It places
no call and decides no route. Used by the switch and, through the calls' context, by the hunt.
"""

from collections.abc import Iterable

from sbc.core import limits
from sbc.core.address import Flow
from sbc.core.commands import Log, StoreState
from sbc.core.ids import IdSource
from sbc.core.timers import Schedule
from sbc.peering import health, peaks, register_saved
from sbc.peering.bindings import BindingMoved
from sbc.peering.closures import KIND_OF_ORDER, Closures, Order
from sbc.peering.health import HealthTable, PeerChanged
from sbc.peering.health_options import retry_after
from sbc.peering.hop import Hop
from sbc.peering.outages import Outages
from sbc.peering.paths import PathLedger
from sbc.peering.presence import Presence
from sbc.peering.quotas import KEPT, Quotas
from sbc.peering.register_saved import SavedRegistration
from sbc.peering.registrar import Registrar
from sbc.peering.registration import RegistrarFailed, Registration
from sbc.peering.throttle import Throttle
from sbc.peering.views import PeerState, PeerView
from sbc.peering.whereabouts import Hops, Locate, Whereabouts
from sbc.policy.engine import Policy
from sbc.policy.model import Algorithm, Auth, Peer
from sbc.sip.auth.client import Authenticator
from sbc.sip.auth.server import Accepted, Challenged, DigestServer
from sbc.sip.commands import CloseFlow, KeepAlive, SendRequest
from sbc.sip.message import Fields, Request, Response

Out = SendRequest | KeepAlive | CloseFlow | Log | StoreState | BindingMoved
_Inner = Out | PeerChanged | RegistrarFailed


class Relations:
    """`locate(next_hop, interface, now)`: the addresses of a server."""

    def __init__(self, policy: Policy, ids: IdSource, locate: Locate) -> None:
        self.policy = policy
        self._outages = Outages()
        self.health = HealthTable(ids, self._outages)
        self.paths = PathLedger()
        self.registrar = Registrar(ids)
        self.quotas = Quotas(policy)
        self.throttle = Throttle(policy)
        self._presence = Presence()
        self._ids = ids
        self._closures = Closures()
        self._where = Whereabouts(locate)
        self._digest = DigestServer(policy.name, bytes.fromhex(ids.call_id()), ids)
        self._registrations: dict[str, Registration] = {}
        self._has_left = False  # a drain is over: we are to be registered nowhere
        self._due: Schedule[str] = Schedule()  # of registrations: hundreds of them, and asked after every message
        self._credentials: dict[str, tuple[Auth, Authenticator]] = {}
        self._left: dict[str, SavedRegistration | None] = {}  # by an earlier life of ours
        self._registered: dict[str, SavedRegistration] = {}  # as they are stored
        self._saved: dict[str, bytes] = {}  # Call-ID and CSeq of each trunk that has ever registered
        self._set_tables(policy)

    @property
    def nonces(self) -> int:
        """Of ours, that somebody has used."""
        return len(self._digest)

    # --- beginning, and change of policy ------------------------------------------------------------------------------

    def restore(self, items: Iterable[tuple[str, bytes]], now: float, wall_at_zero: float) -> None:
        """What was kept before the last stop; said before `start`."""
        kept = tuple(items)
        self.registrar.restore(kept, now, wall_at_zero)
        for key, value in kept:
            kind, _, name = key.partition("/")
            if kind in KIND_OF_ORDER:
                self._closures.restore(kind, name, value, self.policy.peers.get(name), now)  # type: ignore[arg-type]
            elif kind == "register":
                self._saved[name] = value
            elif key == peaks.KEY:
                self.paths.today.restore(value, now)
            elif kind == KEPT:
                self.quotas.restore(name, value)
            elif kind == health.KEPT:
                self.health.restore(name, value)
            elif kind == register_saved.KEPT:
                self._left[name] = register_saved.decode(value)

    def start(self, now: float) -> list[Out]:
        self.quotas.start(now)
        outs: list[Out] = [*self._closures.start(), *self._settle_bindings(now)]
        outs += self.health.forget_left(None, but=self.policy.peers)
        for peer in self.policy.peers.values():
            outs += self._set_hops(peer, now)
        outs += self._start_registrations(now)
        outs += [StoreState(f"{register_saved.KEPT}/{name}", None) for name in self._left]
        self._left.clear()
        return outs

    def change_policy(self, policy: Policy, now: float) -> list[Out]:
        """A reload: what is known of a peer stays known; calls, paths and bindings are not touched."""
        old, self.policy = self.policy, policy
        self._set_tables(policy)
        self.quotas.set_policy(policy)
        self.throttle.set_policy(policy)
        self.quotas.start(now)
        outs: list[Out] = [*self._outages.change_policy(policy.interfaces)]
        for was in old.peers.values():
            is_now = policy.peers.get(was.name)
            if is_now is None or is_now.kind != was.kind:
                outs += self._forget(was.name)
            if was.registers and (is_now is None or not is_now.registers):
                outs += self._presence.forget(was.name)
                outs += self._absorb(self.registrar.forget(was.name), now)
        for name in list(self._registrations):
            peer = policy.peers.get(name)
            if peer is None or peer.register is None:
                self._due.set(name, None)
                if self._registrations[name].is_excluded:
                    self._closures.opened(name, now)
                del self._registrations[name]  # the carrier forgets us when the binding expires
                outs += self._store_registration(name, None)
            else:
                is_moved = _shown(old, peer.interface) != _shown(policy, peer.interface)
                registration = self._registrations[name]
                hops = [hop for _, hop in self.hops(peer, now) if hop is not None]
                outs += self._follow(
                    name, registration.reconfigure(peer, self.credentials(name), hops, now, is_moved=is_moved), now
                )
        outs += self._settle_bindings(now)
        for peer in policy.peers.values():
            outs += self._set_hops(peer, now)
        return outs + self._start_registrations(now)

    def _settle_bindings(self, now: float) -> list[Out]:
        """PBXs that have registered where we listen no more, or in a way in which they may speak no more, are not
        reached until they register in another one.
        """
        outs: list[Out] = []
        for peer in self.policy.peers.values():
            interface = self.policy.interfaces.get(peer.interface) if peer.registers else None
            if interface is not None:
                listeners = [one for one in interface.listeners if one.transport in peer.transports]
                places = {(listener.transport, listener.address) for listener in listeners}
                is_proved = peer.tls.identity == "certificate"
                settled = self.registrar.settle(peer.name, interface.name, places, is_proved=is_proved)
                outs += self._bound(settled, "the way by which it registered is closed", now)
        return outs

    def _forget(self, name: str) -> list[Out]:
        """This peer is gone. What comes back under its name some day is treated as new."""
        self._where.forget(name)
        return [*self.health.forget(name), *self.health.forget_left(name), *self._closures.forget(name)]

    def hops_changed(self, now: float) -> list[Out]:
        """The DNS has said something new: servers found by name may be elsewhere."""
        return [out for peer in self._where.named for out in self._set_hops(peer, now)]

    def _set_tables(self, policy: Policy) -> None:
        peers = policy.peers.values()
        unlimited = [peer.name for peer in peers if peer.kind == "trunk" and peer.paths is None]
        self.paths.set_rules(policy.path_rules, policy.path_pools, unlimited)
        self._where.set_peers(peers)
        for peer in peers:
            auth = peer.auth if peer.kind == "trunk" else None
            if auth is None or auth.password is None:
                self._credentials.pop(peer.name, None)
            elif peer.name not in self._credentials or self._credentials[peer.name][0] != auth:
                account = Authenticator(auth.username, auth.password.text, self._ids)
                self._credentials[peer.name] = (auth, account)

    def _set_hops(self, peer: Peer, now: float) -> list[Out]:
        if peer.registers:
            self._presence.watch(peer.name, now, is_registered=self.registrar.is_registered(peer.name))
            return []
        found = self.hops(peer, now)
        hops = [hop for _, hop in found if hop is not None]
        outs = self._absorb(self.health.set_hops(peer, hops, now), now)
        if hops and len(hops) == len(found):  # none of its names is still being asked for
            outs += self.health.forget_left(peer.name)
        outs += self._where.found(peer, found, now)
        registration = self._registrations.get(peer.name)
        if registration is not None:
            outs += self._follow(peer.name, registration.set_hops(hops, now), now)
        return outs

    def _start_registrations(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for peer in self.policy.peers.values():
            if peer.register is None or peer.name in self._registrations:
                continue
            if self._has_left and peer.name not in self._left:
                continue
            saved = self._saved.get(peer.name)
            registration = Registration(peer, self.credentials(peer.name), self._ids, saved=saved)
            self._registrations[peer.name] = registration
            hops = [hop for _, hop in self.hops(peer, now) if hop is not None]
            outs += self._follow(peer.name, self._begin(registration, peer, hops, now), now)
        return outs

    def _begin(self, registration: Registration, peer: Peer, hops: list[Hop], now: float) -> Iterable[_Inner]:
        """Where an earlier life was, or anew."""
        left = self._left.pop(peer.name, None)
        if left is not None:
            self._registered[peer.name] = left
            outs = registration.take_over(left, hops, _shown(self.policy, peer.interface), now)
            if outs is not None:
                return outs
        return registration.start(hops, now)

    # --- what calls ask -----------------------------------------------------------------------------------------------

    def hops(self, peer: Peer, now: float) -> Hops:
        """Every address of every server, in the order to be tried. None: the name has not been looked up yet."""
        return self._where.hops(peer, now)

    def why_closed(self, peer: Peer) -> str:
        """Why no new call goes to this peer, whatever its servers say; empty: it may."""
        closed = self._closures.closed.get(peer.name)
        if closed is not None:
            return "busied out" if closed.order == "busyout" else "drill: it is treated as down"
        outage = self._outages.whole(peer.interface) if self._outages else None
        if outage is not None:
            return outage.why
        registration = self._registrations.get(peer.name)
        if registration is not None and registration.is_excluded:
            return f"registration rejected: {registration.view().why}"
        return ""

    def why_unusable(self, peer: Peer) -> str:
        """Of a peer that is open, and none of whose addresses can be dialled: what each of them said."""
        if peer.registers and not self.registrar.is_registered(peer.name):
            return "not registered"
        nowhere = self._where.nowhere(peer.name)
        if nowhere is not None:
            return nowhere[1]
        return "; ".join(f"{server.address}: {server.why}" for server in self.health.servers(peer.name))

    def is_busied_out(self, peer: str) -> bool:
        return self._closures.is_busied_out(peer)

    def credentials(self, peer: str) -> Authenticator | None:
        found = self._credentials.get(peer)
        return None if found is None else found[1]

    # --- what happens -------------------------------------------------------------------------------------------------

    def heard(self, peer: str, flow: Flow, message: Request | Response, now: float) -> list[Out]:
        """Live traffic is proof of life."""
        if isinstance(message, Request):
            outs = self.health.heard(peer, flow, now)
        else:
            wait = retry_after(message) if message.status == 503 else None
            outs = self.health.heard(peer, flow, now, message.status, wait)
        return self._absorb(outs, now) if outs else []

    def call_failed(self, hop: Hop | None, why: str, now: float) -> list[Out]:
        return [] if hop is None else self._absorb(self.health.failed(hop, why, now), now)

    def take_response(
        self, user: tuple[str, str, int], response: Response, request: Request, flow: Flow, now: float, *, genuine: bool
    ) -> list[Out]:
        """A response to a request of ours that belongs to no call. `genuine`: it came from the asked peer."""
        kind, name, _ = user
        if kind == "health":
            return self._absorb(self.health.take_response(user, response, flow, now), now)
        registration = self._registrations.get(name)
        if registration is None:
            return []
        outs = registration.take_response(user, response, request, flow, now, speaks_for_peer=genuine)
        return self._follow(name, outs, now)

    def take_failure(self, user: tuple[str, str, int], why: str, now: float) -> list[Out]:
        kind, name, _ = user
        if kind == "health":
            return self._absorb(self.health.take_failure(user, why, now), now)
        registration = self._registrations.get(name)
        return [] if registration is None else self._follow(name, registration.take_failure(user, why, now), now)

    def flow_failed(self, flow: Flow, now: float) -> list[Out]:
        """A connection is gone, or a datagram came back: bindings and registrations over it may be gone too."""
        outs = self._bound(self.registrar.flow_failed(flow, now), "its connection is gone", now)
        for name, registration in self._registrations.items():
            if registration.goes_by(flow):
                outs += self._follow(name, registration.flow_failed(flow, now), now)
        return outs

    def interface_changed(self, name: str, missing: tuple[str, ...], why: str, now: float) -> list[Out]:
        """Addresses of this interface that our machine has lost, and why, for people; none: all is well.

        Who is reached by it is out of the hunt at once, and back at once. A registrar hears of us when we are back.
        """
        interface = self.policy.interfaces.get(name)
        if interface is None:
            return []
        outs: list[Out] = [*self._outages.changed(interface, missing, why, now)]
        outs += self._absorb(self.health.interface_changed(name, now), now)
        for trunk, registration in self._registrations.items():
            if self.policy.peers[trunk].interface == name and not missing:
                outs += self._follow(trunk, registration.registrar_is_back(now), now)
        return outs

    def flow_closed(self, flow: Flow, now: float) -> list[Out]:
        """A PBX that has registered over this connection is not reached on it any more; a registrar may have gone."""
        outs = self._bound(self.registrar.flow_failed(flow, now), "its connection is gone", now)
        for name, registration in self._registrations.items():
            if registration.goes_by(flow):
                outs += self._follow(name, registration.flow_closed(flow, now), now)
        return outs

    def ponged(self, flow: Flow) -> None:
        """A registrar has answered a keep-alive by this connection."""
        for registration in self._registrations.values():
            registration.ponged(flow)

    # --- who speaks ---------------------------------------------------------------------------------------------------

    def authenticate(
        self, peer: Peer, request: Request, algorithms: tuple[Algorithm, ...], source: str, now: float
    ) -> Accepted | Challenged:
        """Whether the request has the credentials of this peer and no other. `algorithms`: what is offered.
        `source`: the host that it came from.
        """
        auth = peer.auth
        if auth is None:
            raise ValueError(f"{peer.name} has no auth")
        return self._digest.check(request, {auth.username: auth}, algorithms, now, source=source)

    def was_challenged_there(self, request: Request, source: str, now: float) -> bool:
        """Whether its credentials answer a challenge that we sent to this host: then it is where it claims to be."""
        return self._digest.was_sent_to(request, source, now)

    def register(self, peer: Peer, request: Request, flow: Flow, now: float) -> tuple[int, Fields, list[Out]]:
        """An authenticated REGISTER of a PBX."""
        owned = self.policy.owns_for
        status, fields, outs = self.registrar.take(peer, request, flow, lambda number: owned(peer.name, number), now)
        return status, fields, self._bound(outs, "it has unregistered", now)

    # --- the operator's orders ----------------------------------------------------------------------------------------

    def order(self, order: Order, name: str, now: float, *, on: bool) -> list[Out]:
        """The end of a busy-out, also of none, has a registration tried at once that the carrier has rejected."""
        peer = self.policy.peers.get(name)
        if peer is None or peer.kind != KIND_OF_ORDER[order]:
            return []
        outs: list[Out] = [*self._closures.order(order, peer, now, on=on)]
        registration = self._registrations.get(name)
        return outs if on or registration is None else outs + self._follow(name, registration.try_again(now), now)

    def ping(self, peer: str, token: str, now: float) -> list[Out]:
        return self._absorb(self.health.ping(peer, token, now), now)

    def unregister(self, now: float) -> list[Out]:
        """Only after a completed drain: then nobody shall send us calls any more, whatever a reload brings."""
        self._has_left = True
        return [
            out for name, one in self._registrations.items() for out in self._follow(name, one.unregister(now), now)
        ]

    def stay_away(self) -> None:
        """An earlier life had begun to leave: only carriers where it is still bound are spoken to, to leave them."""
        self._has_left = True

    def register_again(self, now: float) -> list[Out]:
        """The drain was taken back: with the carriers that we had left."""
        self._has_left = False
        outs: list[Out] = []
        for name, one in self._registrations.items():
            if one.view().state == "unregistered":
                hops = [hop for _, hop in self.hops(self.policy.peers[name], now) if hop is not None]
                outs += self._follow(name, one.start(hops, now), now)
        return outs + self._start_registrations(now)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        outs = self._absorb(self.health.tick(now), now)
        outs += self._bound(self.registrar.tick(now), "its binding has expired", now)
        for name in self._due.pop_due(now, limits.PEERS_DUE_AT_ONCE):
            outs += self._follow(name, self._registrations[name].tick(now), now)
        return [*outs, *self.quotas.tick(now), *self.paths.today.tick(now)]

    def next_deadline(self) -> float | None:
        deadlines = (
            self.health.next_deadline(),
            self.registrar.next_deadline(),
            self._due.next(),
            self.quotas.next_deadline(),
            self.paths.today.next_deadline(),
        )
        return min((at for at in deadlines if at is not None), default=None)

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def views(self) -> tuple[PeerView, ...]:
        return tuple(self._view(peer) for peer in self.policy.peers.values())

    def _view(self, peer: Peer) -> PeerView:
        registration = self._registrations.get(peer.name)
        seen = None if registration is None else registration.view()
        state, since, why = self._state(peer)
        return PeerView(
            peer.name,
            peer.kind,
            state,
            since,
            why,
            self.health.servers(peer.name),
            seen,
            self.registrar.views(peer.name) if peer.registers else (),
        )

    def _state(self, peer: Peer) -> tuple[PeerState, float, str]:
        closed = self._closures.closed.get(peer.name)
        if closed is not None:
            return closed.order, closed.since, "by the operator"
        registration = self._registrations.get(peer.name)
        if registration is not None and registration.is_excluded:
            seen = registration.view()
            return "excluded", seen.since, f"registration rejected: {seen.why}"
        outage = self._outages.whole(peer.interface)
        if outage is not None:
            return "down", outage.since, outage.why
        opened = max(self._closures.opened_at(peer.name), 0.0 if registration is None else registration.admitted_at)
        if peer.registers:
            since, why = self._presence.since(peer.name), self._presence.why(peer.name)
            is_there = self.registrar.is_registered(peer.name)
            return ("up", max(since, opened), why) if is_there else ("down", since, why)
        nowhere = self._where.nowhere(peer.name)
        if nowhere is not None:
            return "down", *nowhere
        since, servers = self.health.since(peer.name), self.health.servers(peer.name)
        if self.health.is_peer_usable(peer.name):
            return "up", max(since, opened), "" if servers else "no server address is known yet"
        return "down", since, self.why_unusable(peer)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _absorb(self, outs: Iterable[_Inner], now: float) -> list[Out]:
        """What one machine says to the others stays in here."""
        passed: list[Out] = []
        for out in outs:
            if isinstance(out, RegistrarFailed):
                passed += self._absorb(self.health.failed(out.hop, out.why, now), now)
            elif isinstance(out, PeerChanged):
                passed += self._peer_changed(out, now)
            else:
                passed.append(out)
        return passed

    def _peer_changed(self, change: PeerChanged, now: float) -> list[Out]:
        """A registrar that is back may have forgotten us."""
        registration = self._registrations.get(change.peer)
        if registration is None or not change.usable:
            return []
        return self._follow(change.peer, registration.registrar_is_back(now), now)

    def _bound(self, outs: Iterable[_Inner], why_gone: str, now: float) -> list[Out]:
        """What the registrar has said. A PBX may have come or gone by it."""
        passed = self._absorb(outs, now)
        for pbx in dict.fromkeys(out.key.split("/")[1] for out in passed if isinstance(out, StoreState)):
            is_registered = self.registrar.is_registered(pbx)
            passed += self._presence.weigh(pbx, why_gone, now, is_registered=is_registered)
        return passed

    def _follow(self, name: str, outs: Iterable[_Inner], now: float) -> list[Out]:
        """What the registration of this trunk has said, and when it wants to be asked next."""
        registration = self._registrations[name]
        self._due.set(name, registration.next_deadline())
        passed = self._absorb(outs, now)
        saved = registration.saved(_shown(self.policy, self.policy.peers[name].interface))
        if saved is not None or registration.view().state == "unregistered":
            passed += self._store_registration(name, saved)
        for out in passed:
            if isinstance(out, StoreState) and out.key == f"register/{name}" and out.value is not None:
                self._saved[name] = out.value  # a reload may take this trunk away, and another bring it back
        return passed

    def _store_registration(self, name: str, saved: SavedRegistration | None) -> list[StoreState]:
        if saved == self._registered.get(name):
            return []
        key = f"{register_saved.KEPT}/{name}"
        if saved is None:
            del self._registered[name]
            return [StoreState(key, None)]
        self._registered[name] = saved
        return [StoreState(key, register_saved.encode(saved))]


def _shown(policy: Policy, interface: str) -> str | None:
    """What a Contact of ours names there instead of a listener."""
    known = policy.interfaces.get(interface)
    return None if known is None else known.sip_advertise
