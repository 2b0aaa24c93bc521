"""`sbc run`, which becomes the supervisor; `check` and `why`, which read policy files in this process."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NoReturn

from sbc.cli.output import printable_lines, show_json


def run_policy(
    paths: Sequence[Path],
    log_format: Literal["console", "json"],
    record: Path | None = None,
    record_keeps: Literal["commands", "digest"] = "commands",
) -> NoReturn:
    """The supervisor takes our place, so that nothing of what the command line needs stays in memory.

    With a recording every life has the same order of sets: its PYTHONHASHSEED, random here, is recorded.
    """
    debug = sys.argv[1:2] == ["--debug"]
    words = ["--debug"] * debug
    if record is not None:
        words += ["--record", str(record.absolute()), record_keeps]
        if not os.environ.get("PYTHONHASHSEED", "random").isdigit():
            os.environ["PYTHONHASHSEED"] = str(int.from_bytes(os.urandom(4), "big"))
    words += ["--log-format", log_format, *(str(path) for path in paths)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "sbc.runtime.supervisor", *words])  # noqa: S606


def check_policy(paths: Sequence[Path], *, json: bool = False) -> int:
    from sbc.policy.check import summary
    from sbc.policy.load import PolicyError, load_policy

    try:
        policy = load_policy(paths, environment=os.environ, now=time.time())
    except PolicyError as error:
        if not json:
            raise
        show_json({"valid": False, "problems": [str(problem) for problem in error.problems], "warnings": []})
        return 1
    if json:
        warnings = [str(warning) for warning in policy.warnings]
        show_json({"valid": True, "problems": [], "warnings": warnings, "text": summary(policy)})
    else:
        print(printable_lines(summary(policy)))
    return 0


def explain_call(paths: Sequence[Path], peer: str, called: str, caller: str | None, *, json: bool = False) -> int:
    from sbc.policy.explain import dry_run
    from sbc.policy.load import load_policy
    from sbc.policy.model import Facts

    policy = load_policy(paths, environment=os.environ)
    run = dry_run(policy, Facts(peer, called, caller or ""))
    if json:
        show_json({"refused": run.is_refused, "text": run.text})
    else:
        print(printable_lines(run.text))
    return 1 if run.is_refused else 0
