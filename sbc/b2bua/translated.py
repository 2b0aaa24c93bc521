"""Diversion (RFC 5806) made of History-Info (RFC 7044), and back: the mapping of RFC 6044 §5 and §6.

Values in, values out; what a peer may hear of them, and how, is `forwarded`'s. Bounded by what is read of a request.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from sbc.core.limits import HISTORY_VALUES
from sbc.sip.headers.identity import Diversion, HistoryEntry
from sbc.sip.uri import TelUri

_UNKNOWN: Final = 404  # "default 'cause' value", §5
_CAUSES: Final = {"unconditional": 302, "user-busy": 486, "no-answer": 408, "deflection": 480}
_REASONS: Final = {
    404: "unknown",
    302: "unconditional",
    486: "user-busy",
    408: "no-answer",
    480: "deflection",
    487: "deflection",
    503: "unavailable",
}
_SECRET: Final = frozenset(("full", "name", "uri"))
_NOBODY: Final = TelUri("")  # a placeholder's target, which has no number to be told


def history_of(diversions: Sequence[Diversion], called: str) -> tuple[HistoryEntry, ...]:
    """The entries of `diversions`, which have the latest first, and of the number that the request is for (§5)."""
    entries: list[HistoryEntry] = []
    cause: int | None = None
    room = HISTORY_VALUES - len(diversions) - 1
    for diversion in reversed(diversions):
        # "Create N-1 placeholder History entry with the previous index incremented with ".1""; "For a placeholder
        # hi-entry, the value "404" must be taken for the cause-param and so, located in the next hi-entry"
        for _ in range(min((diversion.counter or 1) - 1, room)):
            entries.append(_entry(_NOBODY, entries, cause))
            cause = _UNKNOWN
            room -= 1
        entry = _entry(TelUri(diversion.number), entries, cause)
        entries.append(replace(entry, is_private=diversion.privacy in _SECRET))
        cause = cause_of(diversion.reason)
    entries.append(_entry(TelUri(called), entries, cause))
    return tuple(entries)


def diversions_of(history: Sequence[HistoryEntry], *, hides: bool = False) -> tuple[Diversion, ...]:
    """One for each entry "with a cause-param reflecting a diverting reason", §6, the latest first. `hides`: the whole
    request wants its history kept secret."""
    by_index = {entry.index: entry for entry in history}
    diversions: list[Diversion] = []
    for i, entry in enumerate(history):
        reason = _REASONS.get(entry.cause or 0)
        if reason is None or i == 0:
            continue
        diverter = by_index.get(_parent(entry)) or history[i - 1]
        privacy = "full" if hides or diverter.is_private else "off"
        diversions.append(Diversion(TelUri(diverter.number), reason, 1, privacy=privacy))
    return tuple(reversed(diversions))


def cause_of(reason: str) -> int:
    """The cause of RFC 4458 for a Diversion's reason, §5."""
    return _CAUSES.get(reason, _UNKNOWN)


def _entry(uri: TelUri, before: Sequence[HistoryEntry], cause: int | None) -> HistoryEntry:
    if not before:
        return HistoryEntry(uri, "1")
    parent = before[-1].index
    return HistoryEntry(uri, f"{parent}.1", ("mp", parent), cause)  # diverted: another user, RFC 7044 §10.4


def _parent(entry: HistoryEntry) -> str:
    return entry.target[1] if entry.target is not None else entry.index.rpartition(".")[0]
