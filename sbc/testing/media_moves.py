"""The moves of a test phone in a session that is there: hold, video, fax, codecs, contact (RFC 3264 §8, RFC 3311).

Each is a method of `Phone`. All but the last few come down to `changes`: an offer that differs in what is named, by
re-INVITE, or by UPDATE, which an early dialog allows too.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import structs

from sbc.core.address import Address, Transport
from sbc.sdp import Direction
from sbc.sip.message import Fields
from sbc.testing.addresses import address_of
from sbc.testing.party import Party

if TYPE_CHECKING:
    from sbc.testing.phone import Phone

By = Literal["INVITE", "UPDATE"]


def changes(
    phone: "Phone",
    *,
    direction: Direction | None = None,
    kinds: Sequence[str] | None = None,
    codecs: Sequence[str] | None = None,
    old_hold: bool | None = None,
    beside: bool | None = None,
    by: By = "INVITE",
    fields: Fields = (),
    call: Party | None = None,
) -> None:
    """An offer that differs in what is named here. By UPDATE it may also be made in an early dialog."""
    party = phone._talking(call) if by == "INVITE" else phone._in_dialog(call)
    wish = party.talk.wish
    wish = structs.replace(
        wish,
        direction=wish.direction if direction is None else direction,
        kinds=wish.kinds if kinds is None else tuple(kinds),
        codecs=wish.codecs if codecs is None else tuple(codecs),
        old_hold=wish.old_hold if old_hold is None else old_hold,
        beside=wish.beside if beside is None else beside,
    )
    if by == "INVITE":
        phone.agent.calling.reinvite(party, phone.net.now, wish, fields=fields)
    else:
        phone.agent.updating.update(party, phone.net.now, wish, fields=fields)
    phone._settle()


def holds(
    phone: "Phone",
    direction: Direction = Direction.SENDONLY,
    *,
    old: bool = False,
    by: By = "INVITE",
    call: Party | None = None,
) -> None:
    """`old`: by c=0.0.0.0, as RFC 2543 did."""
    phone.changes(direction=direction, old_hold=old, by=by, call=call)


def resumes(phone: "Phone", *, by: By = "INVITE", call: Party | None = None) -> None:
    phone.holds(Direction.SENDRECV, by=by, call=call)


def adds_video(phone: "Phone", *, by: By = "INVITE", call: Party | None = None) -> None:
    phone.changes(kinds=("audio", "video"), by=by, call=call)


def removes_video(phone: "Phone", *, by: By = "INVITE", call: Party | None = None) -> None:
    """Port 0 in its place (RFC 3264 §8.2)."""
    phone.changes(kinds=("audio",), by=by, call=call)


def offers_fax(phone: "Phone", *, beside: bool = False, by: By = "INVITE", call: Party | None = None) -> None:
    """T.38 in the m= line of the voice; `beside`: in one of its own, while the voice's gets port 0."""
    phone.changes(kinds=("image",), beside=beside, by=by, call=call)


def returns_to_voice(phone: "Phone", *, by: By = "INVITE", call: Party | None = None) -> None:
    phone.changes(kinds=("audio",), by=by, call=call)


def offers_codecs(phone: "Phone", *codecs: str, by: By = "INVITE", call: Party | None = None) -> None:
    phone.changes(codecs=codecs, by=by, call=call)


def rekeys(phone: "Phone", *, by: By = "INVITE", call: Party | None = None) -> None:
    """It has new keys from now on, and offers them (RFC 4568 §7.1.4)."""
    (phone._talking(call) if by == "INVITE" else phone._in_dialog(call)).talk.keys_made += 1
    phone.changes(by=by, call=call)


def reinvites(phone: "Phone", *, sdp: bool = True, fields: Fields = (), call: Party | None = None) -> None:
    """A re-INVITE that changes nothing, or one without offer."""
    phone.agent.calling.reinvite(phone._talking(call), phone.net.now, sdp=sdp, fields=fields)
    phone._settle()


def updates(phone: "Phone", *, sdp: bool = True, fields: Fields = (), call: Party | None = None) -> None:
    """An UPDATE that changes nothing, or one without offer; in an early dialog too."""
    phone.agent.updating.update(phone._in_dialog(call), phone.net.now, sdp=sdp, fields=fields)
    phone._settle()


def changes_contact(
    phone: "Phone", address: Address | str, *, by: By | None = "INVITE", call: Party | None = None
) -> None:
    """It wants to be reached there from now on, and says so with a target refresh (`by` None: with the next one).

    It sends from where it was. Where messages for it went says `net.log`.
    """
    there = address_of(address)
    phone.net.attach(phone.agent, (Transport.UDP, there))
    phone.agent.line.contact_at = there
    if by == "INVITE":
        phone.reinvites(call=call)
    elif by == "UPDATE":
        phone.updates(sdp=False, call=call)
