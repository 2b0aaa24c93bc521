"""Where a peer's 3xx sends a call: its Contacts as numbers, followed by the routes of the peer that redirects
(RFC 3261 §8.1.3.4, §21.3). Nothing of a redirection is ever shown to the other side (RFC 5853 §3.1).

The hosts of the Contacts are not believed: a number that the peer may not dial is not reached by a 302 either. The new
INVITE says who redirected, and why (`forwarded`). Used by `setup`, which dials.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sbc.core.limits import REDIRECT_CONTACTS, REDIRECT_CONTACTS_READ, REDIRECTS_PER_CALL
from sbc.policy.model import Facts, Target
from sbc.sip.errors import ParseError
from sbc.sip.headers.identity import identity_of, number_of
from sbc.sip.message import Response
from sbc.sip.nameaddr import NameAddr, parse_name_addr
from sbc.sip.params import param
from sbc.sip.uri import SipUri

if TYPE_CHECKING:
    from sbc.b2bua.call import Call


class Redirects:
    """Of one call. It remembers every number that was tried, so that two phones that point at each other end."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._count = 0

    def follow(
        self, call: "Call", target: Target, facts: Facts, response: Response, now: float, *, rang: bool = False
    ) -> tuple[Target, ...]:
        """Whom to try now; nobody where the peer's policy refuses it, or there have been too many. `rang`: somebody was
        alerted before."""
        peer, trace = target.peer, call.context.trace
        if peer.redirect == "refuse":
            call.explain(f"{peer.name} redirects, and its policy refuses that", now)
            return ()
        by = target.called_e164 or target.called
        self._seen.add(by)
        why = reason_of(response, rang=rang)
        found: list[Target] = []
        for number, secure in numbers_of(response):
            if call.parties.is_sips and not secure:
                trace.note(call.ref, now, f"{peer.name} redirects to a SIP URI a call that a SIPS URI asked for")
                continue  # "MUST NOT recurse", RFC 5630 §5.3
            if self._count >= REDIRECTS_PER_CALL:
                trace.note(call.ref, now, f"redirected {self._count} times: no further")
                break
            self._count += 1
            targets = call.policy.divert(peer.name, number, by, facts, status=response.status, why=why)
            if isinstance(targets, str):
                trace.note(call.ref, now, f"{peer.name} redirects to {number}: {targets}")
                continue
            new = [one for one in targets if (one.called_e164 or one.called) not in self._seen]
            trace.note(call.ref, now, f"{peer.name} redirects to {number}" + ("" if new else ", which was tried"))
            self._seen.update([one.called_e164 or one.called for one in new])
            found += new
            if new and secure and not call.parties.is_sips:
                # "If a 3XX response includes a SIPS Contact …, the UAC does not replace it", RFC 5630 §5.1.1.
                call.parties = replace(call.parties, is_sips=True)
        if not found:
            call.explain(f"nobody can be called where {peer.name} redirects to", now)
        return tuple(found)


def numbers_of(response: Response) -> list[tuple[str, bool]]:
    """The numbers of its Contacts, the preferred first (RFC 3261 §20.10: q, 1 where there is none), and whether a SIPS
    URI names them. One that cannot be read is left out."""
    ordered = sorted(_contacts(response), key=_preference, reverse=True)
    found: dict[str, bool] = {}
    for contact in ordered:
        number = number_of(contact.uri)
        if number:
            found.setdefault(number, _is_sips(contact))
    return list(found.items())[:REDIRECT_CONTACTS]


def _is_sips(contact: NameAddr) -> bool:
    return isinstance(contact.uri, SipUri) and contact.uri.scheme == "sips"


def _contacts(response: Response) -> list[NameAddr]:
    found: list[NameAddr] = []
    for text in response.values("Contact")[:REDIRECT_CONTACTS_READ]:
        with suppress(ParseError):
            found.append(parse_name_addr(text, "Contact"))
    return found


def reason_of(response: Response, *, rang: bool) -> str:
    """Why the call is sent on, in a word of RFC 5806 §4: as the 3xx itself says in a Diversion, which has the latest
    first. Else who was alerted has sent it on by hand, and who was not has asked for all calls to be sent on."""
    said = identity_of(response).diversions
    return (said[0].reason if said else "") or ("deflection" if rang else "unconditional")


def _preference(contact: NameAddr) -> float:
    text = param(contact.params, "q") or "1"
    try:
        return min(max(float(text), 0.0), 1.0) if len(text) <= 5 else 0.0
    except ValueError:
        return 0.0
