"""The OPTIONS that asks one address of a server whether it is there (RFC 3261 §11), and what its answer asks for.

It names nobody: neither a number nor a user of ours is in it. Used by `health` for probes and pings.
"""

from typing import Final

from sbc.core.address import bracketed
from sbc.core.ids import IdSource
from sbc.peering.hop import Hop
from sbc.policy.model import Peer
from sbc.sip.commands import SendRequest
from sbc.sip.message import Request, Response

_LARGEST_DIGITS: Final = 9


def options_to(peer: Peer, hop: Hop, number: int, ids: IdSource) -> SendRequest:
    """Answered to the user ("health", name of the peer, `number`)."""
    server = hop.server
    port = "" if server.port is None else f":{server.port}"
    host = peer.domain or bracketed(server.host) + port
    fields = (
        ("Max-Forwards", "70"),
        ("From", f"<sip:{host}>;tag={ids.tag()}"),
        ("To", f"<sip:{host}>"),
        ("Call-ID", ids.call_id()),
        ("CSeq", "1 OPTIONS"),
        ("Accept", "application/sdp"),
    )
    request = Request("OPTIONS", f"sip:{host}", fields)
    user = ("health", peer.name, number)
    return SendRequest(user, request, hop.flow.interface, hop.uri, contact="", flow=hop.flow)


def retry_after(response: Response) -> float | None:
    """Seconds (§20.33); None where there is no such field, or nothing that can be read in it."""
    digits = (response.header("Retry-After") or "").partition(";")[0].partition("(")[0].strip()
    if not (digits.isascii() and digits.isdigit()):
        return None
    return float(digits[:_LARGEST_DIGITS]) if len(digits) <= _LARGEST_DIGITS else float(10**_LARGEST_DIGITS)
