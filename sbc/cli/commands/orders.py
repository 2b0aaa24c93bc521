"""Orders to the running SBC: `hangup`, `ping`, `testcall`, `busyout`, `restore`, `drill`, `drain`, `reload`,
`restart`.
"""

from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from sbc.cli.commands.root import ORDERS, app
from sbc.cli.running import LOCAL, RunningSbc
from sbc.core.limits import TEST_CALL_SECONDS

Trunk = Annotated[str, Parameter(name="TRUNK", help="The trunk, from sbc trunks.")]


@app.command(
    group=ORDERS,
    sort_key=1,
    help="""End a running call, on both legs.

Its record will say that the operator ended it.

  sbc hangup k3v7q2mxya""",
)
def hangup(
    ref: Annotated[str, Parameter(name="REF", help="The call's ref, from sbc calls.")], /, *, sbc: RunningSbc = LOCAL
) -> int:
    from sbc.cli.remote import hang_up

    return hang_up(ref, sbc)


@app.command(
    group=ORDERS,
    sort_key=2,
    help="""Send OPTIONS to every server address of a trunk or PBX.

Waits at most 5 seconds. Exit status 1 if nothing answered.

  sbc ping carrier-a""",
)
def ping(peer: Annotated[str, Parameter(name="PEER", help="A trunk or a PBX.")], /, *, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.peers import ping

    return ping(peer, sbc)


@app.command(
    name="testcall",
    group=ORDERS,
    sort_key=3,
    help="""Place a call out of a trunk, and back in where the number is ours, and listen.

Says how long it took, as what it came back, and what was heard each way. For a
few seconds calls of this number from this trunk are ours if the caller is;
others go to their PBX. Run it where the SBC runs. Exit status 1 if it was not
answered, did not come back or was not heard.

  sbc testcall carrier-a --to +14155550100
  sbc testcall carrier-a --to +442079460123 --caller +14155550100 --seconds 10
  sbc testcall carrier-a --to +14155550100 --one-way""",
)
def place_test_call(
    trunk: Trunk,
    /,
    *,
    to: Annotated[str, Parameter(help="The number to call; one of ours comes back in.")],
    caller: Annotated[str | None, Parameter(help="Who calls. Default: a number of ours.")] = None,
    seconds: Annotated[
        float, Parameter(validator=Number(gte=1, lte=TEST_CALL_SECONDS), help="How long to talk, 1 to 60.")
    ] = 5,
    one_way: Annotated[
        bool, Parameter(show_default=False, help="Out only: a number of ours rings at its PBX.")
    ] = False,
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.testcall import run_test_call

    return run_test_call(trunk, to, caller, seconds, sbc, one_way=one_way)


@app.command(
    group=ORDERS,
    sort_key=4,
    help="""Take a trunk out of service: no new calls from it or to it.

Calls that are up stay up. sbc restore takes it back.

  sbc busyout carrier-a""",
)
def busyout(trunk: Trunk, /, *, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.control import busy_out

    return busy_out(trunk, sbc)


@app.command(
    group=ORDERS,
    sort_key=5,
    help="""Take a trunk that was busied out back into service.

A registration that the carrier rejected is tried again at once.

  sbc restore carrier-a""",
)
def restore(trunk: Trunk, /, *, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.control import restore

    return restore(trunk, sbc)


@app.command(
    group=ORDERS,
    sort_key=6,
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
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.control import drill

    return drill(pbx, sbc, on=order == "on")


@app.command(
    group=ORDERS,
    sort_key=7,
    help="""Take no new calls, and end what is left after a while.

Emergency calls are still placed. When the last call is over, our registrations
with carriers are taken back; the next start registers again. The program
stays; stop or restart it when sbc status shows no calls. --off takes a drain
back: new calls are taken again, and nothing is ended.

  sbc drain
  sbc drain --deadline 1h
  sbc drain --off""",
)
def drain(
    *,
    deadline: Annotated[
        str | None, Parameter(help="How long calls may go on: 90s, 10m, 1h; at most 7d. Default: 10m.")
    ] = None,
    off: Annotated[bool, Parameter(show_default=False, help="Take it back.")] = False,
    sbc: RunningSbc = LOCAL,
) -> int:
    from sbc.cli.control import drain

    return drain(deadline, sbc, off=off)


@app.command(
    group=ORDERS,
    sort_key=8,
    help="""Read the policy again. Calls are not touched.

If anything is wrong with it, every error is shown and nothing changes.

  sbc reload""",
)
def reload(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.control import reload

    return reload(sbc)


@app.command(
    group=ORDERS,
    sort_key=9,
    help="""Go on as the program that is installed now, with all calls.

The installed program is tried first, with the policy as it is now; what cannot
start is refused with its reason, and nothing changes. Then signalling is
replaced, and calls, sockets and media workers stay. Calls that are being set
up may fail. Waits until it is done.

  sbc restart""",
)
def restart(*, sbc: RunningSbc = LOCAL) -> int:
    from sbc.cli.control import restart

    return restart(sbc)
