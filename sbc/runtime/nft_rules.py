"""The kernel's part of our bans as nftables' JSON (libnftables-json(5)): table `inet sbc`, two sets, one chain. Pure.

A set for each family, whose elements end by themselves; of IPv6 it holds /64s, and the address is masked before it is
looked up. The chain stands before the usual filter chains, and drops what goes to our SIP ports alone: who is banned
here by mistake can still reach this machine, and its other services. Other sets and
chains, also of this table, are not touched.

Everything is checked once more, because whoever asks may have been taken over: single addresses and /64s, none of them
this machine's own kind (loopback, link-local, multicast), times and ports in their range. Used by `ban_helper`.
"""

import ipaddress
import json
from collections.abc import Iterable
from typing import Any, Final

from sbc.core import limits
from sbc.runtime.ban_wire import LONGEST_SECONDS, PORTS, Banned, Change, Clear, Message, Replace

_TABLE: Final = {"family": "inet", "name": "sbc"}
_OURS: Final = {"family": "inet", "table": "sbc"}
_CHAIN: Final = {**_OURS, "chain": "bans"}
_PRIORITY: Final = -10  # before `filter`, 0, where a firewall's accept would end the matter
_SETS: Final = {4: "banned4", 6: "banned6"}
_PREFIX: Final = 64

Command = dict[str, Any]


def document(message: Message) -> str:
    """What `nft -j -f -` is given: all of it is done, or nothing. Raises ValueError for what must not be done."""
    match message:
        case Replace(ports, bans):
            commands = [*_emptied(), *_frame(ports), *_added(bans)]
        case Change(lifts, bans):
            # Who is gone already could not be deleted; who is there already would keep his time.
            all_sources = [*lifts, *(ban.source for ban in bans)]
            commands = [*_each("add", all_sources), *_each("delete", all_sources), *_added(bans)]
        case Clear():
            commands = [*_emptied(), {"delete": {"chain": {**_OURS, "name": "bans"}}}]
    return json.dumps({"nftables": commands})


def element_of(source: str) -> tuple[int, str]:
    """The family, and what stands in its set. Raises ValueError."""
    network = ipaddress.ip_network(source)
    address = network.network_address
    if network.prefixlen != (32 if network.version == 4 else _PREFIX):
        raise ValueError(f"{network} is neither an IPv4 address nor a /64")
    if address.is_multicast or address.is_loopback or address.is_link_local or address.is_unspecified:
        raise ValueError(f"{network} is not banned by anybody")
    return network.version, str(address)


def _emptied() -> list[Command]:
    """Nothing of ours is left but an empty chain, whatever was there. The table may hold somebody else's rules, too."""
    chain = {**_OURS, "name": "bans", "type": "filter", "hook": "input", "prio": _PRIORITY, "policy": "accept"}
    gone = [command for one in _sets() for command in ({"add": {"set": one}}, {"delete": {"set": one}})]
    return [{"add": {"table": _TABLE}}, {"add": {"chain": chain}}, {"flush": {"chain": chain}}, *gone]


def _sets() -> list[Command]:
    return [
        {**_OURS, "name": name, "type": f"ipv{v}_addr", "flags": ["timeout"], "size": limits.BANS_IN_KERNEL}
        for v, name in _SETS.items()
    ]


def _frame(ports: Iterable[int]) -> list[Command]:
    wanted = sorted(set(ports))
    if not wanted or len(wanted) > PORTS or not 0 < wanted[0] <= wanted[-1] <= 65_535:
        raise ValueError(f"expected 1 to {PORTS} ports")
    six: Command = {"&": [_field("ip6", "saddr"), "ffff:ffff:ffff:ffff::"]}
    return [
        *({"add": {"set": one}} for one in _sets()),
        _rule(_field("ip", "saddr"), "@banned4", wanted),
        _rule(six, "@banned6", wanted),
    ]


def _rule(source: Command, name: str, ports: list[int]) -> Command:
    to_us = [_is({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]}), _is(_field("th", "dport"), {"set": ports})]
    return {"add": {"rule": {**_CHAIN, "expr": [_is(source, name), *to_us, {"counter": None}, {"drop": None}]}}}


def _field(protocol: str, field: str) -> Command:
    return {"payload": {"protocol": protocol, "field": field}}


def _is(left: Command, right: Any) -> Command:
    return {"match": {"op": "==", "left": left, "right": right}}


def _added(bans: Iterable[Banned]) -> list[Command]:
    elements: dict[int, list[Command]] = {4: [], 6: []}
    for ban in {ban.source: ban for ban in bans}.values():
        if not 0 < ban.seconds <= LONGEST_SECONDS:
            raise ValueError(f"{ban.seconds} seconds")
        version, address = element_of(ban.source)
        elements[version].append({"elem": {"val": address, "timeout": ban.seconds}})
    return _of_sets("add", elements)


def _each(deed: str, sources: Iterable[str]) -> list[Command]:
    elements: dict[int, list[Any]] = {4: [], 6: []}
    for source in dict.fromkeys(sources):
        version, address = element_of(source)
        elements[version].append(address)
    return _of_sets(deed, elements)


def _of_sets(deed: str, elements: dict[int, list[Any]]) -> list[Command]:
    return [{deed: {"element": {**_OURS, "name": _SETS[v], "elem": elem}}} for v, elem in elements.items() if elem]
