"""`sbc bans list`, `add` and `lift`: sources that are not heard. Ages are by this machine's clock."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sbc.admin.bans import seconds_of
from sbc.cdr.format import parse_time
from sbc.cli import UsageError
from sbc.cli.client import path_of
from sbc.cli.output import Cell, printable, show_json, show_table
from sbc.cli.peers import age
from sbc.cli.running import Running


def show_bans(sbc: Running) -> int:
    body = sbc.ask("/api/v1/bans", key="bans")
    if sbc.json:
        show_json(body)
        return 0
    now = dt.datetime.now(dt.UTC).timestamp()
    rows = [_row(ban, now) for ban in body["bans"]]
    show_table(("ADDRESS", "SINCE", "FOR", "LEFT", "BY", "WHY"), rows, none="Nobody is banned.")
    return 0


def add(address: str, lasts: str | None, why: str | None, sbc: Running) -> int:
    given = {"for": lasts, "why": why}
    try:
        seconds_of(lasts or "1h")
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error
    body = {key: value for key, value in given.items() if value is not None}
    ban = sbc.ask(_path(address), key="address", method="POST", body=body)
    if sbc.json:
        show_json(ban)
    else:
        print(f"{printable(ban['address'])}: banned until {ban['until'][:19]}Z")
    return 0


def lift(address: str, sbc: Running) -> int:
    ban = sbc.ask(_path(address), key="address", method="DELETE")
    if sbc.json:
        show_json(ban)
    else:
        print(f"{printable(ban['address'])}: not banned any more")
    return 0


def _path(address: str) -> str:
    """As the list shows it: of IPv6 with its /64, which would be a part of the path."""
    address = address.removesuffix("/64")
    if "/" in address:
        raise UsageError(f"`{printable(address)}` is a network; expected one IP address, whose /64 is meant in IPv6")
    return path_of("bans", address)


def _row(ban: dict[str, Any], now: float) -> Sequence[Cell]:
    since, until = parse_time(ban["since"] or ban["until"]), parse_time(ban["until"])
    return ban["address"], ban["since"][:19] + "Z", age(now - since), age(until - now), ban["by"], ban["why"]
