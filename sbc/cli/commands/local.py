"""`run`, `check`, `why`, `demo` and `replay`: commands that ask no running SBC."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from sbc.cli.commands.root import LOCAL, app

Policies = Annotated[list[Path], Parameter(name="POLICY", help="Policy files; a folder means its *.yaml.")]
LogFormat = Annotated[Literal["console", "json"], Parameter(name="--log-format", help="How log lines look on stderr.")]
Json = Annotated[bool, Parameter(name="--json", show_default=False, help="JSON instead of text.")]


@app.command(
    group=LOCAL,
    sort_key=1,
    help="""Run in the foreground until SIGTERM or SIGINT.

When everything is up, a line that begins `sbc: ready` goes to stderr.
A second signal ends the program at once.

With --record, everything that the engine takes from outside is kept in a
folder, and what it ordered: `sbc replay` runs it again, on any machine.

  sbc run /etc/sbc
  sbc run policies/quickstart --log-format json
  sbc run /etc/sbc --record /var/lib/sbc/recording""",
)
def run(
    policy: Policies,
    /,
    *,
    log_format: LogFormat = "console",
    record: Annotated[
        Path | None, Parameter(help="Keep a recording in this folder. It holds every message, and passwords.")
    ] = None,
    record_keeps: Annotated[
        Literal["commands", "digest"],
        Parameter(help="Of what the engine orders: all, so that a replay shows what differs, or a digest of it."),
    ] = "commands",
) -> int:
    from sbc.cli.local import run_policy

    run_policy(policy, log_format, record, record_keeps)


@app.command(
    group=LOCAL,
    sort_key=2,
    help="""Read a policy and say what is wrong with it, or what would run.

All errors are shown at once, as FILE:LINE:COLUMN: what is wrong; what was
expected. Exit status 1 on any error.

  sbc check /etc/sbc
  sbc check peers.yaml routes.yaml
  sbc check /etc/sbc --json""",
)
def check(policy: Policies, /, *, json: Json = False) -> int:
    from sbc.cli.local import check_policy

    return check_policy(policy, json=json)


@app.command(
    group=LOCAL,
    sort_key=3,
    help="""Show how a call would be routed, and why: a dry run.

Which rule matched, which did not and for what reason, with file and line.
Exit status 1 if the call is refused.

  sbc why /etc/sbc --from office --to 911
  sbc why /etc/sbc --from carrier-a --to +14155550100 --caller +442079460000
  sbc why /etc/sbc --from office --to 911 --json""",
)
def why(
    policy: Policies,
    /,
    *,
    from_: Annotated[str, Parameter(name="--from", help="The pbx or trunk that the call comes from.")],
    to: Annotated[str, Parameter(help="The number as dialled.")],
    caller: Annotated[str | None, Parameter(help="The calling number.")] = None,
    json: Json = False,
) -> int:
    from sbc.cli.local import explain_call

    return explain_call(policy, from_, to, caller, json=json)


@app.command(
    group=LOCAL,
    sort_key=4,
    help="""Show it work: a scripted PBX and carrier, one call each way with audio.

All on 127/8, without root and without configuration, in at most 20 seconds.
Exit status 0 only if audio was heard both ways.

  sbc demo""",
)
def demo() -> int:
    from sbc.cli.demo import run_demo

    return run_demo()


@app.command(
    group=LOCAL,
    sort_key=5,
    help="""Run a recording of `sbc run --record` again: the same events, the same commands.

Needs no socket, no policy and no file beside the recording. Shows the first
step that comes out otherwise, if any, and then exits with status 1.

  sbc replay /var/lib/sbc/recording
  sbc replay recording --ladder
  sbc replay recording --life 2 --ref 4xk2m9qd7hbe
  sbc replay recording --from 60 --to 75
  sbc replay recording --mask for-the-bug-report
  sbc replay recording --ref 4xk2m9qd7hbe --as-test test_that_call.py""",
)
def replay(
    folder: Annotated[Path, Parameter(name="DIR", help="The folder of the recording.")],
    /,
    *,
    life: Annotated[int | None, Parameter(help="Only this life of the program; all where none is named.")] = None,
    from_: Annotated[float | None, Parameter(name="--from", help="Show steps from so many seconds on.")] = None,
    to: Annotated[float | None, Parameter(help="Stop after so many seconds of each life.")] = None,
    ref: Annotated[str | None, Parameter(help="The call that is shown, or made a test of.")] = None,
    ladder: Annotated[bool, Parameter(show_default=False, help="Show the ladder of each call.")] = False,
    mask: Annotated[
        Path | None, Parameter(help="Write the recording again to this folder, without what nobody needs to know.")
    ] = None,
    as_test: Annotated[Path | None, Parameter(help="Write a flow test of the call --ref to this file.")] = None,
) -> int:
    from sbc.cli.replay import Wish, replay_recording

    return replay_recording(folder, Wish(life, from_, to, ref, ladder, mask, as_test))
