"""Whether the counts of what each peer has of a shared table are those of what stands in it: a count that is never
given back shuts its peer out some day, and one that is given back twice lets it take everything.

Who uses it: `world.World.idle`, at the end of every story, and random walks after each step.
"""

from collections import Counter
from collections.abc import Mapping

from sbc.b2bua.switch import Switch
from sbc.core.shares import Shares


def miscounted(switch: Switch) -> list[str]:
    """Each table whose shares are not what it holds, in words."""
    layer, living, beside = switch.endpoint.layer, switch._living, switch.beside
    servers = layer._servers.values()
    machines = beside._machines.items()
    exchanges = Counter(one.asked_by for id_, one in machines if id_ not in beside._subscriptions)
    octets = Counter[str]()
    for server in servers:
        octets[server.weight[0]] += server.weight[1]
    tables: list[tuple[str, Shares, Mapping[str, int]]] = [
        ("calls", living.shares, Counter(living._begun_by.values())),
        ("transactions", layer.places, Counter(server.weight[0] for server in servers)),
        ("octets", layer.octets, octets),
        ("exchanges", beside._exchange_shares, exchanges),
        ("subscriptions", beside._subscription_shares, Counter(one.asked_by for one in beside._subscriptions.values())),
    ]
    found = [
        f"{name}: {shares._of}, {shares.total} in all; there are {dict(real)}"
        for name, shares, real in tables
        if shares._of != real or shares.total != sum(real.values())
    ]
    if living._begun_by.keys() != living.calls.keys():
        found.append(f"calls: {living._begun_by.keys() ^ living.calls.keys()} are counted and gone, or not counted")
    return found
