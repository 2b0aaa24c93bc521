"""Places that nobody may make us send to: ours, everybody's, nobody's. The one judge of them, for media, for Contact
and Route, and for what names resolve to.

Hosts are judged in one canonical form, whatever a peer writes: IPv4 in IPv6, and the old spellings that inet_aton(3)
takes (`0x7f.1`, `017700000001`, `2130706433`), which we take for addresses nowhere else. A name is judged when it has
been resolved. Loopback is for who is on loopback with us: whole installations run on 127/8. Link-local addresses and
scopes mean nothing beyond one link, unless it is that of the interface.
Used by `sdp.hostile`, the endpoint, the registrar and the door.
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final

from sbc.core import limits
from sbc.core.address import canonical_ip

_LONGEST: Final = 64  # characters of an address in any spelling
_NUMBERS: Final = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)(?:\.(?:0[xX][0-9a-fA-F]*|[0-9]+)){0,3}\.?")
_LOOPBACK: Final = "loopback"
_LINK_LOCAL: Final = "link-local"


def address_of(host: str) -> str | None:
    """The canonical literal that this host is, however it is spelt; None: it is a name."""
    if len(host) > _LONGEST:
        return None
    literal = canonical_ip(host)
    if literal is None:
        return _spelt_otherwise(host)
    return _embedded(literal) if ":" in literal else literal


@lru_cache(maxsize=limits.REMEMBERED_TEXTS)
def fault_of(host: str, local: str) -> str | None:
    """Why nothing is sent to this address (canonical) from `local`, one of ours; None: it may be. Remembered, because
    the same few are asked about with every message.
    """
    fault = _fault(host)
    if fault is None or fault not in (_LOOPBACK, _LINK_LOCAL):
        return fault
    return None if _fault(local) == fault else fault


def fault_of_host(host: str, local: str) -> str | None:
    """The same of what a peer writes. A name is none, but for those of loopback (RFC 6761 §6.3)."""
    literal = address_of(host)
    if literal is not None:
        return fault_of(literal, local)
    name = host.lower().rstrip(".")
    is_loopback = name == "localhost" or name.endswith(".localhost")
    return _LOOPBACK if is_loopback and _fault(local) != _LOOPBACK else None


@lru_cache(maxsize=limits.REMEMBERED_TEXTS)
def _fault(host: str) -> str | None:
    """Of a canonical literal."""
    address = ipaddress.ip_address(host)
    if "%" in host:
        return "bound to a scope"  # the peer's interface names mean nothing here
    if address.is_multicast:
        return "multicast"
    if address.is_loopback:
        return _LOOPBACK
    if address.is_link_local:
        return _LINK_LOCAL
    if isinstance(address, ipaddress.IPv6Address):
        return "unspecified" if address.is_unspecified else None
    if address.packed[0] == 0:
        return "unspecified"
    return "broadcast or reserved" if address.packed[0] >= 240 else None


def _spelt_otherwise(host: str) -> str | None:
    """inet_aton(3): one to four numbers, decimal, octal or hexadecimal, the last one filling what is left."""
    if _NUMBERS.fullmatch(host) is None:
        return None
    parts = [_number(part) for part in host.rstrip(".").split(".")]
    *firsts, last = parts
    if any(part > 255 for part in firsts) or last >= 1 << (8 * (4 - len(firsts))):
        return None
    value = last
    for place, part in enumerate(firsts):
        value |= part << (8 * (3 - place))
    return str(ipaddress.IPv4Address(value))


def _number(text: str) -> int:
    if text[:2].lower() == "0x":
        return int(text[2:] or "0", 16)
    is_octal = text[0] == "0" and text.isdigit() and not set(text) & {"8", "9"}
    return int(text, 8) if is_octal else int(text)


def _embedded(literal: str) -> str:
    """IPv4 that an IPv6 address stands for: compatible (RFC 4291 §2.5.5.1) and NAT64's (RFC 6052 §2.1) of places that
    are hostile; others stay what they are."""
    if "%" in literal:
        return literal
    address = ipaddress.IPv6Address(literal)
    number = int(address)
    is_compatible = number >> 32 == 0 and number > 1
    is_nat64 = number >> 32 == 0x0064FF9B << 64
    if not (is_compatible or is_nat64):
        return literal
    inner = str(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    return inner if _fault(inner) is not None else literal
