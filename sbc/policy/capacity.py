"""How many calls: `call_paths`, `path_pools` and `when_full` of trunks, `limits` of PBXs and routes.

What is bought of a carrier are call paths; what a PBX or a route may use is limited against fraud. `peering.paths` and
`peering.rates` count.
"""

from collections.abc import Callable
from typing import Final

from sbc.policy import values
from sbc.policy.documents import Node
from sbc.policy.model import Limits, PathRules, WhenFull, Where
from sbc.policy.problems import Problems
from sbc.policy.schema import Fields, Key, mapping, one, read_fields

Place = Callable[[str], Where]

_PATHS: Final = values.within(1, 100_000)
_PATHS_OR_NONE: Final = values.within(0, 100_000)

CPS: Final = one(values.within(1, 100_000))

RESERVE: Final = (
    Key("emergency", "a number", "kept for emergency calls", one(_PATHS_OR_NONE), default="0"),
    Key("inbound", "a number", "kept for calls from the carrier", one(_PATHS_OR_NONE), default="0"),
    Key("outbound", "a number", "kept for calls to the carrier", one(_PATHS_OR_NONE), default="0"),
)

CALL_PATHS: Final = (
    Key("total", "a number", "calls at once, both directions together", one(_PATHS), default="unlimited"),
    Key("packs", "a number", "instead of `total`: packs bought", one(_PATHS)),
    Key("pack_size", "a number", "paths in each pack", one(_PATHS)),
    Key("pool", "a name of `path_pools`", "instead of `total`: paths shared with other trunks", one(values.name)),
    Key("inbound", "a number", "most at once from the carrier; 0: none", one(_PATHS_OR_NONE), default="all"),
    Key(
        "outbound",
        "a number",
        "most at once to the carrier; 0: only emergencies",
        one(_PATHS_OR_NONE),
        default="all",
    ),
    Key(
        "reserve",
        "a mapping of emergency, inbound and outbound",
        "paths kept for one kind of call: a reserve of k leaves total - k for all others",
        mapping(RESERVE, "`reserve`"),
    ),
)

WHEN_FULL: Final = (
    Key(
        "outbound",
        "a SIP status",
        "to the PBX",
        one(values.reject_status),
        default="503",
    ),
    Key("inbound", "a SIP status", "to the carrier", one(values.reject_status), default="486"),
)

LIMITS: Final = (
    Key("call_paths", "a number", "calls at once", one(_PATHS), default="unlimited"),
    Key("cps", "a number", "new calls in one second", CPS, default="unlimited"),
    Key(
        "minutes_per_day",
        "a number",
        "of answered calls, from midnight to midnight UTC; calls in progress count",
        one(values.within(1, 10_000_000)),
        default="unlimited",
    ),
    Key("max_duration", "a duration", "an answered call ends after this", one(values.timer), default="unlimited"),
)


def read_call_paths(node: Node, problems: Problems) -> PathRules | None:
    """The total of a pool is not known yet: `with_pool` fills it in."""
    if node.pairs is None:
        total = one(_PATHS)(node, problems)
        return None if total is None else PathRules(total)
    fields = read_fields(node, CALL_PATHS, "`call_paths`", problems)
    if not fields.written:
        problems.wrong(node.where, "`call_paths` says nothing", "expected total, packs and pack_size, or pool")
    reserve: Fields = fields.get("reserve", Fields(node.where))
    rules = PathRules(
        total=_total(fields, problems),
        inbound=fields.get("inbound"),
        outbound=fields.get("outbound"),
        reserve_emergency=reserve.get("emergency", 0),
        reserve_inbound=reserve.get("inbound", 0),
        reserve_outbound=reserve.get("outbound", 0),
        pool=fields.get("pool"),
    )
    if _reserved(rules) and not {"total", "packs", "pool"} & fields.written:
        problems.wrong(fields.place("reserve"), "a reserve of unlimited paths", "expected total, packs or pool as well")
    check_rules(rules, fields.place, problems)
    return rules


def read_when_full(node: Node, problems: Problems) -> WhenFull:
    fields = read_fields(node, WHEN_FULL, "`when_full`", problems)
    return WhenFull(fields.get("outbound", WhenFull().outbound), fields.get("inbound", WhenFull().inbound))


def read_limits(node: Node, problems: Problems) -> Limits:
    fields = read_fields(node, LIMITS, "`limits`", problems)
    return Limits(*(fields.get(key.name) for key in LIMITS))


def check_rules(rules: PathRules, place: Place, problems: Problems) -> None:
    """Maxima and reserves against the total and each other; `place` gives a key's place."""
    total = rules.total
    pairs = (("inbound", rules.inbound, rules.reserve_inbound), ("outbound", rules.outbound, rules.reserve_outbound))
    for direction, most, reserved in pairs:
        if most is not None and total is not None and most > total:
            problems.wrong(place(direction), f"`{direction}` {most} of {total} call paths", f"expected at most {total}")
        elif most is not None and reserved > most:
            problems.wrong(
                place("reserve"),
                f"{reserved} call paths are kept for `{direction}`, which may use {most}",
                f"expected at most {most}",
            )
    if total is not None and _reserved(rules) > total:
        problems.wrong(
            place("reserve"),
            f"{_reserved(rules)} call paths are reserved of {total}",
            f"expected at most {total} in all",
        )


def _reserved(rules: PathRules) -> int:
    return rules.reserve_emergency + rules.reserve_inbound + rules.reserve_outbound


def _total(fields: Fields, problems: Problems) -> int | None:
    said = [key for key in ("total", "packs", "pool") if key in fields.written]
    if len(said) > 1:
        problems.wrong(
            fields.place(said[1]),
            f"both `{said[0]}` and `{said[1]}` say how many call paths there are",
            "expected one of total, packs with pack_size, pool",
        )
    if ("packs" in fields.written) != ("pack_size" in fields.written):
        there, missing = ("packs", "pack_size") if "packs" in fields.written else ("pack_size", "packs")
        problems.wrong(fields.place(there), f"`{there}` without `{missing}`", "expected both")
    packs, size, total = fields.get("packs"), fields.get("pack_size"), fields.get("total")
    if packs is not None and size is not None:
        return int(packs * size)
    return None if total is None else int(total)
