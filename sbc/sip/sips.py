"""What a SIPS URI asks of a request and of its answers (RFC 5630, RFC 3261 §8.1.1.8, §12.1.1, §26.2.2). Pure.

Used by the endpoint for Contact, and by the calls for what may go where.
"""

from typing import Final

from msgspec.structs import replace

from sbc.sip.message import Fields, Request
from sbc.sip.nameaddr import NameAddr, parse_name_addr
from sbc.sip.uri import SipUri

_SIPS: Final = "sips:"
NOT_ALLOWED: Final = (380, "SIPS Not Allowed")


def is_sips(uri: str) -> bool:
    return uri[:5].lower() == _SIPS


def asks_for_sips(request: Request) -> bool:
    """ "If the Request-URI or top Route header field value contains a SIPS URI, the Contact header field MUST contain a
    SIPS URI as well", RFC 3261 §8.1.1.8.
    """
    if is_sips(request.uri_text):
        return True
    routes = request.routes
    return bool(routes) and _names_sips(routes[0])


def wants_sips_back(request: Request) -> bool:
    """ "If the request that initiated the dialog contained a SIPS URI in the Request-URI or in the top Record-Route
    header field value, if there was any, or the Contact header field if there was no Record-Route header field, the
    Contact header field in the response MUST be a SIPS URI", RFC 3261 §12.1.1.
    """
    if is_sips(request.uri_text):
        return True
    recorded = request.record_routes
    if recorded:
        return _names_sips(recorded[0])
    contacts = request.contacts
    return isinstance(contacts, tuple) and bool(contacts) and _names_sips(contacts[0])


def secured_route(value: str) -> str:
    """A value of Route in a request to a SIPS URI: "if the route set included any SIP URI, the UAC MUST change the SIP
    URIs to SIPS URIs simply by changing the scheme", RFC 5630 §5.1.1.
    """
    route = parse_name_addr(value, "Route")
    if not isinstance(route.uri, SipUri) or route.uri.scheme == "sips":
        return value
    return str(replace(route, uri=replace(route.uri, scheme="sips")))


def is_contradictory(request: Request) -> bool:
    """ "If a UAS needs to reject a request because the URIs are used inconsistently (e.g., the Request-URI is a SIPS
    URI, but the Contact header field is a SIP URI), the UAS MUST reject the request with a 400", RFC 5630 §5.1.2.
    """
    if not is_sips(request.uri_text):
        return False
    contacts = request.contacts
    if not isinstance(contacts, tuple):
        return False
    return any(isinstance(one.uri, SipUri) and one.uri.scheme == "sip" for one in contacts)


def warning(text: tuple[int, str], agent: str) -> Fields:
    """`agent`: our name, as peers know it (RFC 3261 §20.43)."""
    code, words = text
    return (("Warning", f'{code} {agent} "{words}"'),)


def _names_sips(value: NameAddr) -> bool:
    return isinstance(value.uri, SipUri) and value.uri.scheme == "sips"
