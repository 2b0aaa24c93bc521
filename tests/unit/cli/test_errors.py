"""How the command line ends: exit statuses, one line per error, no traceback at an operator."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sbc.cli import UsageError, run_command
from sbc.core.errors import OperatorError


@pytest.fixture
def command(monkeypatch):
    """Makes `sbc demo` do what the test says."""

    def become(action):
        from sbc.cli.commands import app

        monkeypatch.setattr(app["demo"], "default_command", action)

    return become


def raising(error):
    def action() -> int:
        raise error

    return action


def test_a_command_that_worked_is_0(command):
    command(lambda: 0)

    assert run_command(["demo"]) == 0


def test_a_commands_own_status_is_the_exit_status(command):
    command(lambda: 1)

    assert run_command(["demo"]) == 1


def test_an_operators_error_is_one_line_and_1(command, capsys):
    command(raising(OperatorError("the port is taken")))

    assert run_command(["demo"]) == 1
    assert capsys.readouterr() == ("", "sbc: the port is taken\n")


def test_errors_out_of_nurseries_are_said_one_by_one(command, capsys):
    inner = ExceptionGroup("inner", [OperatorError("second")])
    command(raising(ExceptionGroup("outer", [OperatorError("first"), inner])))

    assert run_command(["demo"]) == 1
    assert capsys.readouterr().err == "sbc: first\nsbc: second\n"


def test_several_problems_in_one_error_are_lines_of_their_own(command, capsys):
    command(raising(OperatorError("one\nother")))

    run_command(["demo"])

    assert capsys.readouterr().err == "sbc: one\nsbc: other\n"


def test_a_bug_is_one_line_and_1(command, capsys):
    command(raising(ZeroDivisionError("division by zero")))

    assert run_command(["demo"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("sbc: unexpected ZeroDivisionError: division by zero")
    assert len(said.splitlines()) == 1


def test_debug_lets_a_bug_show_itself(command):
    command(raising(ZeroDivisionError()))

    with pytest.raises(ZeroDivisionError):
        run_command(["--debug", "demo"])


def test_debug_changes_nothing_about_operators_errors(command, capsys):
    command(raising(OperatorError("no")))

    assert run_command(["--debug", "demo"]) == 1
    assert capsys.readouterr().err == "sbc: no\n"


def test_control_characters_in_an_error_do_not_reach_the_terminal(command, capsys):
    command(raising(OperatorError("bad \x1b[2J name")))

    run_command(["demo"])

    assert capsys.readouterr().err == "sbc: bad \\x1b[2J name\n"


def test_ctrl_c_is_130_without_a_word(command, capsys):
    command(raising(KeyboardInterrupt()))

    assert run_command(["demo"]) == 130
    assert capsys.readouterr() == ("", "")


def test_wrong_usage_of_a_command_is_2(command, capsys):
    command(raising(UsageError("--since: no time")))

    assert run_command(["demo"]) == 2
    assert capsys.readouterr().err == "sbc: --since: no time\n"


@pytest.mark.parametrize(
    "line",
    [
        "frobnicate",
        "run",
        "check",
        "check --nope policies",
        "why policies --from office",
        "why policies --to 911",
        "hangup",
        "hangup one two",
        "status extra",
        "cdr",
        "cdr frobnicate",
        "cdr list --limit many",
        "cdr list --limit 0",
        "cdr list --limit 1001",
        "cdr list --since never",
        "run policies --log-format xml",
        "",
    ],
)
def test_wrong_usage_is_2(line, capsys):
    assert run_command(line.split()) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("line", ["--help", "-h", "cdr --help", "cdr list -h"])
def test_help_is_0(line, capsys):
    assert run_command(line.split()) == 0
    assert capsys.readouterr().out


def test_asking_for_help_imports_no_machinery():
    program = (
        "import sys; from sbc.cli import run_command; run_command(['--help']); print(*sys.modules, file=sys.stderr)"
    )

    ended = sbc_python("-c", program)

    heavy = {"trio", "pydantic", "starlette", "hypercorn", "httpx2", "sqlite3", "yaml", "phonenumbers", "sbc.app"}
    assert not heavy & set(ended.stderr.split())


def test_a_reader_who_leaves_early_hears_no_complaint():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = sbc_python("-m", "sbc", "--help", stdout=writing)
    finally:
        os.close(writing)

    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_full_disk_behind_stdout_is_one_line():
    with Path("/dev/full").open("w") as full:
        ended = sbc_python("-m", "sbc", "--help", stdout=full)

    assert ended.returncode == 1
    assert ended.stderr == "sbc: the output: No space left on device\n"


def test_a_terminal_that_knows_only_ascii_gets_escapes():
    ended = sbc_python("-m", "sbc", "hangup", "→", "--admin", "€", PYTHONIOENCODING="ascii")

    assert ended.returncode == 1
    assert ended.stderr.startswith("sbc: admin address '\\u20ac'")


def sbc_python(*arguments, stdout=subprocess.PIPE, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | environment,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--hours", "inf"], "for --hours"),
        (["--hours", "9000"], "for --hours"),
        (["--fault-minutes", "inf"], "for --fault-minutes"),
        (["--plant", "bee"], "--plant bee: no such bug; there are record-twice"),
    ],
)
def test_a_simulation_that_cannot_be_meant_so_is_2_and_one_line(words, said, capsys):
    assert run_command(["simulate", *words]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
