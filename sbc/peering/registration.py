"""One trunk's registration with its carrier (RFC 3261 §10.2, RFC 6140; waiting times after RFC 5626 §4.5).

Refreshes for ever, tells failures that pass from those that stay, keeps a NAT open. A round of REGISTERs is
`register_round`'s, their text `register_message`'s. It knows no socket, no DNS and no other trunk. Used by `relations`.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.core.address import Flow
from sbc.core.commands import Log, StoreState
from sbc.core.ids import IdSource
from sbc.core.timers import TimerTable
from sbc.peering.hop import Hop
from sbc.peering.register_round import Accepted, NobodyTookUs, RegistrarFailed, Round
from sbc.peering.register_round import Out as RoundOut
from sbc.peering.register_saved import SavedRegistration
from sbc.peering.views import RegistrationState, RegistrationView
from sbc.policy.model import Peer, Register
from sbc.sip.auth.client import Authenticator
from sbc.sip.commands import CloseFlow, KeepAlive, SendRequest
from sbc.sip.message import Request, Response

SOON: Final = 5.0  # seconds: the first retry, and the least time between REGISTERs that news of a registrar asks for
BASE_WAIT: Final = 30.0  # seconds; RFC 5626 §4.5, "base-time (if all failed)"
LONGEST_WAIT: Final = 600.0  # seconds; the RFC has 1800, too long for a business without calls
REJECTED_WAIT: Final = 600.0  # seconds
PONG_SECONDS: Final = 10.0  # "If a pong is not received within 10 seconds after sending a ping", RFC 5626 §4.4.1
SPREAD: Final = 2.0  # seconds, over which those who have to register at once after a restart do so
STABLE: Final = 60.0  # seconds that a registrar's connection lasts where it means to keep them

Out = SendRequest | Log | StoreState | KeepAlive | CloseFlow | RegistrarFailed

__all__ = ["Out", "RegistrarFailed", "Registration"]


class _Timer(enum.StrEnum):
    """In the order in which they fire at one instant: a refresh comes before the end of what it refreshes."""

    REGISTER = "register"  # the next refresh or retry
    KEEPALIVE = "keepalive"
    PONG = "pong"  # that is awaited
    EXPIRY = "expiry"  # of the binding


class _Binding(Struct, frozen=True):
    hop: Hop
    expires_at: float


class Registration:
    """`saved`: what `StoreState` kept under `register/<trunk>`. Raises ValueError for a peer without `register`."""

    def __init__(
        self, peer: Peer, authenticator: Authenticator | None, ids: IdSource, *, saved: bytes | None = None
    ) -> None:
        self._peer, self._register, self._authenticator = peer, _register_of(peer), authenticator
        self._round = Round(peer, self._register, authenticator, ids, saved)
        self._ids = ids
        self._hops: tuple[Hop, ...] = ()
        self._failures = 0  # rounds in a row
        self._trouble = ""  # why the last round failed, while none has succeeded since
        self._is_doubted = False  # a refresh was refused, which may have been a slip
        self._closes = 0  # connections in a row that the registrar closed soon after a REGISTER
        self._binding: _Binding | None = None
        self._answering: Flow | None = None  # the connection on which the registrar has answered a keep-alive
        self._timers: TimerTable[_Timer] = TimerTable()
        self._state: RegistrationState = "unregistered"
        self._since = 0.0
        self._admitted_at = 0.0
        self._why = "not started"

    # --- what is known ------------------------------------------------------------------------------------------------

    @property
    def contact_user(self) -> str:
        """Of the Contact that calls from the carrier name; empty with gin, where it is the DID."""
        return "" if self._register.gin else self._register.user

    @property
    def is_excluded(self) -> bool:
        """Refused for good, as it seems: no calls shall go out here."""
        return self._state == "rejected"

    @property
    def admitted_at(self) -> float:
        """When the last exclusion was lifted; 0: there was none."""
        return self._admitted_at

    @property
    def is_settled(self) -> bool:
        """Nothing is on its way: after `unregister`, the carrier has answered or will not."""
        return not self._round.is_running

    def view(self) -> RegistrationView:
        register, binding = self._register, self._binding
        return RegistrationView(
            self._state,
            register.aor,
            self._since,
            self._why,
            None if binding is None else binding.expires_at,
            self._timers.at(_Timer.REGISTER),
            "" if binding is None else str(binding.hop),
        )

    # --- across restarts ----------------------------------------------------------------------------------------------

    def saved(self, shown: str | None) -> SavedRegistration | None:
        """To be stored when it is another than before. None: nothing is known, or a round is under way, and what was
        saved before it still holds.
        """
        next_at = self._timers.at(_Timer.REGISTER)
        if self._round.is_running or next_at is None or self._state in ("unregistered", "registering"):
            return None
        binding = self._binding
        return SavedRegistration(
            self._register,
            self._peer.interface,
            shown,
            self._state,
            self._since,
            self._why,
            next_at,
            None if binding is None else binding.hop.flow,
            0.0 if binding is None else binding.expires_at,
            self._failures,
            self._is_doubted,
            self._trouble,
        )

    def take_over(
        self, saved: SavedRegistration, hops: Sequence[Hop], shown: str | None, now: float
    ) -> list[Out] | None:
        """Go on from what an earlier life has saved, instead of `start`; None: that cannot be.

        A binding is kept where it is still good. A connection of that life is gone: by a new one we register soon, as
        the carrier may call us by nothing else.
        """
        servers = self._peer.servers
        if not saved.is_for(self._register, self._peer.interface, shown) or not servers:
            return None
        flow = saved.flow
        if saved.state not in ("registered", "rejected", "failing"):
            return None
        if (saved.state == "registered") != (flow is not None) or (flow is not None and saved.expires_at <= now):
            return None
        if hops and flow is not None and flow not in [hop.flow for hop in hops]:
            return None
        self._hops = tuple(hops)
        self._failures, self._is_doubted, self._trouble = saved.failures, saved.is_doubted, saved.trouble
        self._state, self._since, self._why = saved.state, min(saved.since, now), saved.why
        soon = now + SPREAD * self._draw()
        is_cut_off = flow is not None and flow.transport.is_reliable
        self._timers.set(_Timer.REGISTER, soon if is_cut_off or saved.next_at <= soon else saved.next_at)
        if saved.state == "rejected":
            return [Log("error", "registration.rejected", self._alarm())]
        if flow is None:
            return [Log("error", "registration.failing", self._alarm())]
        known = [hop for hop in hops if hop.flow == flow]
        self._binding = _Binding(known[0] if known else Hop(self._peer.name, servers[0], flow), saved.expires_at)
        self._timers.set(_Timer.EXPIRY, saved.expires_at)
        self._set_keep_alive(now)
        left = round(saved.expires_at - now)
        fields = (("trunk", self._peer.name), ("registrar", str(self._binding.hop)), ("expires", left))
        return [Log("info", "registration.kept", fields)]

    # --- what happens -------------------------------------------------------------------------------------------------

    def start(self, hops: Sequence[Hop], now: float) -> list[Out]:
        """Register, and stay so. Without hops (the DNS has not answered yet) as soon as there are some."""
        self._hops = tuple(hops)
        self._round.stop()  # where we were about to leave
        self._become("registering", "not answered yet", now)
        if not hops:
            self._timers.set(_Timer.REGISTER, now + SOON)
            return []
        return self._begin_round(now)

    def set_hops(self, hops: Sequence[Hop], now: float) -> list[Out]:
        """After news of the DNS. A registrar that is not at its address any more is registered with anew, at once."""
        after, before = {hop.flow for hop in hops}, {hop.flow for hop in self._hops}
        if not hops:
            return []  # an address that the DNS does not know any more is better than none
        self._hops = tuple(hops)
        if after == before or self._is_over:
            return []
        self._round.keep_only(after)
        if self._round.is_running:
            return []
        stays = self._state == "rejected" or (self._binding is not None and self._binding.hop.flow in after)
        is_due = not self._timers.is_set(_Timer.REGISTER)  # a round was cut short
        return self._begin_round(now) if is_due or not stays else []

    def reconfigure(
        self,
        peer: Peer,
        authenticator: Authenticator | None,
        hops: Sequence[Hop],
        now: float,
        *,
        is_moved: bool = False,
    ) -> list[Out]:
        """A reload. Call-ID and CSeq go on; what is registered differently now is registered at once. `is_moved`: we
        are reached elsewhere, so that our Contact is another. `hops`: as in `start`.
        """
        old = (self._register, self._peer.interface, self._authenticator)
        self._peer, self._register, self._authenticator = peer, _register_of(peer), authenticator
        self._round.configure(peer, self._register, authenticator)
        if self._is_over or (not is_moved and (self._register, peer.interface, authenticator) == old):
            return []
        self._round.stop()
        self._failures, self._is_doubted, self._binding, self._trouble = 0, False, None, ""
        self._timers.clear()
        self._become("registering", "the policy has changed", now)
        if hops or peer.interface != old[1]:
            self._hops = tuple(hops)  # by an interface that is not the carrier's any more nobody is reached
        if not self._hops:
            self._timers.set(_Timer.REGISTER, now + SOON)
            return []
        return self._begin_round(now)

    def take_response(
        self, user: object, response: Response, request: Request, flow: Flow, now: float, *, speaks_for_peer: bool
    ) -> list[Out]:
        """`request` and `flow`: the REGISTER as it went out, with its Contact, and where to."""
        n = _number_of(user)
        return self._follow(
            self._round.take_response(n, response, request, flow, now, speaks_for_peer=speaks_for_peer), now
        )

    def take_failure(self, user: object, why: str, now: float) -> list[Out]:
        """No answer (`timeout`), or the transport failed."""
        return self._follow(self._round.take_failure(_number_of(user), why, now), now)

    def registrar_is_back(self, now: float) -> list[Out]:
        """Health saw the servers come back: they may have forgotten us."""
        return [] if self._state == "rejected" else self._hurry(now)

    def try_again(self, now: float) -> list[Out]:
        """By the operator's order, who has corrected at the carrier what it refused us for."""
        return self._begin_round(now) if self._state == "rejected" and not self._round.is_running else []

    def flow_failed(self, flow: Flow, now: float) -> list[Out]:
        """Octets could not be delivered (RFC 5626 §4.5): a keep-alive may be the first to see a registrar go.

        Only while all is well: the REGISTER that follows says more, and its failure waits as any other.
        """
        if self._failures or not self.goes_by(flow):
            return []
        self._forget_pongs()
        return self._hurry(now)

    def flow_closed(self, flow: Flow, now: float) -> list[Out]:
        """The registrar has ended its connection in order: it has gone, or it keeps none.

        Who closes every time soon after a REGISTER is asked less and less often for that reason, at last by the refresh
        alone.
        """
        if self._failures or not self.goes_by(flow):
            return []
        self._forget_pongs()
        self._closes = self._closes + 1 if now - self._round.sent_at < STABLE else 0
        return self._hurry(now, SOON * 2.0 ** min(max(self._closes - 1, 0), 10))

    def ponged(self, flow: Flow) -> None:
        """A keep-alive was answered by this connection. Who does so once does so always: its silence means that it is
        gone, though nobody has said so (RFC 5626 §4.4.1).
        """
        if self.goes_by(flow):
            self._answering = flow
            self._timers.stop(_Timer.PONG)

    def goes_by(self, flow: Flow) -> bool:
        """Whether our binding is with the registrar at the end of this flow."""
        if self._binding is None:
            return False
        ours = self._binding.hop.flow
        return (flow.remote, flow.transport, flow.interface) == (ours.remote, ours.transport, ours.interface)

    def unregister(self, now: float) -> list[Out]:
        """Take our binding away; only after a completed drain. `start` registers again."""
        binding = self._binding
        if self._is_over:
            return []
        self._round.stop()
        self._timers.clear()
        self._binding = None
        self._become("unregistered", "by order", now)
        return [] if binding is None else self._follow(self._round.remove(binding.hop, now), now)

    def tick(self, now: float) -> list[Out]:
        outs = self._follow(self._round.tick(now), now)
        due = frozenset(self._timers.pop_due(now))
        if _Timer.REGISTER in due:
            outs += self._begin_round(now)
        if _Timer.KEEPALIVE in due:
            outs += self._keep_alive(now)
        if _Timer.PONG in due:
            outs += self._unanswered(now)
        if _Timer.EXPIRY in due:
            outs += self._expired(now)
        return outs

    def next_deadline(self) -> float | None:
        deadlines = [at for at in (self._timers.next(), self._round.next_deadline()) if at is not None]
        return min(deadlines, default=None)

    # --- what comes of a round ----------------------------------------------------------------------------------------

    def _begin_round(self, now: float) -> list[Out]:
        """ "Registration refreshes SHOULD be sent to the same network address as the original", RFC 3261 §10.2.4;
        then the others in their order."""
        self._timers.stop(_Timer.REGISTER)
        current = None if self._binding is None else self._binding.hop.flow
        if not self._hops:
            return self._nobody(NobodyTookUs("no address of the registrar is known"), now)
        return self._follow(self._round.begin(sorted(self._hops, key=lambda hop: hop.flow != current), now), now)

    def _follow(self, outs: Iterable[RoundOut], now: float) -> list[Out]:
        passed: list[Out] = []
        for out in outs:
            match out:
                case Accepted():
                    passed += self._accepted(out, now)
                case NobodyTookUs():
                    passed += self._nobody(out, now)
                case _:
                    passed.append(out)
        return passed

    def _accepted(self, accepted: Accepted, now: float) -> list[Out]:
        hop, seconds = accepted.hop, accepted.seconds
        if self._is_over:
            return [Log("info", "registration.unregistered", (("trunk", self._peer.name),))]
        is_new = self._binding is None or self._binding.hop.flow != hop.flow
        self._failures, self._is_doubted, self._trouble = 0, False, ""
        self._binding = _Binding(hop, now + seconds)
        self._timers.set(_Timer.REGISTER, now + self._refresh_after(seconds))
        self._timers.set(_Timer.EXPIRY, now + seconds)
        if is_new:
            self._forget_pongs()
            self._set_keep_alive(now)
        self._become("registered", f"for {seconds} s", now)
        if not is_new:
            return []
        fields = (("trunk", self._peer.name), ("registrar", str(hop)), ("expires", seconds))
        return [Log("info", "registration.registered", fields)]

    def _nobody(self, failed: NobodyTookUs, now: float) -> list[Out]:
        if self._is_over:
            return [Log("warning", "registration.not_removed", (("trunk", self._peer.name), ("why", failed.why)))]
        self._trouble = failed.refusal or failed.why
        if failed.refusal:
            return self._refused(failed.refusal, now)
        if self._state == "rejected":  # nothing has been heard that would lift it
            self._timers.set(_Timer.REGISTER, now + REJECTED_WAIT)
            return []
        self._failures += 1
        self._timers.set(_Timer.REGISTER, self._retry_at(now))
        if self._binding is not None:
            return self._not_refreshed(failed.why) if self._failures == 1 else []
        return self._failing(failed.why, now)

    def _refused(self, why: str, now: float) -> list[Out]:
        if self._binding is not None and not self._is_doubted:
            # Interop: carriers send a 403 now and then that the next REGISTER does not get. While the binding is good
            # there is time to ask once more before calls are kept away.
            self._is_doubted = True
            self._timers.set(_Timer.REGISTER, now + SOON)
            return self._not_refreshed(why)
        is_new = self._state != "rejected"
        self._binding = None
        self._timers.clear()
        self._timers.set(_Timer.REGISTER, now + REJECTED_WAIT)
        self._become("rejected", why, now)
        return [Log("error", "registration.rejected", self._alarm())] if is_new else []

    def _expired(self, now: float) -> list[Out]:
        self._binding = None
        self._timers.stop(_Timer.KEEPALIVE)
        why = f"{self._trouble}; the binding has expired" if self._trouble else "no answer to the refresh in time"
        return self._failing(why, now)

    def _failing(self, why: str, now: float) -> list[Out]:
        is_new = self._state != "failing"
        self._become("failing", why, now)
        return [Log("error", "registration.failing", self._alarm())] if is_new else []

    def _not_refreshed(self, why: str) -> list[Out]:
        """Still registered, for now."""
        self._why = f"not refreshed: {why}"
        return [Log("warning", "registration.not_refreshed", (("trunk", self._peer.name), ("why", why)))]

    def _alarm(self) -> tuple[tuple[str, object], ...]:
        return ("alarm", True), ("trunk", self._peer.name), ("why", self._why)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _refresh_after(self, seconds: int) -> float:
        """80 to 90 % of what was granted, but 5 s before its end if that is earlier, and never before half of it."""
        share = 0.8 + 0.1 * self._draw()
        return max(min(seconds * share, seconds - SOON), seconds / 2)

    def _retry_at(self, now: float) -> float:
        """RFC 5626 §4.5 but for the first retry: "a uniform random time between 50 and 100% of the upper-bound"."""
        wait = SOON
        if self._failures > 1:
            bound = min(LONGEST_WAIT, BASE_WAIT * 2.0 ** min(self._failures - 2, 10))
            wait = bound * (0.5 + 0.5 * self._draw())
        return max(now + wait, self._round.opens_at(self._hops, now))

    def _hurry(self, now: float, wait: float = SOON) -> list[Out]:
        """The next REGISTER at once; news that comes thick and fast makes one every few seconds."""
        if self._is_over or self._round.is_running:
            return []
        earliest = self._round.sent_at + wait
        if earliest <= now:
            return self._begin_round(now)
        at = self._timers.at(_Timer.REGISTER)
        self._timers.set(_Timer.REGISTER, earliest if at is None else min(at, earliest))
        return []

    def _keep_alive(self, now: float) -> list[Out]:
        if self._binding is None:
            return []
        self._set_keep_alive(now)
        # Deviation: RFC 5626 §4.4.1 has this "ping" on connections only, and always awaits a pong. Registrars without
        # RFC 5626 ignore it, over UDP too, and a NAT needs no more than that something passes: a pong is awaited of
        # those alone that have sent one by this connection.
        if self._answering is not None and not self._timers.is_set(_Timer.PONG):
            self._timers.set(_Timer.PONG, now + PONG_SECONDS)
        return [KeepAlive(self._binding.hop.flow, ("register", self._peer.name, 0))]

    def _forget_pongs(self) -> None:
        """Another connection's registrar has yet to show that it answers."""
        self._answering = None
        self._timers.stop(_Timer.PONG)

    def _unanswered(self, now: float) -> list[Out]:
        """ "the client MUST treat the flow as failed", §4.4.1: the next REGISTER goes by a new connection."""
        flow, self._answering = self._answering, None
        if flow is None or self._binding is None:
            return []
        fields = (("trunk", self._peer.name), ("registrar", str(self._binding.hop)))
        return [CloseFlow(flow), Log("warning", "registration.no_pong", fields), *self._hurry(now)]

    def _set_keep_alive(self, now: float) -> None:
        """ "a random number between … an upper bound and a lower bound, where the lower bound is 20% less", §4.4.1."""
        if self._register.keepalive > 0:
            self._timers.set(_Timer.KEEPALIVE, now + self._register.keepalive * (0.8 + 0.2 * self._draw()))

    # --- inside -------------------------------------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return self._state == "unregistered"

    def _draw(self) -> float:
        return self._ids.number(1_000) / 1_000

    def _become(self, state: RegistrationState, why: str, now: float) -> None:
        if state != self._state:
            self._since = now
            if self._state == "rejected":
                self._admitted_at = now
        self._state, self._why = state, why


def _register_of(peer: Peer) -> Register:
    """Without its place in the file, which a reload may change and nobody at the carrier cares for."""
    if peer.register is None:
        raise ValueError(f"{peer.name} does not register")
    return replace(peer.register, where=None)


def _number_of(user: object) -> int:
    return user[2] if isinstance(user, tuple) and len(user) == 3 and isinstance(user[2], int) else 0
