"""Who is at the door: which peer sent a request that begins something, and whether it has shown its credentials.

Sources come from policy, digest from `peering` (RFC 3261 §22, §8.2). It answers nothing and keeps nothing; the switch
asks it first.
"""

from typing import Final

from sbc.b2bua.context import Context
from sbc.b2bua.identity import parties_of
from sbc.core.address import Flow
from sbc.policy.model import Facts, Peer
from sbc.sip.auth.server import Challenged, username_of
from sbc.sip.message import Fields, Request
from sbc.sip.uri import SipUri

_CHALLENGED: Final = frozenset({"INVITE", "REGISTER"})  # of a PBX with `auth`; what follows in a dialog is known by it


def speaker(peer: Peer, request: Request, flow: Flow, context: Context) -> Peer:
    """Which of the peers that share the source of `peer` this is."""
    remote = flow.remote
    several = context.policy.speakers(flow.interface, remote.host, remote.port)
    if len(several) < 2:
        return peer
    uri = request.uri
    user = uri.user_text if isinstance(uri, SipUri) else ""
    return context.policy.which(several, user, parties_of(request, peer).called, username_of(request))


def may_enter(request: Request, context: Context) -> bool:
    """From a source that anybody may have: calls, registrations, what belongs to a dialog. The rest gets silence and
    leaves no state.
    """
    return request.method in ("INVITE", "REGISTER", "ACK", "CANCEL") or (request.to.tag or "") in context.dialogs


def challenge(peer: Peer, request: Request, context: Context, now: float) -> Fields | None:
    """The challenges that the request must answer first; None: it may go on."""
    if peer.kind != "pbx" or peer.auth is None or request.to.tag is not None or request.method not in _CHALLENGED:
        return None
    verdict = context.relations.authenticate(peer, request, now)
    return verdict.fields if isinstance(verdict, Challenged) else None


def is_emergency(invite: Request, peer: Peer, context: Context) -> bool:
    parties = parties_of(invite, peer)
    return context.policy.decide(Facts(peer.name, parties.called, parties.caller)).emergency
