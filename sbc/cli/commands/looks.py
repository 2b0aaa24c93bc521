"""Questions to the running SBC: `status`, `calls`, `trunks`, `pbxs`, `paths`."""

from sbc.cli.commands.root import LOOKS, app
from sbc.cli.running import LOCAL, RunningSbc


@app.command(
    group=LOOKS,
    sort_key=1,
    help="""What is alive in the running SBC.

Calls, transactions, dialogs, media port pairs in use, tasks.

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
    sort_key=4,
    help="""The PBXs: state, since when and why, servers and registered contacts.

  sbc pbxs""",
)
def pbxs(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.peers import show_pbxs

    return show_pbxs(sbc)


@app.command(
    group=LOOKS,
    sort_key=5,
    help="""The call paths of every trunk, who holds them and for how long.

  sbc paths
  sbc paths --json""",
)
def paths(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.peers import show_paths

    return show_paths(sbc)
