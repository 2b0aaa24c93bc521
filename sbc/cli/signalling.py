"""`python -m sbc.cli.signalling`: the signalling process, as the supervisor starts it. Nobody types it.

Errors are told and exit statuses chosen as for every command, since `sbc run` ends with them. Arguments are not checked
again; what parses them for people takes longer to import than a restart should.
"""

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from sbc.cli import end_with, guarded


class Words(NamedTuple):
    """What `sbc run` has checked: `[--debug] [--record DIR KEEPS] --log-format console|json POLICY…`."""

    debug: bool
    record: tuple[str, ...]
    log_format: str
    policies: tuple[str, ...]

    @classmethod
    def parse(cls, words: Sequence[str]) -> Self:
        debug = tuple(words[:1]) == ("--debug",)
        words = words[debug:]
        record: tuple[str, ...] = ()
        if tuple(words[:1]) == ("--record",):
            record, words = tuple(words[1:3]), words[3:]
        _, log_format, *policies = words
        return cls(debug, record, log_format, tuple(policies))


def main() -> NoReturn:
    start(sys.argv[1:])


def start(arguments: Sequence[str]) -> NoReturn:
    """`--supervisor-fd N [--after STATUS]`, then as in `Words`."""
    _, number, *words = arguments
    after = None
    if words[:1] == ["--after"]:
        _, after, *words = words
    given = Words.parse(words)
    end_with(lambda: guarded(lambda: _run(int(number), after, given), debug=given.debug))


def _run(number: int, after: str | None, words: Words) -> int:
    control = socket.socket(fileno=number)
    control.set_inheritable(False)

    from sbc.app import run
    from sbc.runtime.supervised_keeper import SupervisedKeeper
    from sbc.runtime.supervisor.starting import name_process

    name_process("sbc-signalling")
    paths = [Path(policy) for policy in words.policies]
    keeper = SupervisedKeeper(control, after=None if after is None else int(after))
    recording = None
    if words.record:
        from sbc.runtime.recording.writer import Recording

        folder, keeps = words.record
        recording = Recording(Path(folder), keeps="digest" if keeps == "digest" else "commands")
    return run(
        paths, log_format="json" if words.log_format == "json" else "console", keeper=keeper, recording=recording
    )


if __name__ == "__main__":
    main()
