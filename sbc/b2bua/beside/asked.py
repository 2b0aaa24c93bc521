"""A request from outside any dialog, judged: who asks, whom, and where policy sends it; and what goes out for it.

Callers are screened and numbers rewritten as for a call, so that a message shows nobody whom a call would not show.
Pure. Used by `beside`, `exchange` and `subscription`.
"""

from functools import partial

from msgspec import Struct

from sbc.b2bua.asking import facts_of
from sbc.b2bua.beside.errand import Prepared
from sbc.b2bua.caller import CallerRefused
from sbc.b2bua.context import Context
from sbc.b2bua.hunt import Attempt
from sbc.b2bua.identity import Parties, contact_user, egress_invite, parties_of
from sbc.policy.model import Decision, Peer
from sbc.sip.headers.event import Event
from sbc.sip.message import Fields, Request
from sbc.sip.transaction.outputs import RequestReceived


class Asked(Struct, frozen=True, eq=False):
    """`event`: of the methods that have one (RFC 6665 §8.2.1)."""

    received: RequestReceived
    peer: Peer
    parties: Parties
    decision: Decision
    event: Event | None = None

    @property
    def request(self) -> Request:
        return self.received.request


class Turned(Struct, frozen=True):
    """Nobody is asked. `why` is for people."""

    status: int
    why: str


def judged(request: Request, peer: Peer, context: Context) -> tuple[Parties, Decision] | Turned:
    """The parties as they may be shown, and where policy sends them."""
    said = parties_of(request, peer)
    facts, parties = facts_of(said, peer, context.policy)
    if said.max_forwards <= 0:
        return Turned(483, "Max-Forwards is used up")
    if isinstance(parties, CallerRefused):
        return Turned(parties.status, parties.why)
    decision = context.policy.decide(facts)
    if not decision.hunt:
        return Turned(
            decision.reject or 404, f"refused by the route {decision.route}" if decision.route else "no route"
        )
    return parties, decision


def asked_of(received: RequestReceived, peer: Peer, event: Event | None, context: Context) -> Asked | Turned:
    found = judged(received.request, peer, context)
    return found if isinstance(found, Turned) else Asked(received, peer, *found, event)


def prepared(asked: Asked, attempt: Attempt, context: Context, *, tag: str, fields: Fields, body: bytes) -> Prepared:
    """The request of this attempt: addressed and signed as the INVITE of a call would be, with a Call-ID of its own."""
    method, peer = asked.request.method, attempt.target.peer
    invite = egress_invite(
        attempt,
        asked.parties,
        our_host=context.hosts[peer.interface],
        call_id=context.ids.call_id(),
        tag=tag,
        body=b"",
        write=partial(context.policy.write_caller, asked.peer.name, peer),
        more=fields,
    )
    kept = [(name, f"1 {method}" if name == "CSeq" else value) for name, value in invite.fields if name != "Allow"]
    # "User Agents MUST NOT insert Contact header fields into MESSAGE requests", RFC 3428 §4; in PUBLISH it is ignored.
    has_contact = method in ("SUBSCRIBE", "NOTIFY", "OPTIONS")
    contact = contact_user(attempt.target, asked.parties) if has_contact else None
    return Prepared(Request(method, invite.uri_text, tuple(kept), body), contact)
