"""Who is at the door: which peer sent a request that begins something, and whether it has shown its credentials.

Sources come from policy, digest from `peering` (RFC 3261 §22, §8.2). It sends nothing and keeps nothing; the endpoint
asks it before there is a transaction, on the switch's behalf.
"""

from collections.abc import Container, Iterable
from typing import Final

from sbc.b2bua.asking import facts_of
from sbc.b2bua.context import Context
from sbc.b2bua.identity import parties_of
from sbc.b2bua.refused import RefusedLogins
from sbc.core.address import Flow
from sbc.policy.model import Algorithm, Peer
from sbc.sip.auth.server import Challenged, username_of
from sbc.sip.checks import SILENCE, Refusal
from sbc.sip.message import Request
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.uri import SipUri

# Of a PBX with `auth`, where they begin something; what follows in a dialog is known by it.
_CHALLENGED: Final = frozenset({"INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH", "NOTIFY"})


def speaker(peer: Peer, request: Request, flow: Flow, context: Context) -> Peer:
    """Which of the peers that share the source of `peer` this is, whose digest credentials may not be proved yet."""
    several = _speakers(flow, context)
    if len(several) < 2:
        return peer
    place = context.dialogs.get(request.to.tag or "")
    if place is not None:
        # Nobody proves within a dialog what he claims there: he is whose dialog it is, if he may be.
        owner = context.calls[place[0]].legs[place[1]].peer
        return owner if any(one.name == owner.name for one in several) else peer
    uri = request.uri
    user = uri.user_text if isinstance(uri, SipUri) else ""
    return context.policy.which(
        several, user, parties_of(request, peer).called, username_of(request, context.policy.name)
    )


def turn_back(
    peer: Peer,
    request: Request,
    flow: Flow,
    context: Context,
    layer: TransactionLayer,
    refused: RefusedLogins,
    now: float,
    *,
    beside: Container[str] = (),
) -> Refusal | None:
    """What a request that belongs to no transaction meets instead of becoming one: silence, or challenges. None: it
    may come in. `peer`: who speaks from that source, or may. `beside`: our tags of the dialogs that are no calls.
    """
    tag = request.to.tag
    if peer.is_anybody and not _may_ask(request, peer, flow, context, layer, beside, now):
        return SILENCE
    if tag is not None or request.method not in _CHALLENGED:
        return None
    claimed = speaker(peer, request, flow, context)
    if claimed.kind != "pbx" or claimed.auth is None:
        return None
    offered = _offered(_speakers(flow, context))
    source = flow.remote.host
    verdict = context.relations.authenticate(claimed, request, offered or claimed.auth.algorithms, source, now)
    if isinstance(verdict, Challenged) and _has_tried(request, verdict, context):
        refused.note(claimed.name, flow.remote, now)
        if claimed.is_anybody:
            is_answer = context.relations.was_challenged_there(request, source, now)
            context.keeping_out.was_refused(flow, now, is_answer=is_answer)
    elif claimed.is_anybody and not isinstance(verdict, Challenged):
        context.keeping_out.has_proved(flow, now)
    # "challenge questionable requests with only a single 401 … forgoing the normal response retransmission algorithm,
    # and thus behaving statelessly", RFC 3261 §26.3.2.4: repeated for 32 s, it would flood whom a stranger names.
    return Refusal(401, verdict.fields) if isinstance(verdict, Challenged) else None


def why_challenged(claimed: Peer, request: Request, answer: bytes, context: Context) -> str:
    """In words, what is wrong with the credentials; "" where there are none. `answer`: the challenge as it goes out."""
    if not request.values("Authorization"):
        return ""
    realm = context.policy.name
    username = username_of(request, realm)
    if username is None:
        return f"its credentials are for another realm than {realm}"
    if b"stale=true" in answer:
        return "its nonce is too old, or not ours: it should come again by itself"
    if claimed.auth is not None and username != claimed.auth.username:
        return f"its user name is {username[:64]}, and that of {claimed.name} is {claimed.auth.username}"
    return "its user name is right, its password or the way that it was hashed is not"


def _speakers(flow: Flow, context: Context) -> tuple[Peer, ...]:
    remote = flow.remote
    return context.policy.speakers(flow.interface, remote.host, remote.port, flow.transport, flow.proved)


def _has_tried(request: Request, verdict: Challenged, context: Context) -> bool:
    """It had credentials for us, and not merely old ones."""
    if username_of(request, context.policy.name) is None:
        return False
    return not any("stale=true" in value for _, value in verdict.fields)


def stay_inside(
    request: Request, context: Context, layer: TransactionLayer, *, beside: Container[str] = ()
) -> Refusal | None:
    """As `turn_back`, for who was a peer before a reload: what belongs to dialogs that are up, and silence."""
    if request.method in ("ACK", "CANCEL"):
        return None if request.method == "ACK" or layer.knows(request, "INVITE") else SILENCE
    tag = request.to.tag
    return None if tag in context.dialogs or tag in beside else SILENCE


def _may_ask(
    request: Request,
    peer: Peer,
    flow: Flow,
    context: Context,
    layer: TransactionLayer,
    beside: Container[str],
    now: float,
) -> bool:
    """From a source that anybody may have: what will be challenged, and what belongs to a dialog or an INVITE here."""
    if request.method == "CANCEL":
        return layer.knows(request, "INVITE")
    if request.method == "ACK":
        return True  # never answered, never kept
    tag = request.to.tag
    if tag is not None:
        return tag in context.dialogs or tag in beside
    several = _speakers(flow, context)
    if request.method not in _CHALLENGED or not any(_may_use(request.method, one) for one in several or (peer,)):
        return False
    keeping = context.keeping_out
    if keeping.may_only_cry_for_help(flow, now) and not _is_for_help(request, peer, flow, context):
        return False
    if not keeping.has_hostile_target(request, flow) or _is_for_help(request, peer, flow, context):
        return True  # to such a place nothing is sent in any case
    keeping.named_hostile_target(flow, now)
    return False


def _is_for_help(request: Request, peer: Peer, flow: Flow, context: Context) -> bool:
    return request.method == "INVITE" and is_emergency(request, speaker(peer, request, flow, context), context)


def _may_use(method: str, peer: Peer) -> bool:
    return peer.registers if method == "REGISTER" else method in peer.methods


def _offered(peers: Iterable[Peer]) -> tuple[Algorithm, ...]:
    """All algorithms of the peers that it may be: what is offered must not tell whether a user exists, nor whose."""
    return tuple(dict.fromkeys([a for peer in peers if peer.auth is not None for a in peer.auth.algorithms]))


def is_emergency(invite: Request, peer: Peer, context: Context) -> bool:
    """As it will be judged when it is a call."""
    facts, _ = facts_of(parties_of(invite, peer), peer, context.policy)
    return context.policy.decide(facts).emergency
