"""One frame of `sbc top`: header, alarms, trunks with their call paths as bars, calls; cut to the terminal's size.

Made of the API's answers alone. Everything in them is made printable, and is `Text`, never markup.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sbc.cdr.format import parse_time
from sbc.cli.output import STATE_COLOURS, printable
from sbc.cli.peers import age
from sbc.cli.remote import minutes

_BAR: Final = 20  # characters
_WHO: Final = ("ingress", "egress", "caller", "called")
_NARROW: Final = 100  # columns; with less, bars and the numbers' columns are shorter
_SECTION: Final = 3  # lines: an empty one, the heading, and one below it at least
_FULL: Final = 0.9  # of a trunk's paths: yellow from here on
_POOR_MOS: Final = 3.6  # ITU-T G.107 annex B: below, many users are dissatisfied


class Order(StrEnum):
    NEWEST = "newest"
    LONGEST = "longest"
    WORST = "worst"


class Picture(Struct, frozen=True):
    """What the SBC said last: bodies of the API. `at`: POSIX seconds by this machine's clock."""

    at: float
    status: Mapping[str, Any]
    trunks: Sequence[Mapping[str, Any]]
    calls: Sequence[Mapping[str, Any]]
    alarms: Sequence[Mapping[str, Any]]
    total: int  # of calls; `calls` are the newest


class Look(Struct, frozen=True):
    """What the viewer has chosen. `trunk`: only its calls; empty: all. `problem`: why there is nothing newer.

    `keys`: whether there are any to be pressed.
    """

    order: Order = Order.NEWEST
    trunk: str = ""
    problem: str = ""
    keys: bool = True


def frame(picture: Picture, look: Look, now: float, width: int, height: int) -> RenderableType:
    alarms = [alarm for alarm in picture.alarms if alarm["active"]]
    parts: list[RenderableType] = [*_header(picture, look, now, len(alarms))]
    left = height - len(parts)
    told = list(_alarm_lines(alarms, now, max(1, left // 4)))
    left -= len(told)
    parts += told
    if left >= _SECTION:
        trunks = picture.trunks[: max(1, left // 2 - _SECTION + 1)]
        left -= len(trunks) + _SECTION - 1
        parts += [Text(""), _trunk_table(trunks, len(picture.trunks), width, now)]
    if left >= _SECTION:
        calls = ordered(picture.calls, look)
        total = len(calls) if look.trunk else picture.total
        parts += [Text(""), _call_table(calls[: left - _SECTION + 1], total, look, now, width)]
    return Group(*parts)


def ordered(calls: Sequence[Mapping[str, Any]], look: Look) -> list[Mapping[str, Any]]:
    """Those that are looked at, in the order that was chosen."""
    mine = [call for call in calls if look.trunk in ("", call["ingress"], call["egress"])]
    return sorted(mine, key=_KEYS[look.order], reverse=look.order is Order.NEWEST)


def bar(used: int, limit: int, length: int) -> str:
    """Something is seen of one that is used, and something free where one is."""
    if limit <= 0:
        return "·" * length
    full = min(length, max(round(length * used / limit), 1 if used else 0))
    if full == length and used < limit:
        full = length - 1
    return "█" * full + "·" * (length - full)


def _header(picture: Picture, look: Look, now: float, alarms: int) -> Iterator[Text]:
    status = picture.status
    rates = status.get("rates", {})
    line = Text(overflow="ellipsis", no_wrap=True)
    line.append(printable(str(status["name"])), "bold")
    line.append(*_readiness(status))
    line.append(f"  up {_up(status, now)}  {picture.total} calls")
    line.append(f"  {rates.get('calls_per_second', 0):g}/s, answered {rates.get('answered_per_second', 0):g}/s  ")
    line.append(f"{alarms} alarms" if alarms != 1 else "1 alarm", "bold red" if alarms else "")
    yield line
    if look.problem:
        since = age(now - picture.at)
        yield Text(f"NO ANSWER for {since}, trying again: {printable(look.problem)}", "bold red", overflow="ellipsis",
                   no_wrap=True)  # fmt: skip
    elif look.keys:
        chosen = f"calls of {printable(look.trunk)}" if look.trunk else "all calls"
        keys = f"q quit · s order: {look.order} first · t trunk: {chosen}"
        yield Text(keys, "dim", overflow="ellipsis", no_wrap=True)


def _readiness(status: Mapping[str, Any]) -> tuple[str, str]:
    if status["ready"]:
        return "  ready", "green"
    is_told = status.get("reason") and not status.get("draining")
    return ("  NOT READY: no new calls", "bold red") if is_told else ("  draining: no new calls", "yellow")


def _up(status: Mapping[str, Any], now: float) -> str:
    """The stream says it only when something else has changed."""
    started = status.get("started_at")
    return age(now - parse_time(started)) if started else "-"


def _alarm_lines(alarms: Sequence[Mapping[str, Any]], now: float, room: int) -> Iterator[Text]:
    shown = len(alarms) if len(alarms) <= room else room - 1
    for alarm in alarms[:shown]:
        subject = f" {alarm['subject']}" if alarm["subject"] else ""
        text = f"! {alarm['event']}{subject} for {age(now - parse_time(alarm['since']))}: {alarm['text']}"
        yield Text(printable(text), "red", overflow="ellipsis", no_wrap=True)
    if len(alarms) > shown:
        yield Text(f"! {len(alarms) - shown} {'more' if shown else 'alarms'}: sbc alarms", "red", overflow="ellipsis")


def _trunk_table(trunks: Sequence[Mapping[str, Any]], total: int, width: int, now: float) -> Table:
    heading = f"TRUNK ({total})" if len(trunks) < total else "TRUNK"
    table = _table(heading, "STATE", "FOR", "CALL PATHS", "TODAY", "WHY", gives_way={"WHY"})
    length = _BAR if width >= _NARROW else _BAR // 2
    for trunk in trunks:
        paths = trunk["call_paths"]
        registration = trunk["registration"]
        why = trunk["why"] or (registration["why"] if registration else "")
        table.add_row(
            _text(trunk["name"]),
            Text(printable(trunk["state"]), STATE_COLOURS.get(trunk["state"], "")),
            _age(trunk["since"], now),
            _paths(paths, length),
            _text(paths.get("peak_today")),
            _text(why),
        )
    return table


def _paths(paths: Mapping[str, Any], length: int) -> Text:
    used, limit = paths["used"], paths["limit"]
    if limit is None:
        return Text(f"{used}, no limit")
    colour = "red" if used >= limit else "yellow" if used >= _FULL * limit else "green"
    return Text.assemble((bar(used, limit, length), colour), f" {used}/{limit}")


def _call_table(calls: Sequence[Mapping[str, Any]], total: int, look: Look, now: float, width: int) -> Table:
    if width < _NARROW:
        return _narrow_call_table(calls, total, now)
    heading = f"CALL ({len(calls)} of {total}, {look.order} first)"
    names = (heading, "STATE", "FOR", "FROM", "TO", "CALLER", "CALLED", "MOS", "LOSS %", "JITTER", "MEDIA")
    table = _table(*names, gives_way={heading, "FROM", "TO", "MEDIA"})
    for call in calls:
        table.add_row(
            _text(call["ref"]),
            _text(call["state"]),
            _text(minutes(_lasts(call, now))),
            *(_text(call[name]) for name in _WHO),
            *_quality(call.get("quality", {})),
        )
    return table


def _narrow_call_table(calls: Sequence[Mapping[str, Any]], total: int, now: float) -> Table:
    """Refs and numbers whole in 80 columns: the state stands where a call that is not answered has no score."""
    table = _table(
        f"CALL {len(calls)}/{total}", "FOR", "FROM", "TO", "CALLER", "CALLED", "MOS", gives_way={"FROM", "TO"}
    )
    for call in calls:
        mos, *_ = _quality(call.get("quality", {}))
        table.add_row(
            _text(call["ref"]),
            _text(minutes(_lasts(call, now))),
            *(_text(call[name]) for name in _WHO),
            mos if call["state"] == "answered" else _text(call["state"]),
        )
    return table


def _quality(quality: Mapping[str, Any]) -> tuple[Text, Text, Text, Text]:
    rows = _rows(quality)
    scores = [row.get("mos") for row in rows]
    mos = Text("/".join("-" if score is None else f"{score:.1f}" for score in scores) if any(scores) else "-")
    mos.stylize("red" if min((score for score in scores if score), default=5.0) < _POOR_MOS else "")
    lost = [_lost_percent(row) for row in rows]
    jitter = [row.get("jitter_ms") for row in rows]
    engines = "+".join(sorted({row["engine"] for row in rows if row.get("engine")}))
    one_way = quality.get("one_way")
    media = Text(f"{printable(one_way)} not heard", "red") if one_way else _text(engines)
    return mos, _pair(lost), _pair(jitter), media


def _rows(quality: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The first stream of each side."""
    return [quality[side][0] if quality.get(side) else {} for side in ("ingress", "egress")]


def _lost_percent(row: Mapping[str, Any]) -> float | None:
    lost = row.get("lost")
    if lost is None:
        return None
    missing = max(float(lost), 0.0)
    return 100 * missing / max(1.0, missing + float(row.get("packets", 0)))


def _pair(figures: Sequence[float | None]) -> Text:
    if all(figure is None for figure in figures):
        return Text("-")
    return Text("/".join("-" if figure is None else f"{figure:.1f}" for figure in figures))


def _worst(call: Mapping[str, Any]) -> float:
    scores = [row["mos"] for row in _rows(call.get("quality", {})) if row.get("mos") is not None]
    return min(scores, default=5.0) - (5.0 if call.get("quality", {}).get("one_way") else 0.0)


def _lasts(call: Mapping[str, Any], now: float) -> float:
    return now - parse_time(call["answered_at"] or call["started_at"])


def _age(since: str | None, now: float) -> Text:
    return Text("-" if since is None else age(now - parse_time(since)))


def _text(value: object) -> Text:
    return Text("-" if value is None else printable(str(value)), overflow="ellipsis", no_wrap=True)


def _table(*columns: str, gives_way: Container[str]) -> Table:
    """`gives_way`: columns that are cut where there is no room; the others stay whole as long as they can."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for column in columns:
        # Rich takes room only from columns that may wrap. These do not: every cell is a text that says so.
        heading = Text(column, overflow="ellipsis", no_wrap=True)
        table.add_column(heading, overflow="ellipsis", no_wrap=column not in gives_way)
    return table


_KEYS: Final[dict[Order, Callable[[Mapping[str, Any]], Any]]] = {
    Order.NEWEST: lambda call: call["started_at"],
    Order.LONGEST: lambda call: call["answered_at"] or "~",  # those that ring stand last
    Order.WORST: _worst,
}
