"""Whether a text names hosts or addresses of the side that it comes from (RFC 5853 §3.1, topology hiding).

Addresses are found by their form, whoever they belong to; names are those that a message itself gives to its side (Via,
Contact, From, Call-ID …) and those that policy knows it by. A name is found anywhere, also within a longer one. Linear
in the length. It changes nothing; used by `headers` and `bodies` for what is about to cross.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from sbc.core.address import canonical_ip
from sbc.core.limits import NAMES_PER_MESSAGE
from sbc.policy.model import Peer
from sbc.sip.message import Request, Response

_HEXTETS: Final = r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,7}"
ADDRESS: Final = re.compile(
    rf"\d{{1,3}}(?:\.\d{{1,3}}){{3}}|\[[0-9A-Fa-f:.]{{2,45}}\]|(?:{_HEXTETS})?::(?:{_HEXTETS})?"
    r"|(?:[0-9A-Fa-f]{1,4}:){3,7}[0-9A-Fa-f]{0,4}"
)
"""IPv4 and IPv6 literals, and what looks like one (a MAC address)."""
# Names that are private by their ending: RFC 6762, RFC 8375, RFC 9476.
PRIVATE_NAME: Final = re.compile(
    r"(?:[\w\-]{1,63}\.){1,8}(?:local|localdomain|internal|intranet|private|corp|home|lan|alt|home\.arpa)(?!\.?[\w\-])",
    re.IGNORECASE | re.ASCII,
)
_LITERAL: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|::|(?:[0-9A-Fa-f]{1,4}:){3}")
_PRIVATE_END: Final = re.compile(
    r"\.(?:local|localdomain|internal|intranet|private|corp|home|lan|alt|home\.arpa)(?!\.?[\w\-])",
    re.IGNORECASE | re.ASCII,
)
# Where a message names its own side.
_NAMING: Final = frozenset((
    "Via", "Contact", "From", "Call-ID", "Record-Route", "Route", "Path", "Service-Route", "To", "Reply-To",
    "P-Asserted-Identity", "P-Preferred-Identity", "Diversion", "History-Info", "Referred-By", "Refer-To",
))  # fmt: skip
_HOST: Final = re.compile(
    r"@\[?([\w.\-]++)|\bsips?:([\w.\-]++)(?![@\w.\-])|\bSIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*\w++[ \t]++([\w.\-]++)"
    r"|;[ \t]*(?:received|maddr)[ \t]*=[ \t]*([\w.\-]++)",
    re.IGNORECASE | re.ASCII,
)
_SHORTEST: Final = 3  # a name of one or two letters would be found in every other text
_NOBODY: Final = (".invalid",)  # RFC 2606: names nobody


def names_of(peer: Peer) -> frozenset[str]:
    """By which policy knows a peer."""
    names = [server.host for server in peer.servers]
    names += [peer.domain or "", peer.register.host if peer.register is not None else ""]
    return _with_domains(names)


def names_in(message: Request | Response) -> frozenset[str]:
    """By which a message calls the side that it comes from, ours included as that side knows us."""
    texts = [value for name, value in message.fields if name in _NAMING]
    if isinstance(message, Request):
        texts.append(message.uri_text)
    found = [name for text in texts for groups in _HOST.findall(text) for name in groups if name]
    return _with_domains(dict.fromkeys(found[:NAMES_PER_MESSAGE]))


def reveals(text: str, names: Iterable[str]) -> bool:
    """`names` in lower case. Escapes do not hide anything."""
    if _is_telling(text, names):
        return True
    if "%" in text and _is_telling(unquote(text), names):
        return True
    return "\\" in text and _is_telling(text.replace("\\", ""), names)


def _is_telling(text: str, names: Iterable[str]) -> bool:
    if _LITERAL.search(text) is not None or _PRIVATE_END.search(text) is not None:
        return True
    lowered = text.lower()
    return any(name in lowered for name in names)


def _with_domains(names: Iterable[str]) -> frozenset[str]:
    """Names in lower case without IP literals, which are found by their form; and the domain that a host is in, so that
    its neighbours are found too."""
    found: set[str] = set()
    for name in names:
        host = name.strip(".").lower()
        if len(host) < _SHORTEST or host.endswith(_NOBODY) or canonical_ip(host) is not None or host.isdecimal():
            continue
        found.add(host)
        domain = host.partition(".")[2]
        if "." in domain:
            found.add(domain)
    return frozenset(found)
