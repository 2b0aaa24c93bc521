"""The REGISTER that goes to a carrier, and what an answer to it means (RFC 3261 §10.2, RFC 6140 §5.1, RFC 3327 §5.1).

Pure: values in, values out. When to send, where to and what then is decided in `registration`, its only user.
"""

from typing import Final

from sbc.core.address import bracketed
from sbc.policy.model import Register
from sbc.sip.errors import ParseError
from sbc.sip.message import Fields, Request, Response
from sbc.sip.nameaddr import NameAddr, Star
from sbc.sip.params import param
from sbc.sip.uri import SipUri

LONGEST_EXPIRES: Final = 86_400  # seconds; what a registrar demands or grants beyond a day is not taken for serious
LONGEST_RETRY_AFTER: Final = 600.0  # seconds; our own back-off would be there by then
_SHORTEST_EXPIRES: Final = 2  # seconds; what is granted for less has lapsed before it can be refreshed
_REASON_CHARACTERS: Final = 60  # of a peer's reason phrase in our log

# Refusals that the same request would get again: it is about the account, or about us. Everything else is temporary,
# 6xx too but for 604: "A registrar MUST not generate 6xx responses" (RFC 3261 §10.3), so it was somebody on the way.
_PERMANENT: Final = frozenset((
    400, 402, 403, 404, 405, 406, 410, 413, 414, 415, 416, 420, 421, 423, 428, 436, 437, 438, 439, 494, 501, 505, 513,
    604,
))  # fmt: skip


def register_request(register: Register, call_id: str, cseq: int, tag: str, expires: int) -> Request:
    """As `SendRequest` wants it: neither Via nor Contact. `tag`: ours, in From."""
    # "The Request-URI names the domain of the location service for which the registration is meant … The "userinfo"
    # and "@" components of the SIP URI MUST NOT be present", RFC 3261 §10.2
    host = bracketed(register.host)
    # "If all the Contact header fields in a REGISTER request are SIPS, the UAC MUST use SIPS AORs in the From and To",
    # RFC 5630 §5.1.1.1; the endpoint makes the Contact of the Request-URI's scheme.
    scheme = "sips" if register.is_sips else "sip"
    aor = f"<{scheme}:{register.user}@{host}>" if register.user else f"<{scheme}:{host}>"
    fields: Fields = (
        ("Max-Forwards", "70"),
        ("From", f"{aor};tag={tag}"),
        ("To", aor),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} REGISTER"),
        ("Expires", str(expires)),
        # "The UA SHOULD include the option tag "path" … in all Supported header fields", RFC 3327 §5.1;
        # with gin it "MUST include" it, RFC 6140 §5.1
        ("Supported", "path"),
    )
    if register.gin:
        # "it MUST contain an option tag of "gin" in both a "Require" header field and a "Proxy-Require" header field"
        fields = (*fields, ("Require", "gin"), ("Proxy-Require", "gin"))
    return Request("REGISTER", f"{scheme}:{host}", fields)


def with_cseq(request: Request, cseq: int) -> Request:
    """One number for each request, also where two registrars are asked at the same time (RFC 3261 §10.2, CSeq)."""
    fields = tuple([(name, f"{cseq} REGISTER" if name == "CSeq" else value) for name, value in request.fields])
    return Request(request.method, request.uri_text, fields, request.body)


def granted(response: Response, sent: Request, asked: int) -> int | str:
    """Seconds that a 2xx gives our Contact, or why it is worth nothing. `sent`: the REGISTER with its Contact."""
    ours = _contact_of(sent)
    if ours is None:
        return "our REGISTER went out without a Contact"
    try:
        listed = response.contacts
    except ParseError:
        return f"{response.status} with a Contact that cannot be read"
    bindings = () if isinstance(listed, Star) else listed
    mine = [binding for binding in bindings if isinstance(binding.uri, SipUri) and _is_same(binding.uri, ours)]
    if not mine:
        others = f", only {len(bindings)} of others" if bindings else ""
        return f"{response.status} without our Contact{others}"
    seconds = min(_expires_of(mine[0], response, asked), LONGEST_EXPIRES)
    if seconds < _SHORTEST_EXPIRES:
        return f"{response.status} that grants {seconds} s"
    return seconds


def demanded(response: Response) -> int | None:
    """Seconds in a 423's Min-Expires (RFC 3261 §10.2.8); None: not there, no number, or more than a day."""
    seconds = _number(response.header("Min-Expires"))
    return seconds if seconds is not None and seconds <= LONGEST_EXPIRES else None


def retry_after(response: Response) -> float:
    """Seconds, bounded; 0 where the registrar does not say (RFC 3261 §20.33)."""
    value = response.header("Retry-After") or ""
    seconds = _number(value.partition(";")[0].partition("(")[0].strip(" \t"))
    return 0.0 if seconds is None else min(float(seconds), LONGEST_RETRY_AFTER)


def is_permanent(status: int) -> bool:
    """Whether the refusal looks as if it stays: the trunk is of no use until somebody changes something."""
    # Deviation: RFC 3261 §8.1.3.4 has redirections followed. A registrar could send our credentials anywhere: where it
    # redirects to has to stand in `servers`.
    return status in _PERMANENT or 300 <= status < 400


def described(response: Response) -> str:
    """Status and phrase, for people."""
    return f"{response.status} {response.reason[:_REASON_CHARACTERS]}".rstrip()


def _contact_of(request: Request) -> SipUri | None:
    contacts = request.contacts
    if isinstance(contacts, Star) or not contacts:
        return None
    uri = contacts[0].uri
    return uri if isinstance(uri, SipUri) else None


def _is_same(one: SipUri, ours: SipUri) -> bool:
    # Interop: registrars add and drop URI parameters (transport, bnc, ob), so that the comparison of RFC 3261 §19.1.4
    # would miss our own. User, host and port are enough to tell us from others.
    return (one.user_text, one.host, _port(one)) == (ours.user_text, ours.host, _port(ours))


def _port(uri: SipUri) -> int:
    return uri.port or (5061 if uri.transport == "tls" or uri.scheme == "sips" else 5060)


def _expires_of(binding: NameAddr, response: Response, asked: int) -> int:
    """ "according to the expires parameter or, if absent, the Expires field value", RFC 3261 §10.2.4."""
    seconds = _number(param(binding.params, "expires"))
    if seconds is None:
        seconds = response.expires
    return asked if seconds is None else seconds


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= 10 else 2**32 - 1
