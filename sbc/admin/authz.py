"""Who may use the admin API: which door a request came through, the token, and where the web page is from that sent it.

A Unix socket is guarded by its permissions. Without a token only loopback is served, under names that no web page can
take. Pure; used by `runtime.http`, before anything else looks at a request.
"""

import hmac
import ipaddress
from typing import Final, Literal

from msgspec import Struct

from sbc.admin.address import TcpAddress, parse_admin_address
from sbc.admin.exchange import Reply, problem
from sbc.core.errors import OperatorError

# A Unix socket; a TCP address that only this machine reaches; any other.
Door = Literal["unix", "loopback", "network"]

_CHALLENGE: Final = 'Bearer realm="sbc"'
_OWN_SITE: Final = frozenset({"same-origin", "none"})  # none: the person at the browser asked, and no page


class Caller(Struct, frozen=True):
    """What a request says of who sends it: header fields as they came, "" for one that is missing."""

    host: str = ""
    authorization: str = ""
    origin: str = ""
    fetch_site: str = ""  # Sec-Fetch-Site, which only browsers send, and pages cannot change
    fetch_dest: str = ""  # Sec-Fetch-Dest: what for


def refusal(door: Door, token: str | None, caller: Caller, *, is_open: bool, is_order: bool) -> Reply | None:
    """None: go on. `is_open`: no token is asked for. `is_order`: it changes something, or holds what others need."""
    if door == "loopback" and token is None and not _is_own_host(caller.host):
        return problem(421, "ask by a loopback address or as localhost")
    if door != "unix" and not is_open:
        if token is not None and not is_right(caller.authorization, token):
            return _unauthorized(caller)
        if token is None and door == "network":
            return problem(403, "the policy has no admin_token any more, so nobody is served at this address")
    if is_order and _is_from_elsewhere(caller):
        return problem(403, "a web page of another origin may not give orders")
    if not is_open and _is_for_another_page(caller):
        return problem(403, "a web page of another origin may link to this, and no more")
    return None


def is_right(authorization: str, token: str) -> bool:
    """Compared in constant time. The field is Latin-1 as HTTP has it, so that its octets are those that were sent."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())


def _unauthorized(caller: Caller) -> Reply:
    """RFC 6750 §3: what is wrong is said only to who has tried."""
    if not caller.authorization:
        return problem(401, "a token is needed: Authorization: Bearer TOKEN", (("WWW-Authenticate", _CHALLENGE),))
    challenge = f'{_CHALLENGE}, error="invalid_token"'
    return problem(401, "this is not the token of the policy in force", (("WWW-Authenticate", challenge),))


def _is_from_elsewhere(caller: Caller) -> bool:
    """A web page that the operator looks at may send to a loopback address without asking.

    Browsers say where it is from: to what they trust by Sec-Fetch-Site, and else by Origin (RFC 6454 §7.3), which is
    the API's own where it has our Host, also behind a proxy that speaks TLS.
    """
    if caller.fetch_site:
        return caller.fetch_site.lower() not in _OWN_SITE
    scheme, _, authority = caller.origin.partition("://")
    return caller.origin != "" and (scheme not in {"http", "https"} or authority.lower() != caller.host.lower())


def _is_for_another_page(caller: Caller) -> bool:
    """It could not read the answer, but could keep us busy with questions."""
    site, dest = caller.fetch_site.lower(), caller.fetch_dest.lower()
    return site not in {"", *_OWN_SITE} and dest not in {"", "document"}


def _is_own_host(host: str) -> bool:
    """A web page that points its own name at 127.0.0.1 (DNS rebinding) must not reach the API from a browser."""
    if not host:
        return True
    try:
        name = parse_admin_address(host if host.rpartition("]")[2].count(":") else f"{host}:80")
    except OperatorError:
        return False
    return isinstance(name, TcpAddress) and (name.host == "localhost" or _is_literal(name.host))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
