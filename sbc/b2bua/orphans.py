"""Responses to requests of calls that are gone: whatever they start is ended, so that nobody talks to nobody.

RFC 3261 §13.2.2.4. Used by the switch.
"""

from collections.abc import Hashable, Sequence

from sbc.b2bua.leftovers import LEFT, of_this_life
from sbc.core.address import Transport
from sbc.peering.relations import Relations
from sbc.policy.model import Peer
from sbc.sip.auth.client import credentials_of
from sbc.sip.commands import Order, SendRequest
from sbc.sip.dialog.invite_uac import end_unwanted
from sbc.sip.message import Request
from sbc.sip.transaction.outputs import ResponseReceived


def end_orphan(
    user: Hashable, out: ResponseReceived, peer: Peer | None, relations: Relations, now: float
) -> Sequence[Order]:
    """`peer`: who it came from."""
    status = out.response.status
    if out.request.method == "BYE" and status in (401, 407) and peer is not None:
        return _end_again(user, out, peer, relations)
    if out.request.method == "INVITE" and 200 <= status < 300:
        # A PBX that has registered with us is where our INVITE went, whatever its Contact says. So is who answered over
        # TLS: on that connection it has proved who it is, and nobody knows any more what another one would have to.
        stays = (peer is not None and peer.registers) or out.flow.transport is Transport.TLS
        flow = out.flow if stays else None
        # An earlier life may have ended it already, and its ACK have been lost: a later BYE has another number.
        said = out.request.cseq.number + of_this_life(now) if _is_left(user) else None
        return end_unwanted(user, out.request, out.response, out.flow.interface, flow, said=said)
    return []


def _is_left(user: Hashable) -> bool:
    """Of a call that was being set up when signalling died."""
    return isinstance(user, tuple) and user[:1] == (LEFT,)


def _end_again(user: Hashable, out: ResponseReceived, peer: Peer, relations: Relations) -> Sequence[Order]:
    """The BYE of an unwanted 2xx is challenged: without credentials that call would go on, and be billed."""
    account = relations.credentials(peer.name)
    if account is None or credentials_of(out.request):
        return []
    again = account.answer(out.response, out.request, 0)
    if again is None:
        return []
    fields = tuple([field for field in again.fields if field[0] != "User-Agent"])  # the endpoint puts it there
    return [SendRequest((user, "again"), Request("BYE", again.uri_text, fields), out.flow.interface, "", flow=out.flow)]
