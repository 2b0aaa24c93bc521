"""Header names: one spelling for each, compact forms expanded (RFC 3261 §7.3.3, §20).

Names are case-insensitive on the wire; inside they are compared as they are, because every one is canonical.
"""

from functools import lru_cache
from typing import Final

from sbc.sip.errors import ParseError
from sbc.sip.scan import is_token

_NAMES: Final = (
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Allow-Events",
    "Authentication-Info", "Authorization", "Call-ID", "Call-Info", "Contact", "Content-Disposition",
    "Content-Encoding", "Content-ID", "Content-Language", "Content-Length", "Content-Type", "CSeq", "Date",
    "Diversion", "Error-Info", "Event", "Expires", "From", "Geolocation", "History-Info", "Identity", "In-Reply-To",
    "Join", "Max-Forwards", "MIME-Version", "Min-Expires", "Min-SE", "Organization", "P-Access-Network-Info",
    "P-Asserted-Identity", "P-Asserted-Service", "P-Called-Party-ID", "P-Charging-Vector", "P-Early-Media",
    "P-Preferred-Identity", "Path", "Priority", "Privacy", "Proxy-Authenticate", "Proxy-Authorization",
    "Proxy-Require", "RAck", "Reason", "Record-Route", "Refer-Sub", "Refer-To", "Referred-By", "Reject-Contact",
    "Replaces", "Reply-To", "Request-Disposition", "Require", "Retry-After", "Route", "RSeq", "Security-Client",
    "Server", "Service-Route", "Session-Expires", "Session-ID", "SIP-ETag", "SIP-If-Match", "Subject",
    "Subscription-State", "Supported", "Target-Dialog", "Timestamp", "To", "Unsupported", "User-Agent",
    "User-to-User", "Via", "Warning", "WWW-Authenticate",
)  # fmt: skip
_COMPACT: Final = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition", "e": "Content-Encoding",
    "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported", "l": "Content-Length", "m": "Contact",
    "n": "Identity-Info", "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via",
    "x": "Session-Expires", "y": "Identity",
}  # fmt: skip
_LONGEST: Final = 256  # characters of a name; they are remembered, so that they must not be long
_BY_LOWER: Final = {name.lower(): name for name in _NAMES} | _COMPACT
# As most peers spell them: found without lowering.
KNOWN: Final = {name: name for name in _NAMES} | _COMPACT | {key.upper(): name for key, name in _COMPACT.items()}


@lru_cache(maxsize=1024)
def canonical_name(name: str) -> str:
    """Unknown names get a capital after each dash. Raises ParseError for what is no token."""
    name = name.rstrip(" \t")
    known = _BY_LOWER.get(name.lower())
    if known is not None:
        return known
    if len(name) > _LONGEST or not is_token(name):
        raise ParseError("Malformed Header Name")
    return "-".join([part[:1].upper() + part[1:].lower() for part in name.split("-")])
