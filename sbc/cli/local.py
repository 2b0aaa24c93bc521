"""`sbc run`, `check` and `why`: what reads policy files in this process."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sbc.cli.output import printable_lines


def run_policy(paths: Sequence[Path], log_format: Literal["console", "json"]) -> int:
    from sbc.app import run

    return run(paths, log_format=log_format)


def check_policy(paths: Sequence[Path]) -> int:
    from sbc.policy.check import summary
    from sbc.policy.load import load_policy

    print(printable_lines(summary(load_policy(paths, environment=os.environ))))
    return 0


def explain_call(paths: Sequence[Path], peer: str, called: str, caller: str | None) -> int:
    from sbc.policy.explain import dry_run
    from sbc.policy.load import load_policy
    from sbc.policy.model import Facts

    policy = load_policy(paths, environment=os.environ)
    run = dry_run(policy, Facts(peer, called, caller or ""))
    print(printable_lines(run.text))
    return 1 if run.is_refused else 0
