"""`python -m sbc.cli.signalling`: the signalling process, as the supervisor starts it. Nobody types it.

Errors are told and exit statuses chosen as for every command, since `sbc run` ends with them. Arguments are not checked
again; what parses them for people takes longer to import than a restart should.
"""

import socket
import sys
from pathlib import Path

from sbc.cli import end_with, guarded


def main() -> None:
    """`--supervisor-fd N [--after STATUS] [--debug] [--record DIR KEEPS] --log-format console|json POLICY…`."""
    _, number, *words = sys.argv[1:]
    after = None
    if words[:1] == ["--after"]:
        _, after, *words = words
    debug = words[:1] == ["--debug"]
    words = words[debug:]
    record: list[str] = []
    if words[:1] == ["--record"]:
        record, words = words[1:3], words[3:]
    _, log_format, *policies = words
    end_with(lambda: guarded(lambda: _run(int(number), after, log_format, policies, record), debug=debug))


def _run(number: int, after: str | None, log_format: str, policies: list[str], record: list[str]) -> int:
    control = socket.socket(fileno=number)
    control.set_inheritable(False)

    from sbc.app import run
    from sbc.runtime.supervised_keeper import SupervisedKeeper
    from sbc.runtime.supervisor.starting import name_process

    name_process("sbc-signalling")
    paths = [Path(policy) for policy in policies]
    keeper = SupervisedKeeper(control, after=None if after is None else int(after))
    recording = None
    if record:
        from sbc.runtime.recording.writer import Recording

        recording = Recording(Path(record[0]), keeps="digest" if record[1] == "digest" else "commands")
    return run(paths, log_format="json" if log_format == "json" else "console", keeper=keeper, recording=recording)


if __name__ == "__main__":
    main()
