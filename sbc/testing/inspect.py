"""What a strict peer would complain about in what the SBC sends: within a dialog, and in its session descriptions.

RFC 3261 §8.1.1, §8.2.6.2, §12.2, §13.3.1.4; RFC 3264 §8. Returns sentences; tests demand that there are none.
"""

from sbc.sdp import Session, same_except_origin
from sbc.sip.message import Request, Response
from sbc.testing.party import Party


def complaints_about(message: Request | Response, party: Party) -> list[str]:
    if isinstance(message, Request):
        found = _about_request(message, party)
        return [f"{message.method}: {text}" for text in found]
    return [f"{message.status} ({message.cseq.method}): {text}" for text in _about_response(message, party)]


def complaints_about_sdp(before: Session | None, after: Session) -> list[str]:
    """ "If the version in the origin line does not increment, the SDP MUST be identical", RFC 3264 §8."""
    if before is None:
        return []
    old, new = before.origin.split(), after.origin.split()
    if (old[0], old[1]) != (new[0], new[1]):
        return [f"o= changed its session: {before.origin} then {after.origin}"]
    steps = int(new[2]) - int(old[2])
    wanted = 0 if same_except_origin(before, after) else 1
    if steps != wanted:
        return [f"o= version went up by {steps}, not {wanted}: {before.origin} then {after.origin}"]
    return []


def _about_request(request: Request, party: Party) -> list[str]:
    found = []
    hops = request.max_forwards
    if hops is None or not 0 < hops <= 70:
        found.append(f"Max-Forwards is {hops}")
    if request.from_.tag is None:
        found.append("From without tag")
    if request.method == "INVITE" and len(request.headers("Contact")) != 1:
        found.append("not exactly one Contact")
    if request.body and request.content_type is None:
        found.append("body without Content-Type")
    if request.to.tag is None:
        return found
    if request.from_.tag != party.remote_tag and party.answered_at is not None:
        found.append(f"From tag {request.from_.tag}, not {party.remote_tag}")
    number = request.cseq.number
    if request.method == "ACK":
        if party.invite is not None and number > party.invite.cseq.number:
            found.append(f"CSeq {number}, but the INVITE had {party.invite.cseq.number}")
    elif number <= party.remote_seq:
        found.append(f"CSeq {number} after {party.remote_seq}")
    return found


def _about_response(response: Response, party: Party) -> list[str]:
    found = []
    if response.status > 100 and response.to.tag is None:
        found.append("To without tag")
    early = party.remote_tag
    if response.status > 100 and early is not None and response.to.tag != early and response.status < 300:
        found.append(f"To tag {response.to.tag} after {early}: a fork shows")
    if 200 <= response.status < 300 and response.cseq.method == "INVITE" and not response.headers("Contact"):
        found.append("2xx without Contact")
    if response.body and response.content_type is None:
        found.append("body without Content-Type")
    return found
