"""Who calls whom: read from the INVITE of an ingress leg, written into the INVITE of an egress leg.

Messages are built here, never forwarded: nothing of the ingress INVITE crosses but numbers, the caller's display name,
what he says of his privacy, who sent the call on, and Max-Forwards (RFC 3261 §8.1.1, RFC 3323, RFC 3325, RFC 7332).
Hosts are always ours or the trunk's. Each attempt is computed from its own target, so that no trunk sees the identity
that was made for another. Numbers in a peer's form come from policy; who may show which number is judged in `caller`,
how a forwarded call tells of that is in `forwarded`.
"""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.forwarded import forwarding_fields
from sbc.b2bua.hunt import Attempt
from sbc.core.address import bracketed
from sbc.core.errors import TheirFaultError
from sbc.core.limits import DISPLAY_CHARACTERS, GEOLOCATION_VALUES
from sbc.policy.model import Peer, Target
from sbc.sip.checks import allow_field
from sbc.sip.headers.identity import (
    NOTHING,
    Diversion,
    HistoryEntry,
    identity_of,
    number_of,
    privacy_text,
)
from sbc.sip.headers.reason import crossing_reasons
from sbc.sip.message import Fields, Request, Response
from sbc.sip.nameaddr import NameAddr, parse_name_addr
from sbc.sip.sips import is_sips
from sbc.sip.uri import SipUri, TelUri
from sbc.sip.uri import escaped_user as escaped

__all__ = [
    "ANONYMOUS",
    "Parties",
    "connected_identity",
    "contact_user",
    "crossing_fields",
    "egress_invite",
    "escaped",
    "parties_of",
    "reason_fields",
]

DEFAULT_MAX_FORWARDS: Final = 70  # RFC 3261 §8.1.1.6; also for peers that send none
ANONYMOUS: Final = "anonymous"
_ANONYMOUS_FROM: Final = '"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3323 §4.1.1.3
# What in a Privacy header makes us withhold the caller's number (RFC 3323 §4.2, RFC 3325 §9.3).
_WITHHOLDING: Final = frozenset(("id", "user", "header"))
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Parties(Struct, frozen=True):
    """What an INVITE says of its two ends; numbers are user parts without parameters, escapes resolved.

    `caller`: as From has it, or as screening made it; it is the number that policy is asked about. `display`: without
    control characters, bounded. `asserted`, `preferred`: of P-Asserted-Identity and P-Preferred-Identity, "" where
    there is none. `is_anonymous`: his number is not to be shown. `identity`: what we vouch for towards trunks, made by
    screening. `screened`: what screening has changed and why, a sentence for the ladder. `is_sips`: the call was asked
    for by a SIPS URI, and may go on over TLS alone (RFC 5630 §5.1.1).
    """

    called: str
    caller: str
    display: str
    max_forwards: int
    asserted: str = ""
    preferred: str = ""
    privacy: frozenset[str] = frozenset()
    is_anonymous: bool = False
    diversions: tuple[Diversion, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    identity: str = ""
    screened: str = ""
    is_sips: bool = False


def parties_of(invite: Request, peer: Peer) -> Parties:
    """An asserted identity is taken from any configured peer (RFC 3325 §5: "a node that it trusts"); what PBXs say is
    screened afterwards."""
    from_ = invite.from_
    said = identity_of(invite)
    max_forwards = invite.max_forwards
    if max_forwards is None:
        max_forwards = DEFAULT_MAX_FORWARDS
    called, display = _called(invite, peer), _clean(from_.display)
    is_anonymous = _is_anonymous(from_)
    caller = ANONYMOUS if is_anonymous else number_of(from_.uri)
    secure = is_sips(invite.uri_text)
    if said is NOTHING:
        return Parties(called, caller, display, max_forwards, is_anonymous=is_anonymous, is_sips=secure)
    # "User agents MUST NOT populate any other priv-values … in a Privacy header that contains a value of 'none'", §4.2
    privacy = frozenset(("none",)) if "none" in said.privacy else said.privacy
    return Parties(
        called,
        caller,
        display,
        max_forwards,
        asserted=_best_number(said.asserted),
        preferred=_best_number(said.preferred),
        privacy=privacy,
        is_anonymous=is_anonymous or not privacy.isdisjoint(_WITHHOLDING),
        diversions=said.diversions,
        history=said.history,
        is_sips=secure,
    )


def as_it_is(number: str) -> str:
    return number


def egress_invite(
    attempt: Attempt,
    parties: Parties,
    *,
    our_host: str,
    call_id: str,
    tag: str,
    body: bytes,
    write: Callable[[str], str] = as_it_is,
    emergency: bool = False,
    content_type: str = "application/sdp",
    more: Fields = (),
) -> Request:
    """The INVITE of an attempt, without Via and Contact.

    `our_host` is how the peer knows us; it stands in From of a PBX's leg, where no domain is configured. `write` puts a
    number that the ingress peer wrote, or one in E.164, into this target's caller form. An `emergency` caller shows who
    he is, whatever he asked for. `more` follows our own fields.
    """
    target, server = attempt.target, attempt.server
    peer = target.peer
    caller = target.caller
    if emergency:
        parties = replace(parties, privacy=frozenset(), is_anonymous=False)
        caller = write(parties.caller)  # screening may have taken back what policy was told
    host = peer.domain
    port = "" if host or server.port is None else f":{server.port}"
    authority = (host or bracketed(server.host)) + port
    from_host = our_host if peer.kind == "pbx" else host or bracketed(server.host)
    scheme = "sips" if server.is_sips or (parties.is_sips and attempt.can_be_secure) else "sip"
    transport = "" if host or server.transport == "udp" or scheme == "sips" else f";transport={server.transport}"
    called = escaped(target.called)
    uri = attempt.uri or f"{scheme}:{called}@{authority}{transport}"
    from_ = _ANONYMOUS_FROM if parties.is_anonymous else _from(caller, parties.display, from_host, scheme)
    fields: list[tuple[str, str]] = [
        ("Max-Forwards", str(parties.max_forwards - 1)),
        ("From", f"{from_};tag={tag}"),
        ("To", f"<{scheme}:{called}@{authority}>"),
        ("Call-ID", call_id),
        ("CSeq", "1 INVITE"),
        allow_field(peer.methods),
    ]
    if peer.kind == "trunk":
        _vouch_to_trunk(fields, target, parties, caller, from_host, write)
    elif parties.asserted or parties.privacy:
        _vouch_to_pbx(fields, parties, from_host, write)
    if parties.diversions or parties.history or target.diverted_from:
        fields += forwarding_fields(target, parties, from_host, write)
    fields += [("Route", route) for route in attempt.routes]
    fields += more
    if body:
        fields.append(("Content-Type", content_type))
    return Request("INVITE", uri, tuple(fields), body)


def contact_user(target: Target, parties: Parties, *, emergency: bool = False) -> str:
    """The user part of our Contact on an egress leg: it must not say what From withholds (RFC 3323 §5.1). Where we have
    registered it is the registered one, by which many carriers know their customer."""
    register = target.peer.register
    if register is not None and not register.gin:
        return register.user
    if parties.is_anonymous and not emergency:
        return ANONYMOUS
    return escaped(target.caller)


def crossing_fields(invite: Request) -> Fields:
    """Where an emergency caller is (RFC 6442 §4.1, §4.2), rebuilt value by value; nothing else of an INVITE crosses."""
    fields: list[tuple[str, str]] = []
    for text in invite.values("Geolocation")[:GEOLOCATION_VALUES]:
        try:
            value = parse_name_addr(text, "Geolocation")
        except TheirFaultError:
            continue
        fields.append(("Geolocation", str(NameAddr("", value.uri, value.params))))
    routing = invite.header("Geolocation-Routing")
    if routing is not None:
        # "Implementations not aware of an extension MUST treat any other received value the same as "no"", §4.2
        fields.append(("Geolocation-Routing", "yes" if routing.strip().lower() == "yes" else "no"))
    return tuple(fields)


def connected_identity(
    message: Request | Response,
    from_: Peer,
    to: Peer,
    write: Callable[[str], str],
    *,
    known: str = "",
    our_host: str = "",
    owns: Callable[[str], bool] | None = None,
) -> Fields:
    """Who is there now, by a request or a 2xx within a dialog of `from_`, as `to` is told: P-Asserted-Identity, and
    Privacy where he withholds his number (RFC 4916 §4.3, RFC 3325 §9.1). Our From stays as the dialog began with it.

    An asserted identity is believed before From; a response's From is ours and says nothing. Empty where nothing is
    said, or nobody but `known`, the number by which `from_` called who was there; and where the `caller_id` of a PBX
    screens and `owns` does not find its number, unless `to` is that PBX itself. `write`: into the form of `to`.
    `our_host`: by which `to` knows us.
    """
    said = identity_of(message)
    from_address = message.from_ if isinstance(message, Request) else None
    number = _best_number(said.asserted) or ("" if from_address is None else number_of(from_address.uri))
    if not number or number == known:
        return ()
    host = (to.domain if to.kind == "trunk" else our_host) or to.domain or our_host
    if not host:
        host = bracketed(to.servers[0].host) if to.servers else "anonymous.invalid"
    is_anonymous = not said.privacy.isdisjoint(_WITHHOLDING) and "none" not in said.privacy
    if (from_address is not None and _is_anonymous(from_address)) or number.lower() == ANONYMOUS:
        is_anonymous = True
    display = _clean(from_address.display) if from_address is not None and not said.asserted else ""
    if said.asserted:
        display = _clean(next((address.display for address in said.asserted if address.display), ""))
    if to.kind == "pbx" and is_anonymous:
        return (("P-Asserted-Identity", _ANONYMOUS_FROM), ("Privacy", "id"))
    if from_.kind == "pbx" and from_.caller_id.mode != "pass" and from_.name != to.name:
        if from_.caller_id.mode == "fixed":
            number, display = from_.caller_id.default, ""
        elif owns is None or not owns(number):
            return ()
    if to.kind == "pbx":
        return (("P-Asserted-Identity", _named(write(number), display, host)),) if number else ()
    if not number or number.lower() == ANONYMOUS:
        return ()
    asserted = ("P-Asserted-Identity", f"<sip:{escaped(write(number))}@{host}>")
    return (asserted, ("Privacy", "id")) if is_anonymous else (asserted,)


def reason_fields(q850: int, message: Request | Response | None = None) -> Fields:
    """Why we end a leg, or refuse (RFC 3326, RFC 6432): the causes that `message` gives, of the other leg's BYE, CANCEL
    or response, and where there is no Q.850 among them the cause `q850`. Texts are ours, if any."""
    given = () if message is None else crossing_reasons(message)
    made = [] if any(value.protocol == "Q.850" for value in given) else [f"Q.850;cause={q850}"]
    return tuple([("Reason", text) for text in (*map(str, given), *made)])


def _vouch_to_trunk(
    fields: list[tuple[str, str]],
    target: Target,
    parties: Parties,
    caller: str,
    host: str,
    write: Callable[[str], str],
) -> None:
    """A trunk is inside the trust domain: it gets the identity, and is asked to keep it (RFC 3325 §7).

    The identity is a number that this trunk's customer owns: the screened caller, or who forwarded the call; what
    another trunk has asserted passes.
    """
    diverter = target.diverted_from if target.is_diverter_ours else ""
    identity = parties.identity or diverter or parties.asserted
    if identity:
        written = caller if identity == parties.caller else write(identity)
        fields.append(("P-Asserted-Identity", f"<sip:{escaped(written)}@{host}>"))
    if "none" in parties.privacy:
        fields.append(("Privacy", "none"))  # "Intermediaries MUST NOT remove or alter", RFC 3323 §4.2
    elif parties.is_anonymous:
        # The other services that Privacy can ask for, we have rendered: no header and no media address of his crosses.
        fields.append(("Privacy", "id"))


def _vouch_to_pbx(fields: list[tuple[str, str]], parties: Parties, host: str, write: Callable[[str], str]) -> None:
    """A PBX passes on to people what it is told, so it is not told what the caller withholds; but that he does."""
    hides = parties.is_anonymous
    if parties.asserted and (not hides or "none" in parties.privacy):
        number = write(parties.identity or parties.asserted)
        fields.append(("P-Asserted-Identity", _named(number, "" if hides else parties.display, host)))
    # "history" has been seen to by `forwarded` (RFC 7044 §10.1.2).
    privacy = privacy_text(parties.privacy - {"history"})
    if privacy not in ("", "critical"):
        fields.append(("Privacy", privacy))


def _from(caller: str, display: str, host: str, scheme: str) -> str:
    if not caller or caller.lower() == ANONYMOUS:
        return _ANONYMOUS_FROM
    return _named(caller, display, host, scheme)


def _named(number: str, display: str, host: str, scheme: str = "sip") -> str:
    # No `user=phone`: the user part tells, and some peers compare URIs by their text. It is understood where it comes.
    uri = f"<{scheme}:{escaped(number)}@{host}>"
    if not display:
        return uri
    quoted = display.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" {uri}'


def _called(invite: Request, peer: Peer) -> str:
    if peer.called_from == "to":
        return number_of(invite.to.uri)
    if peer.called_from == "p-called-party-id":
        value = invite.header("P-Called-Party-ID")
        if value is not None:
            try:
                return number_of(parse_name_addr(value).uri)
            except TheirFaultError:
                return ""
    return number_of(invite.uri)


def _is_anonymous(from_: NameAddr) -> bool:
    uri = from_.uri
    if isinstance(uri, SipUri):
        # RFC 3323 §4.1.1.3; other hosts of RFC 2606's "invalid" name nobody either.
        return uri.host.endswith(".invalid") or (uri.user or "").lower() == ANONYMOUS
    return False


def _best_number(addresses: tuple[NameAddr, ...]) -> str:
    """Of a SIP and a tel URI the tel: it is a telephone number for certain."""
    for kind in (TelUri, SipUri):
        for address in addresses:
            if isinstance(address.uri, kind) and not _is_anonymous(address):
                return number_of(address.uri)
    return ""


def _clean(display: str) -> str:
    """A name as it may be shown: no control characters, none that turn the writing around, not without end."""
    if display.isprintable() and len(display) <= DISPLAY_CHARACTERS:
        return display
    return _UNPRINTABLE.sub("", display)[:DISPLAY_CHARACTERS].strip()
