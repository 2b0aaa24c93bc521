"""What a reload has changed, for the operator: names by kind, added, removed and changed.

Pure. It compares what two policies say, not where in a file they say it. Shown by the API, the
command line and the log; `runtime.reload` asks for it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from sbc.policy.engine import Policy

_NAMES_IN_TEXT: Final = 8  # of one kind and one way to change; a log line is to be read
_SETTINGS: Final = ("country", "stop_after", "cps", "webhook", "admin_token", "log", "hep", "cdr", "bans")


class Change(Struct, frozen=True):
    """Names of one kind, in order."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class Changes(Struct, frozen=True):
    """`settings` are keys of the sections `sbc` and `media`. `dids`: how many ranges came and went."""

    interfaces: Change = Change()
    listeners: Change = Change()
    pbxs: Change = Change()
    trunks: Change = Change()
    routes: Change = Change()
    dids: Change = Change()
    settings: Change = Change()

    @property
    def text(self) -> str:
        """One line: `trunks: + carrier-b, ~ carrier-a; listeners: - tcp:192.0.2.1:5060`, or `nothing`."""
        parts = [f"{kind}: {_words(change)}" for kind, change in asdict(self).items() if change]
        return "; ".join(parts) or "nothing"


def changes_between(old: Policy, new: Policy) -> Changes:
    return Changes(
        interfaces=_change(old.interfaces, new.interfaces),
        listeners=_change(_listeners(old), _listeners(new)),
        pbxs=_change(_peers(old, "pbx"), _peers(new, "pbx")),
        trunks=_change(_peers(old, "trunk"), _peers(new, "trunk")),
        routes=_change(_routes(old), _routes(new)),
        dids=_change(_dids(old), _dids(new)),
        settings=_change(_settings(old), _settings(new)),
    )


def _change(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change:
    return Change(
        tuple([name for name in new if name not in old]),
        tuple([name for name in old if name not in new]),
        tuple([name for name in new if name in old and _said(old[name]) != _said(new[name])]),
    )


def _said(value: Any) -> Any:
    """Without the places in the files, of the value and of what it holds."""
    if isinstance(value, Struct):
        return tuple([_said(getattr(value, name)) for name in value.__struct_fields__ if name != "where"])
    if isinstance(value, tuple | list):
        return tuple([_said(one) for one in value])
    return value


def _listeners(policy: Policy) -> dict[str, str]:
    return {
        f"{listener.transport}:{listener.address}": interface.name
        for interface in policy.interfaces.values()
        for listener in interface.listeners
    }


def _peers(policy: Policy, kind: str) -> dict[str, Any]:
    return {name: peer for name, peer in policy.peers.items() if peer.kind == kind}


def _routes(policy: Policy) -> dict[str, Any]:
    """With their order, which decides as much as what they say."""
    return {route.name: (route, before) for before, route in _after(policy.routes)}


def _after(routes: Iterable[Any]) -> Iterable[tuple[str, Any]]:
    before = ""
    for route in routes:
        yield before, route
        before = route.name


def _dids(policy: Policy) -> dict[str, Any]:
    return {(one.first if one.first == one.last else f"{one.first}-{one.last}"): one for one in policy.dids}


def _settings(policy: Policy) -> dict[str, Any]:
    of_sbc = {f"sbc.{key}": getattr(policy, key) for key in _SETTINGS}
    return of_sbc | {f"media.{key}": value for key, value in asdict(policy.media).items()}


def _words(change: Change) -> str:
    ways = (("+", change.added), ("-", change.removed), ("~", change.changed))
    return ", ".join(f"{sign} {_list(names)}" for sign, names in ways if names)


def _list(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMES_IN_TEXT
    return " ".join(names[:_NAMES_IN_TEXT]) + (f" and {more} more" if more > 0 else "")
