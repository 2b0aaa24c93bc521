"""In which order addresses are tried: SRV by priority and weight (RFC 2782), IPv6 and IPv4 (RFC 6724 §2.1, §6).

Pure; chance comes in as an `IdSource`. Used by the procedure and the locator of this package.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final

from sbc.core.ids import IdSource
from sbc.sip.events import SrvRecord

# RFC 6724 §2.1, the default policy table: prefix, precedence, label; longest prefix first.
_POLICIES: Final = tuple(
    (ipaddress.IPv6Network(prefix), precedence, label)
    for prefix, precedence, label in (
        ("::1/128", 50, 0),
        ("::/96", 1, 3),
        ("2001::/32", 5, 5),
        ("2002::/16", 30, 2),
        ("3ffe::/16", 1, 12),
        ("fec0::/10", 1, 11),
        ("fc00::/7", 3, 13),
        ("::/0", 40, 1),
    )
)
_IPV4: Final = (35, 4)  # of ::ffff:0:0/96, as which the table knows IPv4


def by_priority(records: Sequence[SrvRecord]) -> tuple[tuple[SrvRecord, ...], ...]:
    """Groups of one priority each, the lowest number first: a client MUST try it first (RFC 2782)."""
    ordered = sorted(records, key=lambda record: record.priority)
    return tuple(tuple(group) for _, group in groupby(ordered, key=lambda record: record.priority))


def drawn(weights: Sequence[int], ids: IdSource) -> list[int]:
    """The places of `weights` in an order drawn by weight, as RFC 2782 has it; a weight of 0 is hardly ever first."""
    places = sorted(range(len(weights)), key=lambda place: weights[place] > 0)  # "weight 0 … at the beginning"
    order = []
    while len(places) > 1:
        order.append(places.pop(_draw([weights[place] for place in places], ids)))
    return order + places


def _draw(weights: list[int], ids: IdSource) -> int:
    zeros = weights.count(0)
    total = sum(weights)
    # Deviation: RFC 2782 draws from 0 also where no weight is 0, so that of two with weight 1 the first would come
    # twice as often as the second; and it lets the arrangement of those with weight 0 be any: we draw that, too.
    point = ids.number(total + 1) if zeros else 1 + ids.number(total)
    if point == 0:
        return ids.number(zeros)
    for place, weight in enumerate(weights):
        point -= weight
        if weight and point <= 0:
            return place
    raise AssertionError("the sum of the weights is their sum")


def by_preference(addresses: Sequence[str], locals_: Sequence[str]) -> tuple[str, ...]:
    """IP literals as RFC 6724 §6 sorts destinations, rules 5 and 6; `locals_` are what we would send from.

    That is: IPv6 before IPv4, unless it is of a kind (unique local, 6to4, Teredo) that our own address is not. Within
    a kind the order stays.
    """
    if len({":" in address for address in addresses}) < 2:
        return tuple(addresses)
    labels = {":" in local: _policy(local)[1] for local in locals_}

    def rank(address: str) -> tuple[bool, int]:
        precedence, label = _policy(address)
        return labels.get(":" in address, label) != label, -precedence

    return tuple(sorted(addresses, key=rank))


@lru_cache(maxsize=1024)
def _policy(address: str) -> tuple[int, int]:
    """Precedence and label."""
    if ":" not in address:
        return _IPV4
    literal = ipaddress.IPv6Address(address.partition("%")[0])
    if literal.is_unspecified:
        return (40, 1)  # bound to any address: most likely a global one is sent from
    return next((precedence, label) for prefix, precedence, label in _POLICIES if literal in prefix)
