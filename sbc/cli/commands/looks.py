"""Questions to the running SBC: `status`, `calls`, `trace`, `trunks`, `pbxs`, `paths`, `limits`, `alarms`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sbc.cli.commands.root import LOOKS, app
from sbc.cli.running import LOCAL, RunningSbc


@app.command(
    group=LOOKS,
    sort_key=1,
    help="""What is alive in the running SBC.

Calls, transactions, dialogs, media port pairs in use, tasks; how many trunks
and PBXs are up, and how many alarms stand.

  sbc status
  sbc status --admin unix:/run/sbc/admin --json""",
)
def status(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.remote import show_status

    return show_status(sbc)


@app.command(
    group=LOOKS,
    sort_key=2,
    help="""The running calls.

Their refs are what sbc hangup and the log lines go by.

  sbc calls
  sbc calls --json | jq .calls""",
)
def calls(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.remote import show_calls

    return show_calls(sbc)


@app.command(
    group=LOOKS,
    sort_key=3,
    help="""What happened in one call, or with a peer beside calls: its ladder, and why.

Of running calls, and of those that are over while the SBC remembers them. By
the name of a trunk or PBX: its last REGISTER, OPTIONS, MESSAGE, SUBSCRIBE and
the like, failed ones longer, with the decisions about it. Passwords, digest
responses and dialled digits are not shown.

  sbc trace k3v7q2mxya
  sbc trace carrier
  sbc trace k3v7q2mxya --messages
  sbc trace k3v7q2mxya --pcap call.pcap
  sbc trace k3v7q2mxya --pcap - | tshark -r -""",
)
def trace(
    ref: Annotated[
        str,
        Parameter(name="REF", help="The call's ref, from sbc calls, sbc cdr list or a log line; else a peer's name."),
    ],
    /,
    *,
    messages: Annotated[bool, Parameter(help="Every message in full, in place of the ladder.")] = False,
    pcap: Annotated[
        Path | None, Parameter(allow_leading_hyphen=True, help="Write its messages to this capture file; - is stdout.")
    ] = None,
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.trace import save_capture, show_trace

    return show_trace(ref, sbc, messages=messages) if pcap is None else save_capture(ref, pcap, sbc)


@app.command(
    group=LOOKS,
    sort_key=4,
    help="""The trunks: state, since when and why, call paths, registration.

Below each trunk stand its servers' addresses. FOR is how long it has been so,
PATHS are call paths in use, of how many.

  sbc trunks
  sbc trunks --json | jq '.trunks[] | {name, state}'""",
)
def trunks(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.peers import show_trunks

    return show_trunks(sbc)


@app.command(
    group=LOOKS,
    sort_key=5,
    help="""The PBXs: state, since when and why, servers and registered contacts.

Below each PBX stand its servers' addresses, or the contacts that registered.

  sbc pbxs
  sbc pbxs --json | jq '.pbxs[].bindings'""",
)
def pbxs(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.peers import show_pbxs

    return show_pbxs(sbc)


@app.command(
    group=LOOKS,
    sort_key=6,
    help="""The call paths of every trunk, who holds them and for how long.

Below each trunk stand the calls that hold its paths. TODAY is the most that
were held at once since midnight UTC.

  sbc paths
  sbc paths --json""",
)
def paths(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.peers import show_paths

    return show_paths(sbc)


@app.command(
    group=LOOKS,
    sort_key=7,
    help="""What counts against the limits of PBXs and routes.

Calls at once, minutes of today (UTC), and new calls per second, each of how
many. Where a policy sets no limits there are no lines.

  sbc limits
  sbc limits --json""",
)
def limits(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.peers import show_limits

    return show_limits(sbc)


@app.command(
    group=LOOKS,
    sort_key=8,
    help="""What is wrong now, and what was within the last hour.

FOR is how long it has been so, or was; TIMES is how often it was said.

  sbc alarms
  sbc alarms --json | jq '.alarms[] | select(.active) | .text'""",
)
def alarms(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.alarms import show_alarms

    return show_alarms(sbc)


@app.command(
    group=LOOKS,
    sort_key=9,
    help="""Watch it: trunks, call paths, calls and alarms, once a second.

q ends it, s changes the order of calls (newest, longest, worst), t shows the
calls of one trunk. In a pipe it is one frame, and the end.

  sbc top
  sbc top --admin unix:/run/sbc/admin
  sbc top | cat""",
)
def top(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.top import show_top

    return show_top(sbc)
