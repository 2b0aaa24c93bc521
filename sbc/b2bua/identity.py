"""Who calls whom: read from the INVITE of an ingress leg, written into the INVITE of an egress leg.

Messages are built here, never forwarded: nothing of the ingress INVITE crosses but the numbers, the caller's display
name and Max-Forwards (RFC 3261 §8.1.1, RFC 7332). Numbers in a peer's form come from policy.
"""

from typing import Final
from urllib.parse import quote

from msgspec import Struct

from sbc.b2bua.hunt import Attempt
from sbc.core.address import bracketed
from sbc.core.errors import TheirFaultError
from sbc.policy.model import Peer
from sbc.sip.checks import ALLOW
from sbc.sip.message import Fields, Request
from sbc.sip.nameaddr import parse_name_addr
from sbc.sip.uri import SipUri, TelUri

DEFAULT_MAX_FORWARDS: Final = 70  # RFC 3261 §8.1.1.6; also for peers that send none
# RFC 3261 §25.1 unreserved and user-unreserved; ";" is escaped, because it misleads.
_USER_SAFE: Final = "-_.!~*'()&=+$,/?"
ANONYMOUS: Final = "anonymous"


class Parties(Struct, frozen=True):
    """What an INVITE says of its two ends. `called`, `caller`: user parts without parameters, escapes resolved."""

    called: str
    caller: str
    display: str
    max_forwards: int


def parties_of(invite: Request, peer: Peer) -> Parties:
    max_forwards = invite.max_forwards
    return Parties(
        called=_called(invite, peer),
        caller=_user(invite.from_.uri),
        display=invite.from_.display,
        max_forwards=DEFAULT_MAX_FORWARDS if max_forwards is None else max_forwards,
    )


def egress_invite(attempt: Attempt, parties: Parties, *, our_host: str, call_id: str, tag: str, body: bytes) -> Request:
    """The INVITE of an attempt, without Via and Contact.

    `our_host` is how the peer knows us; it stands in From of a PBX's leg, where no domain is configured.
    """
    target, server = attempt.target, attempt.server
    host = target.peer.domain
    port = "" if host or server.port is None else f":{server.port}"
    authority = (host or bracketed(server.host)) + port
    from_host = our_host if target.peer.kind == "pbx" else host or bracketed(server.host)
    transport = "" if host or server.transport == "udp" else f";transport={server.transport}"
    called = escaped(target.called)
    fields: list[tuple[str, str]] = [
        ("Max-Forwards", str(parties.max_forwards - 1)),
        ("From", f"{_from(target.caller, parties.display, from_host)};tag={tag}"),
        ("To", f"<sip:{called}@{authority}>"),
        ("Call-ID", call_id),
        ("CSeq", "1 INVITE"),
        ALLOW,
    ]
    if body:
        fields.append(("Content-Type", "application/sdp"))
    return Request("INVITE", f"sip:{called}@{authority}{transport}", tuple(fields), body)


def escaped(user: str) -> str:
    return user if user.isalnum() and user.isascii() else quote(user, safe=_USER_SAFE)


def reason_fields(q850: int) -> Fields:
    """Why we end a leg, in the words of RFC 3326."""
    return (("Reason", f"Q.850;cause={q850}"),)


def _from(caller: str, display: str, host: str) -> str:
    if not caller or caller.lower() == ANONYMOUS:
        return '"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3323 §4.1.1.3
    uri = f"<sip:{escaped(caller)}@{host}>"
    if not display:
        return uri
    quoted = display.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" {uri}'


def _called(invite: Request, peer: Peer) -> str:
    if peer.called_from == "to":
        return _user(invite.to.uri)
    if peer.called_from == "p-called-party-id":
        value = invite.header("P-Called-Party-ID")
        if value is not None:
            try:
                return _user(parse_name_addr(value).uri)
            except TheirFaultError:
                return ""
    return _user(invite.uri)


def _user(uri: object) -> str:
    if isinstance(uri, SipUri):
        return uri.user_text.partition(";")[0]
    if isinstance(uri, TelUri):
        return uri.number
    return ""
