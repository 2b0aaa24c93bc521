"""Call detail records: `cdr list`."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sbc.cli.commands.root import RECORDS, app
from sbc.cli.running import LOCAL, RunningSbc

cdr = App(name="cdr", group=RECORDS, help="Call detail records.")
app.command(cdr)


@cdr.command(
    name="list",
    help="""The last calls, the newest at the end.

From the running SBC; with --data-dir from the disk, whether one runs or not.

  sbc cdr list
  sbc cdr list --since 2h --trunk carrier-a
  sbc cdr list --data-dir /var/lib/sbc --since 2025-01-31 --json""",
)
def cdr_list(
    *,
    since: Annotated[
        str | None,
        Parameter(help="Calls that ended at this time or later: 2025-01-31T09:00:00Z (UTC), or 30m, 2h, 7d ago."),
    ] = None,
    trunk: Annotated[str | None, Parameter(help="Calls that came from or went to this pbx or trunk.")] = None,
    limit: Annotated[int, Parameter(help="At most this many, 1 to 1000.")] = 50,
    data_dir: Annotated[Path | None, Parameter(help="Read the records in this folder; no SBC needs to run.")] = None,
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.records import list_records

    return list_records(since=since, trunk=trunk, limit=limit, data_dir=data_dir, sbc=sbc)
