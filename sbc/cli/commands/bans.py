"""Who is not heard: `bans list`, `bans add`, `bans lift`."""

from typing import Annotated

from cyclopts import App, Parameter

from sbc.cli.commands.root import ORDERS, app
from sbc.cli.running import LOCAL, RunningSbc

bans = App(name="bans", group=ORDERS, sort_key=9, help="Sources that are not heard for a while.")
app.command(bans)

Address = Annotated[str, Parameter(name="ADDRESS", help="An IP address; of IPv6 its whole /64 is meant.")]


@bans.command(
    name="list",
    help="""Who is banned, since when, for how long yet, by whom and why.

The newest first. Peers are never among them.

  sbc bans list
  sbc bans list --json | jq -r '.bans[].address'""",
)
def bans_list(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.bans import show_bans

    return show_bans(sbc)


@bans.command(
    name="add",
    help="""Do not hear a source for a while. A restart keeps the ban.

Calls of its that are up go on, but nothing more is heard of it. Refused where
a peer speaks from there: take it out of the policy instead.

  sbc bans add 192.0.2.7
  sbc bans add 2001:db8::7 --for 7d --why "calls premium numbers" """.rstrip(),
)
def bans_add(
    address: Address,
    /,
    *,
    lasts: Annotated[
        str | None, Parameter(name="--for", help="How long: 90s, 10m, 1h, 7d; at most 30d. Default: 1h.")
    ] = None,
    why: Annotated[str | None, Parameter(help="A few words for the list.")] = None,
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.bans import add

    return add(address, lasts, why, sbc)


@bans.command(
    name="lift",
    help="""Hear a source again.

What it has done before is forgotten; if it goes on so, it is banned anew.

  sbc bans lift 192.0.2.7""",
)
def bans_lift(address: Address, /, *, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.bans import lift

    return lift(address, sbc)
