"""One request and its one answer, across: MESSAGE (RFC 3428), PUBLISH (RFC 3903), OPTIONS, NOTIFY of messages waiting
that nobody subscribed to (RFC 3842 as many carriers and PBXs practise it).

A machine: it asks by an `Errand`, answers 100 when the other side is slow (RFC 4320 §4.1), and is over with its answer.
It makes no dialog. Used by `beside`.
"""

from typing import Final

from msgspec.structs import replace

from sbc.b2bua.beside.asked import Asked, prepared
from sbc.b2bua.beside.carried import answer_of, content_of, crossing_event, own_fields
from sbc.b2bua.beside.errand import Answered, Errand, Out, Prepared, Unanswered, trying_after
from sbc.b2bua.beside.names import Names
from sbc.b2bua.beside.publications import Publication, Publications
from sbc.b2bua.context import Context
from sbc.b2bua.hunt import Attempt
from sbc.core import limits
from sbc.core.commands import Log
from sbc.policy.model import Decision, Peer
from sbc.sip.commands import Respond
from sbc.sip.message import Fields, Response
from sbc.sip.transaction.outputs import ResponseReceived, TransactionFailed

DEFAULT_PUBLICATION_SECONDS: Final = 3_600  # where the server does not say how long it keeps what was published


class Exchange:
    """`refreshed`: the publication that a PUBLISH names by our entity-tag `tag`."""

    def __init__(
        self,
        asked: Asked,
        names: Names,
        context: Context,
        publications: Publications,
        now: float,
        *,
        tag: str = "",
        refreshed: Publication | None = None,
    ) -> None:
        self.is_over = False
        self.names = names
        self.asked_by = asked.peer.name
        self.status = 0
        self._asked = asked
        self._context = context
        self._publications = publications
        self._tag = tag
        self._refreshed = refreshed
        first = () if refreshed is None else _same_server(refreshed.attempt, asked.decision)
        self._errand = Errand(
            asked.peer,
            asked.decision,
            self._prepare,
            names.next_user,
            context,
            first=first,
            is_sips=asked.parties.is_sips,
        )
        self._try_at: float | None = now + trying_after(context.timing)

    def asked(self, n: int) -> Peer | None:
        """Whom this request of ours went to."""
        return self._errand.peer if n == self._errand.n else None

    def start(self, now: float) -> list[Out]:
        return self._settle(self._errand.start(now), now)

    def take_response(self, n: int, out: ResponseReceived, now: float, *, genuine: bool) -> list[Out]:
        return self._settle(self._errand.take_response(n, out, now, genuine=genuine), now)

    def take_failure(self, n: int, failure: TransactionFailed, now: float) -> list[Out]:
        return self._settle(self._errand.take_failure(n, failure, now), now)

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        if self._try_at is not None and now >= self._try_at:
            self._try_at = None
            outs.append(Respond(self._asked.received.key, 100))
        return [*outs, *self._settle(self._errand.tick(now), now)]

    def next_deadline(self) -> float | None:
        deadlines = (self._try_at, self._errand.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _prepare(self, attempt: Attempt) -> Prepared:
        asked, context = self._asked, self._context
        request, to = asked.request, attempt.target.peer
        fields: list[tuple[str, str]] = []
        if asked.event is not None:
            fields.append(("Event", str(crossing_event(asked.event))))
        if self._refreshed is not None:
            fields.append(("SIP-If-Match", self._refreshed.tag))
        more, body = content_of(request, asked.peer, to, context)
        fields += [*own_fields(request), *more]
        return prepared(asked, attempt, context, tag=context.ids.tag(), fields=tuple(fields), body=body)

    def _settle(self, outs: list[Out], now: float) -> list[Out]:
        outcome = self._errand.outcome
        if outcome is None or self.is_over:
            return outs
        self.is_over = True
        self._try_at = None
        fields: Fields = ()
        why = ""
        if isinstance(outcome, Unanswered):
            self.status, why = outcome.status, outcome.why
        else:
            self.status, fields = answer_of(outcome.response, self._asked.request.method, self._asked.peer)
            if self._asked.request.method == "PUBLISH":
                fields += self._published(outcome, now)
        answer = Respond(self._asked.received.key, self.status, fields=fields, contact=self._contact())
        return [*outs, answer, self._said(why)]

    def _contact(self) -> str | None:
        return "" if self._asked.request.method == "OPTIONS" and self.status < 300 else None

    def _published(self, outcome: Answered, now: float) -> Fields:
        """Our entity-tag for the server's. What 412 is said of is gone (RFC 3903 §5), and so is what was removed."""
        response, event = outcome.response, self._asked.event
        if response.status == 412:
            self._publications.forget(self._tag, self._asked.peer.name)
        if response.status >= 300 or event is None:
            return ()
        tag = (response.header("SIP-ETag") or "").strip()
        lasts = _lifetime(response, self._asked.request.expires)
        expires_at = now + min(lasts, limits.PUBLICATION_SECONDS)
        publication = Publication(self._asked.peer.name, event.package, tag, outcome.attempt, expires_at)
        ours = self._publications.published(publication, self._tag)
        return (("SIP-ETag", ours),) if ours else ()

    def _said(self, why: str) -> Log:
        asked, peer = self._asked, self._errand.peer
        fields: list[tuple[str, object]] = [
            ("method", asked.request.method),
            ("ingress", asked.peer.name),
            ("egress", "" if peer is None else peer.name),
            ("caller", asked.parties.caller),
            ("called", asked.parties.called),
            ("status", self.status),
        ]
        return Log("info", "request.relayed", (*fields, ("why", why)) if why else tuple(fields))


def _lifetime(response: Response, wanted: int | None) -> int:
    if response.expires is not None:
        return response.expires
    return DEFAULT_PUBLICATION_SECONDS if wanted is None else wanted


def _same_server(attempt: Attempt, decision: Decision) -> tuple[Attempt, ...]:
    """Where the publication is kept, as far as policy still lets it be asked there."""
    targets = [target for target in decision.hunt if target.peer.name == attempt.target.peer.name]
    return tuple([replace(attempt, target=target) for target in targets[:1]])
