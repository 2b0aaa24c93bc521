"""One round of registering: each registrar of a trunk is asked once, in order, until one takes our Contact.

RFC 3261 §10.2.7, §10.2.8, §22.2. A registrar that is silent for `no_reply` while another is left is not waited for:
the next one is asked too, and whoever accepts first has us. It ends with `Accepted` or `NobodyTookUs`; what follows
from that, and when the next round is, decides `registration`, its only user.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from sbc.core.address import Flow
from sbc.core.commands import StoreState
from sbc.core.ids import IdSource
from sbc.peering.hop import Hop
from sbc.peering.numbering import Numbering
from sbc.peering.register_message import (
    demanded,
    described,
    granted,
    is_permanent,
    register_request,
    retry_after,
    with_cseq,
)
from sbc.policy.model import Peer, Register
from sbc.sip.auth.client import Authenticator
from sbc.sip.commands import SendRequest
from sbc.sip.message import Request, Response

# Seconds. Timer F says much earlier that nothing came (§17.1.2.2); a trunk must not hang on that word alone.
_LONGEST_ATTEMPT: Final = 60.0


class RegistrarFailed(Struct, frozen=True):
    """A registrar did not answer, or its transport failed: a fact for health."""

    hop: Hop
    why: str


class Accepted(Struct, frozen=True):
    """This registrar holds our binding for so many seconds; 0: it has taken it away."""

    hop: Hop
    seconds: int


class NobodyTookUs(Struct, frozen=True):
    """Every registrar was asked. `refusal`: what one said that means it, and will say again; else empty."""

    why: str
    refusal: str = ""


Out = SendRequest | StoreState | RegistrarFailed | Accepted | NobodyTookUs


class _Attempt(Struct, frozen=True):
    """One REGISTER on its way. `tries`: how often credentials were sent for it; `is_raised`: after a 423."""

    hop: Hop
    request: Request
    expires: int
    sent_at: float
    tries: int = 0
    is_raised: bool = False


class Round:
    """`register`: that of the peer. `authenticator` None: no credentials are configured."""

    def __init__(
        self, peer: Peer, register: Register, authenticator: Authenticator | None, ids: IdSource, saved: bytes | None
    ) -> None:
        self._numbering = Numbering(peer.name, ids, saved)
        self._tag = ids.tag()
        self._attempts: dict[int, _Attempt] = {}
        # Number of the last attempt. An answer that an earlier registration of this trunk has asked for is not ours.
        self._newest = self._numbering.promised
        self._left: list[Hop] = []
        self._not_before: dict[Flow, float] = {}  # what a registrar's Retry-After asks for
        self._overdue_at: float | None = None
        self._why = ""
        self._refusal = ""
        self.sent_at = float("-inf")
        self._peer, self._register, self._authenticator = peer, register, authenticator
        self._expires = round(register.expires)

    def configure(self, peer: Peer, register: Register, authenticator: Authenticator | None) -> None:
        """`register`: that of the peer."""
        if self._register != register:
            self._expires = round(register.expires)
            self._not_before.clear()
        self._peer, self._register, self._authenticator = peer, register, authenticator

    @property
    def is_running(self) -> bool:
        return bool(self._attempts)

    def opens_at(self, hops: Iterable[Hop], now: float) -> float:
        """When the first of these registrars may be asked, by what they said themselves."""
        return min((self._not_before.get(hop.flow, now) for hop in hops), default=now)

    # --- what it is told ----------------------------------------------------------------------------------------------

    def begin(self, hops: Iterable[Hop], now: float) -> list[Out]:
        busy = {attempt.hop.flow for attempt in self._attempts.values()}
        # "UAs MUST NOT send a new registration … until they have received a final response from the registrar for the
        # previous one or the previous REGISTER request has timed out", §10.2
        self._left = [hop for hop in hops if hop.flow not in busy and self._not_before.get(hop.flow, now) <= now]
        self._refusal = ""
        return self._try_next(now)

    def remove(self, hop: Hop, now: float) -> list[Out]:
        """Take our binding away from this registrar (§10.2.2); what else is on its way counts no more."""
        self.stop()
        return self._ask(hop, 0, now)

    def stop(self) -> None:
        self._attempts.clear()
        self._left.clear()
        self._overdue_at = None

    def keep_only(self, flows: Iterable[Flow]) -> None:
        """Forget the registrars at other addresses."""
        kept = frozenset(flows)
        self._attempts = {n: attempt for n, attempt in self._attempts.items() if attempt.hop.flow in kept}
        self._not_before = {flow: at for flow, at in self._not_before.items() if flow in kept}
        self._left = [hop for hop in self._left if hop.flow in kept]
        if self._newest not in self._attempts:
            self._overdue_at = None

    def take_response(
        self, n: int, response: Response, sent: Request, flow: Flow, now: float, *, speaks_for_peer: bool
    ) -> list[Out]:
        """`sent` and `flow`: the REGISTER as it went out, with its Contact, and where to."""
        attempt = self._attempts.get(n)
        if attempt is None or response.status < 200:
            return []
        del self._attempts[n]
        status = response.status
        if status < 300:
            seconds = granted(response, sent, attempt.expires) if attempt.expires else 0
            return self._accepted(attempt, seconds) if isinstance(seconds, int) else self._next_after(n, seconds, now)
        if status in (401, 407):
            return self._challenged(n, attempt, response, flow, now, speaks_for_peer=speaks_for_peer)
        if status == 423 and not attempt.is_raised and attempt.expires:
            seconds_asked = demanded(response)
            if seconds_asked is not None and seconds_asked > attempt.expires:
                self._expires = seconds_asked
                # From the beginning, without credentials: the nonce that was answered is used up.
                return self._ask(attempt.hop, seconds_asked, now, is_raised=True)
        if is_permanent(status):
            return self._refused(n, described(response), now)
        if wait := retry_after(response):
            self._not_before[attempt.hop.flow] = now + wait
        return self._next_after(n, described(response), now)

    def take_failure(self, n: int, why: str, now: float) -> list[Out]:
        attempt = self._attempts.pop(n, None)
        if attempt is None:
            return []
        # An older one was said to have failed when the next registrar was asked.
        outs: list[Out] = [RegistrarFailed(attempt.hop, f"REGISTER: {why}")] if n == self._newest else []
        return outs + self._next_after(n, f"{attempt.hop}: {why}", now)

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for n in [n for n, attempt in self._attempts.items() if now >= attempt.sent_at + _LONGEST_ATTEMPT]:
            outs += self.take_failure(n, "timeout", now)
        if self._overdue_at is None or now < self._overdue_at:
            return outs
        late = self._attempts.get(self._newest)
        if late is not None:
            outs.append(RegistrarFailed(late.hop, "REGISTER: no reply"))
        return outs + self._try_next(now)

    def next_deadline(self) -> float | None:
        deadlines = [attempt.sent_at + _LONGEST_ATTEMPT for attempt in self._attempts.values()]
        if self._overdue_at is not None:
            deadlines.append(self._overdue_at)
        return min(deadlines, default=None)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _accepted(self, attempt: _Attempt, seconds: int) -> list[Out]:
        self.stop()  # answers of slower registrars change nothing any more
        self._not_before.clear()
        return [Accepted(attempt.hop, seconds)]

    def _challenged(
        self, n: int, attempt: _Attempt, response: Response, flow: Flow, now: float, *, speaks_for_peer: bool
    ) -> list[Out]:
        if not speaks_for_peer:
            return self._next_after(n, f"{response.status} from an address that is not the carrier's", now)
        if self._authenticator is None:
            return self._refused(n, f"{described(response)}: no credentials are configured", now)
        answer = self._authenticator.answer(response, attempt.request, attempt.tries)
        if answer is None:
            why = "the credentials were refused" if attempt.tries else "its challenge cannot be answered"
            return self._refused(n, f"{described(response)}: {why}", now)
        _, cseq, outs = self._numbering.next()
        again = _Attempt(
            attempt.hop, with_cseq(answer, cseq), attempt.expires, now, attempt.tries + 1, attempt.is_raised
        )
        return [*outs, self._send(again, flow)]  # to the very server that made the nonce

    def _refused(self, n: int, why: str, now: float) -> list[Out]:
        self._refusal = why
        return self._next_after(n, why, now)

    def _next_after(self, n: int, why: str, now: float) -> list[Out]:
        """That registrar did not take us: the next one, unless that has been asked already."""
        self._why = why
        return self._try_next(now) if n == self._newest or not self._attempts else []

    def _try_next(self, now: float) -> list[Out]:
        self._overdue_at = None
        if self._left:
            outs = self._ask(self._left.pop(0), self._expires, now)
            self._overdue_at = now + self._peer.no_reply if self._left else None
            return outs
        return [] if self._attempts else [NobodyTookUs(self._why, self._refusal)]

    def _ask(self, hop: Hop, expires: int, now: float, *, is_raised: bool = False) -> list[Out]:
        call_id, cseq, outs = self._numbering.next()
        request = register_request(self._register, call_id, cseq, self._tag, expires)
        return [*outs, self._send(_Attempt(hop, request, expires, now, is_raised=is_raised), hop.flow)]

    def _send(self, attempt: _Attempt, flow: Flow) -> SendRequest:
        self._newest += 1
        self._attempts[self._newest] = attempt
        self.sent_at = attempt.sent_at
        gin = self._register.gin
        return SendRequest(
            ("register", self._peer.name, self._newest),
            attempt.request,
            self._peer.interface,
            attempt.hop.uri,
            # "it MUST include a Contact URI that contains the URI parameter "bnc" … and has no user portion", RFC 6140
            # §5.1
            contact="" if gin else self._register.user,
            flow=flow,
            contact_params="bnc" if gin else "",
        )
