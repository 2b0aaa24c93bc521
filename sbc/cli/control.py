"""`sbc drill`, `busyout`, `restore`, `drain` and `reload`: orders to the running SBC, and what they say afterwards."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sbc.admin.control import deadline_seconds
from sbc.cli import UsageError
from sbc.cli.client import ask, find_admin, path_of
from sbc.cli.output import printable, show_json


def drill(pbx: str, admin: str | None, policy: Sequence[Path] | None, *, on: bool, json: bool) -> int:
    path = path_of("drill", pbx)
    return _order(path, "POST" if on else "DELETE", admin, policy, json=json)


def busy_out(trunk: str, admin: str | None, policy: Sequence[Path] | None, *, json: bool) -> int:
    return _order(path_of("trunks", trunk, "busyout"), "POST", admin, policy, json=json)


def restore(trunk: str, admin: str | None, policy: Sequence[Path] | None, *, json: bool) -> int:
    return _order(path_of("trunks", trunk, "busyout"), "DELETE", admin, policy, json=json)


def drain(deadline: str, admin: str | None, policy: Sequence[Path] | None, *, json: bool) -> int:
    try:
        deadline_seconds(deadline)
    except ValueError as error:
        raise UsageError(str(error)) from error
    body = ask(find_admin(admin, policy), "/api/v1/drain", {"deadline": deadline}, key="ends_at", method="POST")
    if json:
        show_json(body)
    else:
        calls = "1 call is" if body["calls"] == 1 else f"{body['calls']} calls are"
        print(f"draining: no new calls; {calls} left, and what is left at {body['ends_at'][:19]}Z is ended")
    return 0


def reload(admin: str | None, policy: Sequence[Path] | None, *, json: bool) -> int:
    body = ask(find_admin(admin, policy), "/api/v1/reload", key="reloaded", method="POST")
    if json:
        show_json(body)
    else:
        print("reloaded: the policy on disk counts for what comes from now on")
    return 0


def _order(path: str, method: str, admin: str | None, policy: Sequence[Path] | None, *, json: bool) -> int:
    peer = ask(find_admin(admin, policy), path, key="state", method=method)
    if json:
        show_json(peer)
    else:
        print(printable(_sentence(peer)))
    return 0


def _sentence(peer: dict[str, Any]) -> str:
    why = f", {peer['why']}" if peer["why"] else ""
    used = peer.get("call_paths", {}).get("used", 0)
    up = f"; calls that are up go on: {used}" if peer["state"] == "busyout" and used else ""
    return f"{peer['name']}: {peer['state']}{why}{up}"
