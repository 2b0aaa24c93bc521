"""What a strict peer would complain about in the messages that the SBC sends within a dialog.

RFC 3261 §8.1.1, §8.2.6.2, §12.2, §13.3.1.4; RFC 3262 §3 and §4; RFC 3311 §5; RFC 3515 §2.2; RFC 6665 §8.1. Returns
sentences; tests demand that there are none. Session descriptions are judged by `inspect_sdp`.
"""

from typing import Final

from sbc.sip.message import Request, Response
from sbc.testing.party import Party
from sbc.testing.script import Script

_TARGETED: Final = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "REFER", "NOTIFY"})  # requests that name a Contact
_TARGETED_2XX: Final = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "REFER"})


def complaints_about(
    message: Request | Response, party: Party, script: Script, request: Request | None = None
) -> list[str]:
    """`request`: ours, that this is the response to."""
    if isinstance(message, Request):
        return [f"{message.method}: {text}" for text in _about_request(message, party, script)]
    found = _about_response(message, party, script, request)
    return [f"{message.status} ({message.cseq.method}): {text}" for text in found]


def _about_request(request: Request, party: Party, script: Script) -> list[str]:
    found = []
    hops = request.max_forwards
    if hops is None or not 0 < hops <= 70:
        found.append(f"Max-Forwards is {hops}")
    if request.from_.tag is None:
        found.append("From without tag")
    if request.method in _TARGETED and len(request.headers("Contact")) != 1:
        found.append("not exactly one Contact")
    if request.body and request.content_type is None:
        found.append("body without Content-Type")
    if request.to.tag is None:
        return found
    if request.from_.tag != party.remote_tag and party.answered_at is not None:
        found.append(f"From tag {request.from_.tag}, not {party.remote_tag}")
    strange = [tag for tag in request.require if tag not in script.supports]
    if strange:
        found.append(f"Require: {', '.join(strange)}, which we do not support")
    return found + _about_order(request, party, script)


def _about_order(request: Request, party: Party, script: Script) -> list[str]:
    number = request.cseq.number
    if request.method == "ACK":
        if party.invite is not None and number > party.invite.cseq.number:
            return [f"CSeq {number}, but the INVITE had {party.invite.cseq.number}"]
    elif number <= party.remote_seq and script.in_order:
        return [f"CSeq {number} after {party.remote_seq}"]
    return []


def _about_response(response: Response, party: Party, script: Script, request: Request | None) -> list[str]:
    found = []
    method, status = response.cseq.method, response.status
    is_2xx = 200 <= status < 300
    if status > 100 and response.to.tag is None:
        found.append("To without tag")
    early = party.remote_tag
    is_other = method == "INVITE" and 100 < status < 300 and early is not None and response.to.tag != early
    if is_other and not script.sees_forks:
        found.append(f"To tag {response.to.tag} after {early}: a fork shows")
    if is_2xx and method in _TARGETED_2XX and not response.headers("Contact"):
        found.append("2xx without Contact")
    if response.body and response.content_type is None:
        found.append("body without Content-Type")
    if request is not None:
        found += _about_extensions(response, request)
    return found


def _about_extensions(response: Response, request: Request) -> list[str]:
    """ "… that the server requires the client to understand" may only be what the request supported, §8.2.4."""
    found = []
    known = {*request.supported, *request.require}
    strange = [tag for tag in response.require if tag not in known]
    if strange and response.status != 421:
        found.append(f"Require: {', '.join(strange)}, which our {request.method} did not name")
    if not 100 < response.status < 200:
        return found
    has_rseq, is_reliable = response.header("RSeq") is not None, "100rel" in response.require
    if has_rseq != is_reliable:
        found.append("RSeq without Require: 100rel" if has_rseq else "Require: 100rel without RSeq")
    if is_reliable and not response.headers("Contact"):
        found.append("a reliable provisional without Contact")
    return found
