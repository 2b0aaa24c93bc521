"""`sbc drill`, `busyout`, `restore`, `drain`, `reload`, `restart`: orders to the running SBC, what they say then."""

import time
from typing import Any, Final

from sbc.admin.control import deadline_seconds
from sbc.cli import UsageError
from sbc.cli.client import path_of
from sbc.cli.output import printable, show_json
from sbc.cli.running import Running
from sbc.core.errors import OperatorError

_DEADLINE: Final = "10m"
_RESTART_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.1


def drill(pbx: str, sbc: Running, *, on: bool) -> int:
    path = path_of("drill", pbx)
    return _order(path, "POST" if on else "DELETE", sbc)


def busy_out(trunk: str, sbc: Running) -> int:
    return _order(path_of("trunks", trunk, "busyout"), "POST", sbc)


def restore(trunk: str, sbc: Running) -> int:
    return _order(path_of("trunks", trunk, "busyout"), "DELETE", sbc)


def drain(deadline: str | None, sbc: Running, *, off: bool) -> int:
    if off:
        return _take_back(deadline, sbc)
    deadline = deadline or _DEADLINE
    try:
        deadline_seconds(deadline)
    except ValueError as error:
        raise UsageError(str(error)) from error
    body = sbc.ask("/api/v1/drain", {"deadline": deadline}, key="ends_at", method="POST")
    if sbc.json:
        show_json(body)
    else:
        calls = "1 call is" if body["calls"] == 1 else f"{body['calls']} calls are"
        print(f"draining: no new calls; {calls} left, and what is left at {body['ends_at'][:19]}Z is ended")
    return 0


def _take_back(deadline: str | None, sbc: Running) -> int:
    if deadline is not None:
        raise UsageError("--off and --deadline exclude each other")
    body = sbc.ask("/api/v1/drain", key="draining", method="DELETE")
    if sbc.json:
        show_json(body)
    else:
        print("draining: new calls are still refused" if body["draining"] else "not draining: new calls are taken")
    return 0


def reload(sbc: Running) -> int:
    body = sbc.ask("/api/v1/reload", key="reloaded", method="POST")
    if sbc.json:
        show_json(body)
    else:
        changed = printable(body["summary"])
        print(f"reloaded: {'the policy says what it said before' if changed == 'nothing' else changed}")
    return 0


def restart(sbc: Running) -> int:
    before = _signalling(sbc)
    sbc.ask("/api/v1/restart", key="restarting", method="POST")
    end = time.monotonic() + _RESTART_SECONDS
    while time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        try:
            status = sbc.ask("/api/v1/status", key="pids")
        except OperatorError:  # nobody listens there for a moment
            continue
        if status["pids"]["signalling"] != before and _is_back(status):
            return _restarted(status, sbc)
    raise OperatorError(f"it was not back {_RESTART_SECONDS:.0f} s after it began to restart; its log says more")


def _is_back(status: dict[str, Any]) -> bool:
    """Also where a disk keeps calls out that did so before: that is no matter of the restart."""
    return bool(status["ready"] or (status.get("reason") and not status.get("draining")))


def _restarted(status: dict[str, Any], sbc: Running) -> int:
    if sbc.json:
        show_json(status)
    else:
        calls = "1 call goes" if status["calls"] == 1 else f"{status['calls']} calls go"
        print(f"restarted: version {printable(status['version'])}, {calls} on")
    return 0


def _signalling(sbc: Running) -> int:
    pid: int = sbc.ask("/api/v1/status", key="pids")["pids"]["signalling"]
    return pid


def _order(path: str, method: str, sbc: Running) -> int:
    peer = sbc.ask(path, key="state", method=method)
    if sbc.json:
        show_json(peer)
    else:
        print(printable(_sentence(peer)))
    return 0


def _sentence(peer: dict[str, Any]) -> str:
    why = f", {peer['why']}" if peer["why"] else ""
    used = peer.get("call_paths", {}).get("used", 0)
    up = f"; calls that are up go on: {used}" if peer["state"] == "busyout" and used else ""
    return f"{peer['name']}: {peer['state']}{why}{up}"
