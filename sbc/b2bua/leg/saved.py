"""A leg as a value: what the journal keeps of it, and the leg that is made of that in another life of the program.

Saved are its dialog, its session timer, and what its peer may still ask about: a request of his that has no answer, our
2xx that has no ACK, an INVITE of ours that was given up and may yet be answered. Not saved are offers of ours that were
under way, and other requests that wait for their answer: what they were to bring about, the call brings about anew.
Authentication needs nothing: each challenge begins a count of its own, and one that is counted wrongly is repeated.
Provisionals of an INVITE that nobody has answered are not saved: such a call ends (`leftovers`).

Save at any time; restore in the next life, before anything is received, and then `Leg.resume`.
"""

from collections.abc import Callable
from copy import copy
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.leg.asked import Answered
from sbc.b2bua.leg.dialling import Dialling
from sbc.b2bua.leg.leg import Leg
from sbc.b2bua.leg.state import State
from sbc.b2bua.leg.waking import Waking
from sbc.core.address import Address, Flow, canonical_ip
from sbc.policy.model import Peer
from sbc.sip.auth.client import Authenticator
from sbc.sip.dialog.dialog import Dialog
from sbc.sip.dialog.invite_uac import SavedUac, restored_uac
from sbc.sip.dialog.invite_uac import State as UacState
from sbc.sip.dialog.invite_uas import SavedUas, restored_uas
from sbc.sip.dialog.session_timer import SavedTimer
from sbc.sip.message import Fields
from sbc.sip.timing import Timing
from sbc.sip.transaction.invite_server import State as ServerState
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.saved import SavedInvite, SavedServer, without_connection
from sbc.sip.uri import SipUri, parse_uri

# Deviation: "contiguous CSeq sequence numbers (increasing-by-one)", RFC 3261 §12.2.1.1. What was said after the last
# record that has reached the disk is not known after a power cut: so many requests no leg sends in that time. A gap "is
# not an error condition", §12.2.2; a number that was there is: a 500.
CSEQ_MARGIN: Final = 100
_GIVEN_UP: Final = frozenset((UacState.CALLING, UacState.CANCELLED))


class SavedLeg(Struct, frozen=True, omit_defaults=True):
    """`peer`: by name. `contact`, `features`, `flow`, `heard`: as `Leg` has them. `allow`: of the peer, as it has said.
    `count`: of requests. `server`: the transaction of its INVITE. `invite`: of ours, given up and without a final
    response. `open`: requests that came by a connection and have no answer; over UDP they come again by themselves.
    `dialled`: we have made the dialog. `by_tls`: as `Reached` has it.
    """

    peer: str
    interface: str
    contact: str
    state: State
    dialog: Dialog | None = None
    features: str = ""
    flow: Flow | None = None
    heard: bool = False
    dialled: bool = False
    allow: str | None = None
    count: int = 0
    timer: SavedTimer | None = None
    answered: Answered | None = None
    uas: SavedUas | None = None
    server: SavedServer | None = None
    uac: SavedUac | None = None
    invite: SavedInvite | None = None
    open: tuple[SavedServer, ...] = ()
    bye_fields: Fields = ()
    by_tls: Address | None = None


def save_leg(leg: Leg, layer: TransactionLayer) -> SavedLeg:
    uac, dialog, uas, state = leg.sending.uac, leg.dialog, leg.uas, leg.state
    if dialog is None and uac is not None:
        dialog = uac.dialog
    server = None if uas is None else layer.saved_server(uas.key)
    if uas is not None and uas.is_over:
        if server is None:
            uas = None
        elif server.state == ServerState.ACCEPTED:
            server = replace(server, echo=(), data=None)  # its INVITE is known again, and nothing more is said to it
    invite = None
    if uac is not None and uac.is_first and uac.state in _GIVEN_UP:
        invite = layer.saved_invite(uac.user)
    peer = leg.peer
    return SavedLeg(
        peer.name,
        peer.interface,
        leg.contact,
        state,
        copy(dialog),
        leg.features,
        leg.flow,
        leg.heard,
        leg.dialling is not None,
        leg.abilities.said,
        leg.sending.count,
        leg.refreshing.saved(),
        leg.asked.answered,
        None if uas is None else uas.saved(),
        server,
        leg.sending.saved_uac(),
        invite,
        _open_by_connection(leg, layer),
        leg.leaving.bye_fields if state is State.ENDING else (),
        leg.reached.by_tls,
    )


def _open_by_connection(leg: Leg, layer: TransactionLayer) -> tuple[SavedServer, ...]:
    found = [layer.saved_server(key) for key in leg.asked.open]
    return tuple([one for one in found if one is not None and one.flow.transport.is_reliable])


def restore_leg(
    saved: SavedLeg,
    ref: str,
    n: int,
    peer: Peer,
    timing: Timing,
    *,
    number: Callable[[int], int],
    credentials: Authenticator | None = None,
) -> Leg:
    """As it was, and silent until `Leg.resume`. Its connections are gone. Raises ParseError for what cannot be read."""
    saved = reached_again(saved)
    leg = Leg(ref, n, peer, saved.contact, timing, number=number, credentials=credentials, flow=saved.flow)
    leg.features, leg.heard, leg.state = saved.features, saved.heard, saved.state
    leg.abilities.said = saved.allow
    leg.reached.by_tls = saved.by_tls
    leg.asked.restore(saved.answered)
    leg.leaving.bye_fields = saved.bye_fields
    if saved.timer is not None:
        leg.refreshing.restore(saved.timer)
    if saved.uas is not None:
        leg.uas = restored_uas(saved.uas, timing)
    dialog = copy(saved.dialog)
    if dialog is not None:
        dialog.local_cseq += CSEQ_MARGIN
    _restore_uac(leg, saved, dialog)
    leg.dialog = None if saved.state is State.SETUP and saved.uac is not None else dialog
    leg.waking = Waking(leg, saved.server, saved.invite, saved.open)
    return leg


def _restore_uac(leg: Leg, saved: SavedLeg, dialog: Dialog | None) -> None:
    said = saved.uac
    if said is None:
        leg.sending.restore(saved.count)
        return
    request = None if saved.invite is None else saved.invite.request()
    uac = restored_uac(said, (leg.ref, leg.n, said.n), saved.interface, dialog, request)
    leg.sending.restore(saved.count, said.n, uac)
    if saved.dialled:
        leg.dialling = Dialling(leg, uac)


def reached_again(left: SavedLeg) -> SavedLeg:
    """Who spoke by a connection, which has gone with the process, is reached where his Contact says, as his binding
    (`Binding.detached`); unless a NAT stands before it: then he has to come again.
    """
    if left.flow is not None and left.dialog is not None:
        left = replace(left, flow=_way(left.flow, left.dialog.remote_target))
    if left.invite is not None:
        left = replace(left, invite=replace(left.invite, flow=_way(left.invite.flow, left.invite.request().uri_text)))
    return left


def _way(flow: Flow, target: str) -> Flow:
    """What a new connection must prove, the endpoint finds out."""
    if not flow.connection:
        return flow
    uri = parse_uri(target)
    if not isinstance(uri, SipUri) or canonical_ip(uri.host) != flow.remote.host:
        return without_connection(flow)
    remote = Address(flow.remote.host, uri.port or flow.transport.default_port)
    return replace(without_connection(flow), remote=remote)
