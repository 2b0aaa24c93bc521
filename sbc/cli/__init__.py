"""The command line: `sbc run`, `check`, `why`, `demo`, and all that asks a running SBC.

`main` is the only door; it is where errors become one line on stderr and an exit status: 0 done, 1 refused with a
reason, 2 wrong usage. Commands import what they need when they run, so that `sbc --help` is quick.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NoReturn

from sbc.cli.output import printable_lines
from sbc.core.errors import OperatorError

DONE: Final = 0
REFUSED: Final = 1
WRONG_USAGE: Final = 2
_HELP_FLAGS: Final = frozenset({"--help", "-h"})
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it


class UsageError(OperatorError):
    """An argument that cannot be meant so: exit status 2."""


def main() -> NoReturn:
    tokens = sys.argv[1:]
    end_with(lambda: run_command(tokens))


def end_with(command: Callable[[], int]) -> NoReturn:
    """End this process with the command's exit status, whatever its standard streams are."""
    _fill_closed_streams()
    # A terminal that cannot show a character gets its escape, not an exception.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    status = command()
    try:
        sys.stdout.flush()
    except OSError:
        # Said already, or the reader has gone; the interpreter would try again and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)


def run_command(tokens: Sequence[str]) -> int:
    """One command's exit status. `--debug` before the command lets an unexpected error show its traceback."""
    debug = tokens[:1] == ["--debug"]
    return guarded(partial(_dispatch, tokens[1:] if debug else tokens), debug=debug)


def guarded(command: Callable[[], int], *, debug: bool) -> int:
    """Its exit status; what it raises becomes lines on stderr."""
    try:
        status = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `sbc calls | head -1`: whoever read us has seen enough.
        return REFUSED
    except Exception as error:
        if debug and not isinstance(error, OperatorError):
            raise
        return _tell(error)
    return status


def _fill_closed_streams() -> None:
    """Started with `2>&-`, the first socket would become descriptor 2 and get what is meant for stderr."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(number, True)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for the process's life
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def _dispatch(tokens: Sequence[str]) -> int:
    from cyclopts import CycloptsError

    from sbc.cli.commands import app

    if not tokens:
        app.help_print([])
        return WRONG_USAGE
    try:
        command, bound, _ = app.parse_args(list(tokens), print_error=False, exit_on_error=False)
    except CycloptsError as error:
        raise UsageError(f"{error} (see sbc --help)") from error
    status = command(*bound.args, **bound.kwargs) or DONE
    # `sbc cdr` alone shows its help, which is not what was asked for.
    is_unasked_help = command == app.help_print and not _HELP_FLAGS.intersection(tokens)
    return WRONG_USAGE if is_unasked_help else status


def _tell(error: Exception) -> int:
    status = DONE
    for leaf in _leaves(error):
        print(printable_lines(_sentence(leaf)), file=sys.stderr)
        status = max(status, WRONG_USAGE if isinstance(leaf, UsageError) else REFUSED)
    return status


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"sbc: {error.filename or 'the output'}: {error.strerror or error}"
    if not isinstance(error, OperatorError):
        return f"sbc: unexpected {type(error).__name__}: {error} (sbc --debug COMMAND shows where)"
    # A policy's errors begin with their place, as a compiler's do, so that editors find it.
    return str(error) if hasattr(error, "problems") else "\n".join(f"sbc: {line}" for line in str(error).split("\n"))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """What trio's nurseries wrapped, unwrapped."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
