"""What can be typed: every command, its arguments and its help. What each one does is in the module that it imports.

Examples must not stand under a heading such as `Examples:`; cyclopts would take that for a docstring's section.
"""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

import sbc

Policies = Annotated[list[Path], Parameter(name="POLICY", help="Policy files; a folder means its *.yaml.")]
Admin = Annotated[
    str | None,
    Parameter(name="--admin", help="The running SBC: HOST:PORT, [v6]:PORT or unix:PATH. Default: $SBC_ADMIN, else "
              "what --policy says, else 127.0.0.1:8088."),
]  # fmt: skip
FromPolicy = Annotated[
    list[Path] | None, Parameter(name="--policy", help="Take the admin address from this policy; may be repeated.")
]
Json = Annotated[bool, Parameter(name="--json", show_default=False, help="The API's answer instead of a table.")]
Trunk = Annotated[str, Parameter(name="TRUNK", help="The trunk, from sbc trunks.")]
LogFormat = Annotated[Literal["console", "json"], Parameter(name="--log-format", help="How log lines look on stderr.")]
BenchCalls = Annotated[
    int, Parameter(name="--calls", validator=Number(gte=1, lte=1000), help="With media: how many calls talk at once.")
]
BenchSeconds = Annotated[
    int, Parameter(name="--seconds", validator=Number(gte=4, lte=600), help="With media: for how long they talk.")
]

app = App(
    name="sbc",
    help="""A session border controller between an IP-PBX and its carriers.

See it work, without root and without configuration: sbc demo

Exit status: 0 done, 1 refused with a reason, 2 wrong usage.
Where an unexpected error came from: sbc --debug COMMAND""",
    version=f"sbc {sbc.__version__}",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)
cdr = App(name="cdr", help="Call detail records.")
app.command(cdr)


@app.command(
    help="""Run in the foreground until SIGTERM or SIGINT.

When everything is up, a line that begins `sbc: ready` goes to stderr.
A second signal ends the program at once.

  sbc run /etc/sbc
  sbc run policies/quickstart --log-format json""",
)
def run(policy: Policies, /, *, log_format: LogFormat = "console") -> int:
    from sbc.cli.local import run_policy

    run_policy(policy, log_format)


@app.command(
    help="""Read a policy and say what is wrong with it, or what would run.

All errors are shown at once, as FILE:LINE:COLUMN: what is wrong; what was
expected. Exit status 1 on any error.

  sbc check /etc/sbc
  sbc check peers.yaml routes.yaml""",
)
def check(policy: Policies, /) -> int:
    from sbc.cli.local import check_policy

    return check_policy(policy)


@app.command(
    help="""Show how a call would be routed, and why: a dry run.

Which rule matched, which did not and for what reason, with file and line.
Exit status 1 if the call is refused.

  sbc why /etc/sbc --from office --to 911
  sbc why /etc/sbc --from carrier-a --to +14155550100 --caller +442079460000""",
)
def why(
    policy: Policies,
    /,
    *,
    from_: Annotated[str, Parameter(name="--from", help="The pbx or trunk that the call comes from.")],
    to: Annotated[str, Parameter(help="The number as dialled.")],
    caller: Annotated[str | None, Parameter(help="The calling number.")] = None,
) -> int:
    from sbc.cli.local import explain_call

    return explain_call(policy, from_, to, caller)


@app.command(
    help="""Show it work: a scripted PBX and carrier, one call each way with audio.

All on 127/8, without root and without configuration, in at most 20 seconds.
Exit status 0 only if audio was heard both ways.

  sbc demo""",
)
def demo() -> int:
    from sbc.cli.demo import run_demo

    return run_demo()


@app.command(
    help="""Measure this program on this machine.

Costs are printed beside a yardstick measured in the same run. With media:
packets alone, between network namespaces of its own, beside kernel forwarding
and rtpengine; this takes root.

  sbc bench
  sbc bench media
  sbc bench media --calls 500 --seconds 60""",
)
def bench(part: Literal["all", "media"] = "all", /, *, calls: BenchCalls = 500, seconds: BenchSeconds = 6) -> int:
    if part == "media":
        from sbc.cli.bench_report import run_media_bench

        return run_media_bench(calls, seconds)
    from sbc.cli.bench import run_bench

    return run_bench()


@app.command(
    help="""What is alive in the running SBC.

Calls, transactions, dialogs, media port pairs in use, tasks.

  sbc status
  sbc status --admin unix:/run/sbc/admin --json""",
)
def status(*, admin: Admin = None, policy: FromPolicy = None, json: Json = False) -> int:
    from sbc.cli.remote import show_status

    return show_status(admin, policy, json=json)


@app.command(
    help="""The running calls.

Their refs are what sbc hangup and the log lines go by.

  sbc calls
  sbc calls --json | jq .calls""",
)
def calls(*, admin: Admin = None, policy: FromPolicy = None, json: Json = False) -> int:
    from sbc.cli.remote import show_calls

    return show_calls(admin, policy, json=json)


@app.command(
    help="""End a running call, on both legs.

Its record will say that the operator ended it.

  sbc hangup k3v7q2mxya""",
)
def hangup(
    ref: Annotated[str, Parameter(name="REF", help="The call's ref, from sbc calls.")],
    /,
    *,
    admin: Admin = None,
    policy: FromPolicy = None,
    json: Json = False,
) -> int:
    from sbc.cli.remote import hang_up

    return hang_up(ref, admin, policy, json=json)


@app.command(
    help="""The trunks: state, since when and why, call paths, registration.

Below each trunk stand its servers' addresses. FOR is how long it has been so,
PATHS are call paths in use, of how many.

  sbc trunks
  sbc trunks --json | jq '.trunks[] | {name, state}'""",
)
def trunks(*, admin: Admin = None, policy: FromPolicy = None, json: Json = False) -> int:
    from sbc.cli.peers import show_trunks

    return show_trunks(admin, policy, json=json)


@app.command(
    help="""The PBXs: state, since when and why, servers and registered contacts.

  sbc pbxs""",
)
def pbxs(*, admin: Admin = None, policy: FromPolicy = None, json: Json = False) -> int:
    from sbc.cli.peers import show_pbxs

    return show_pbxs(admin, policy, json=json)


@app.command(
    help="""The call paths of every trunk, who holds them and for how long.

  sbc paths
  sbc paths --json""",
)
def paths(*, admin: Admin = None, policy: FromPolicy = None, json: Json = False) -> int:
    from sbc.cli.peers import show_paths

    return show_paths(admin, policy, json=json)


@app.command(
    help="""Disaster-recovery drill: treat a PBX as down, or as what it is again.

Its calls go where the policy's disaster plan says. The PBX itself and calls
that are up are not touched.

  sbc drill office on
  sbc drill office off""",
)
def drill(
    pbx: Annotated[str, Parameter(name="PBX", help="The PBX, from sbc pbxs.")],
    order: Annotated[Literal["on", "off"], Parameter(name="ON|OFF", help="on: treat it as down.")],
    /,
    *,
    admin: Admin = None,
    policy: FromPolicy = None,
    json: Json = False,
) -> int:
    from sbc.cli.control import drill

    return drill(pbx, admin, policy, on=order == "on", json=json)


@app.command(
    help="""Take a trunk out of service: no new calls from it or to it.

Calls that are up stay up. sbc restore takes it back.

  sbc busyout carrier-a""",
)
def busyout(trunk: Trunk, /, *, admin: Admin = None, policy: FromPolicy = None, json: Json = False) -> int:
    from sbc.cli.control import busy_out

    return busy_out(trunk, admin, policy, json=json)


@app.command(
    help="""Take a trunk that was busied out back into service; have a rejected registration tried at once.

  sbc restore carrier-a""",
)
def restore(trunk: Trunk, /, *, admin: Admin = None, policy: FromPolicy = None, json: Json = False) -> int:
    from sbc.cli.control import restore

    return restore(trunk, admin, policy, json=json)


@app.command(
    help="""Send OPTIONS to every server address of a trunk or PBX.

Waits at most 5 seconds. Exit status 1 if nothing answered.

  sbc ping carrier-a""",
)
def ping(
    peer: Annotated[str, Parameter(name="PEER", help="A trunk or a PBX.")],
    /,
    *,
    admin: Admin = None,
    policy: FromPolicy = None,
    json: Json = False,
) -> int:
    from sbc.cli.peers import ping

    return ping(peer, admin, policy, json=json)


@app.command(
    help="""Take no new calls, and end what is left after a while.

Emergency calls are still placed. When the last call is over, our registrations
with carriers are taken back; the next start registers again. The program
stays; stop or restart it when sbc status shows no calls.

  sbc drain
  sbc drain --deadline 1h""",
)
def drain(
    *,
    deadline: Annotated[str, Parameter(help="How long calls may go on: 90s, 10m, 1h; at most 7d.")] = "10m",
    admin: Admin = None,
    policy: FromPolicy = None,
    json: Json = False,
) -> int:
    from sbc.cli.control import drain

    return drain(deadline, admin, policy, json=json)


@app.command(
    help="""Read the policy again. Calls are not touched.

If anything is wrong with it, every error is shown and nothing changes.

  sbc reload""",
)
def reload(*, admin: Admin = None, policy: FromPolicy = None, json: Json = False) -> int:
    from sbc.cli.control import reload

    return reload(admin, policy, json=json)


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
    admin: Admin = None,
    policy: FromPolicy = None,
    json: Json = False,
) -> int:
    from sbc.cli.records import list_records

    return list_records(since=since, trunk=trunk, limit=limit, data_dir=data_dir, admin=admin, policy=policy, json=json)
