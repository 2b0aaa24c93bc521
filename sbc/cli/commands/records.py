"""Call detail records: `cdr list`, `cdr export`, `cdr report`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from sbc.cli.commands.root import RECORDS, app
from sbc.cli.running import LOCAL, RunningSbc

cdr = App(name="cdr", group=RECORDS, help="Call detail records.")
app.command(cdr)

Since = Annotated[
    str | None,
    Parameter(help="Calls that ended at this time or later: 2025-01-31T09:00:00Z (UTC), or 30m, 2h, 7d ago."),
]
Until = Annotated[str | None, Parameter(help="Calls that ended before this time.")]
Trunk = Annotated[str | None, Parameter(help="Calls that came from or went to this pbx or trunk.")]
Number = Annotated[
    str | None, Parameter(help="Calls with this in the caller's or the called number; a part of a number is enough.")
]
CauseName = Annotated[str | None, Parameter(name="--cause", help="Calls that ended so: busy, no_reply, paths_full …")]
Ref = Annotated[str | None, Parameter(help="This call alone; its ref stands in the log, in sbc calls and sbc trace.")]
DataDir = Annotated[Path | None, Parameter(help="Read the records in this folder; no SBC needs to run.")]


@cdr.command(
    name="list",
    help="""The last calls, the newest at the end.

From the running SBC; with --data-dir from the disk, whether one runs or not.

  sbc cdr list
  sbc cdr list --since 2h --trunk carrier-a
  sbc cdr list --number 4930123 --cause busy
  sbc cdr list --ref k3v7q2mxya --json
  sbc cdr list --data-dir /var/lib/sbc --since 2025-01-31 --json""",
)
def cdr_list(
    *,
    since: Since = None,
    until: Until = None,
    trunk: Trunk = None,
    number: Number = None,
    cause: CauseName = None,
    ref: Ref = None,
    limit: Annotated[int, Parameter(help="At most this many, 1 to 1000.")] = 50,
    data_dir: DataDir = None,
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.records import filters_of, list_records

    chosen = filters_of(since=since, until=until, trunk=trunk, number=number, cause=cause, ref=ref)
    return list_records(chosen, limit=limit, data_dir=data_dir, sbc=sbc)


@cdr.command(
    name="export",
    help="""All calls that match, as CSV for a spreadsheet or database, or as JSON lines.

Cells that a spreadsheet would run as formulas are defused: they begin with an
apostrophe. --raw leaves every cell as it is. A file is complete or not there.

  sbc cdr export --since 2025-01-01 --until 2025-02-01 --output january.csv
  sbc cdr export --format jsonl | jq -r .caller
  sbc cdr export --data-dir /var/lib/sbc --attempts --output attempts.csv""",
)
def cdr_export(
    *,
    format_: Annotated[
        Literal["csv", "jsonl"], Parameter(name="--format", help="csv: RFC 4180 with a header; jsonl: a call per line.")
    ] = "csv",
    since: Since = None,
    until: Until = None,
    trunk: Trunk = None,
    number: Number = None,
    cause: CauseName = None,
    ref: Ref = None,
    attempts: Annotated[
        bool, Parameter(show_default=False, help="A line per attempt, the INVITEs that were sent, instead of per call.")
    ] = False,
    raw: Annotated[bool, Parameter(show_default=False, help="CSV for programs alone: no cell is defused.")] = False,
    output: Annotated[Path | None, Parameter(help="A file instead of stdout.")] = None,
    data_dir: DataDir = None,
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.cdr_export import export_records
    from sbc.cli.records import filters_of

    chosen = filters_of(since=since, until=until, trunk=trunk, number=number, cause=cause, ref=ref)
    return export_records(chosen, form=format_, attempts=attempts, raw=raw, output=output, data_dir=data_dir, sbc=sbc)


@cdr.command(
    name="report",
    help="""What each trunk carried: the page to lay beside a carrier's bill.

By day, trunk and direction: calls, answered ones, answer-seizure ratio, minutes
by seconds and by started minutes, average duration, most call paths at once.
With --data-dir, --policy says which peers are PBXs; else they are shown too.

  sbc cdr report
  sbc cdr report --since 2025-01-01 --until 2025-02-01 --timezone Europe/Berlin
  sbc cdr report --data-dir /var/lib/sbc --since 30d --trunk carrier-a --json""",
)
def cdr_report(
    *,
    since: Annotated[
        str | None,
        Parameter(
            help="Calls answered at this time or later; a date is one of the time zone. Default: the last 7 days."
        ),
    ] = None,
    until: Annotated[str | None, Parameter(help="Calls answered before this time. Default: now.")] = None,
    trunk: Annotated[str | None, Parameter(help="This trunk or pbx alone.")] = None,
    timezone: Annotated[str, Parameter(help="Whose days: UTC, Europe/Berlin …")] = "UTC",
    data_dir: DataDir = None,
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.cdr_report import show_report

    return show_report(since=since, until=until, trunk=trunk, timezone=timezone, data_dir=data_dir, sbc=sbc)
