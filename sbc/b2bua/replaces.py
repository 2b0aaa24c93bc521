"""Which of our dialogs a Replaces names, and whether its sender may have it replaced (RFC 3891 §3).

A Replaces is written as whom it is sent to sees the dialog: its to-tag is our tag, its from-tag the peer's. That holds
in an INVITE from a peer as in the Refer-To of a transferor, who names us as the far end of his other call. Only the
peer whose dialog it is may have it replaced. It changes nothing; `transfer` and the switch do.
"""

from msgspec import Struct

from sbc.b2bua.context import Context
from sbc.b2bua.leg import Leg
from sbc.b2bua.states import Ended, Hunting, Talking
from sbc.policy.model import Peer
from sbc.sip.checks import Refusal
from sbc.sip.headers.transfer import Replaces, parse_replaces
from sbc.sip.message import Request


class Found(Struct, frozen=True):
    """Leg `leg` of the call `ref` is to be replaced."""

    ref: str
    leg: int


def replaced_by(invite: Request, peer: Peer, context: Context) -> Found | Refusal | None:
    """What an INVITE that begins a dialog replaces; None: it has no Replaces, and is a call like any other."""
    values = invite.headers("Replaces")
    if not values:
        return None
    named = parse_replaces(values[0]) if len(values) == 1 else None
    # "If more than one Replaces header field is present in an INVITE … MUST reject the request with a 400"
    if named is None or invite.header("Join") is not None:  # RFC 3911 asks for the contrary
        return Refusal(400)
    if peer.transfer == "refuse":
        return Refusal(403)
    return judged(named, peer, context)


def judged(named: Replaces, peer: Peer, context: Context) -> Found | Refusal:
    """The confirmed dialog of this peer that is named, or the status that RFC 3891 §3 has for whoever names it."""
    found = dialog_named(named, peer, context)
    if found is None:
        return Refusal(481)
    call = context.calls[found.ref]
    leg = call.legs[found.leg]
    # "If the Replaces header field matches a dialog which has already terminated, the UA SHOULD decline the request
    # with a 603"; so it is where nobody is left on the other side, or the leg's place is taken.
    if (
        isinstance(call.state, Ended)
        or leg.is_closed
        or (found.leg not in call.pair and isinstance(call.state, Talking))
    ):
        return Refusal(603)
    # Deviation: an early dialog of ours may be replaced by §3 ("accepts the new INVITE … shuts down the replaced dialog
    # by sending a CANCEL"). Both offers would have to be answered with each other; the phone is picked up by its PBX.
    if not isinstance(call.state, Talking):
        return Refusal(481)
    if named.early_only:
        return Refusal(486)
    return Refusal(603) if call.legs[call.opposite(found.leg)].is_closed else found


def rung_by(named: Replaces, peer: Peer, context: Context) -> Found | None:
    """The call that this peer is making, and that nobody has answered yet, if that is what is named.

    None also where the peer has made no offer: its target will make one, and the answer would have to be his.
    """
    found = dialog_named(named, peer, context)
    call = None if found is None else context.calls[found.ref]
    if found is None or call is None or not isinstance(call.state, Hunting) or call.errand is not None:
        return None
    if found.leg != 0 or call.legs[0].is_closed:
        return None
    offer = call.media.offer
    has_offered = call.media.described("ingress") is not None or (offer is not None and offer.by == "ingress")
    return found if has_offered else None


def dialog_named(named: Replaces, peer: Peer, context: Context) -> Found | None:
    """The dialog of ours, with this peer, of these ids; None also where it is another peer's: nobody learns of that."""
    place = context.dialogs.get(named.to_tag)
    call = None if place is None else context.calls.get(place[0])
    if place is None or call is None:
        return None
    leg = call.legs[place[1]]
    # "a tag of zero matches both tags of zero and null", §6.1
    remote_tags = (named.from_tag, "") if named.from_tag == "0" else (named.from_tag,)
    if not any(leg.has_dialog(named.call_id, named.to_tag, tag) for tag in remote_tags):
        return None
    # Trunks at one source may be one carrier; PBXs there have logged in, each as itself.
    is_theirs = peer.name == leg.peer.name or (leg.peer.kind == "trunk" and context.policy.may_be(peer, leg.peer))
    return Found(*place) if is_theirs else None


def seen_from(leg: Leg, *, early_only: bool = False) -> Replaces | None:
    """The dialog of this leg as its own peer is to name it towards its own end, which is the one to be taken over.

    None where there is no dialog.
    """
    dialog = leg.dialog
    if dialog is None:
        return None
    return Replaces(dialog.call_id, dialog.remote_tag or "0", dialog.local_tag, early_only)
