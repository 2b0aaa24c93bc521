"""Manners that all commands share: help with examples that parse, exit statuses, the same options for who is asked.

The commands are found, not listed: a new one is judged from its first day.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts import App

from sbc.cli import run_command
from sbc.cli.commands import app
from sbc.cli.running import Running

HELP = {"--help", "-h", "--version"}
# What each needs besides options; every command must be in here.
ARGUMENTS = {
    "run": "/nowhere",
    "check": "/nowhere",
    "why": "/nowhere --from office --to 911",
    "replay": "/nowhere",
    "demo": None,  # needs seconds, and fails by its calls alone: tests/loopback
    "status": "",
    "calls": "",
    "trace": "k3v7q2mxya",
    "trunks": "",
    "pbxs": "",
    "paths": "",
    "limits": "",
    "top": "",
    "alarms": "",
    "hangup": "k3v7q2mxya",
    "ping": "carrier-a",
    "testcall": "carrier-a --to +14155550100",
    "busyout": "carrier-a",
    "restore": "carrier-a",
    "drill": "office on",
    "bans list": "",
    "bans add": "192.0.2.7",
    "bans lift": "192.0.2.7",
    "drain": "",
    "reload": "",
    "restart": "",
    "cdr list": "",
    "cdr export": "",
    "cdr report": "",
    "bench": None,
    "simulate": None,
    "completion": None,  # cannot fail
}


def commands(within: App = app, before: str = ""):
    for name in within:
        if name in HELP:
            continue
        command = within[name]
        if command.default_command is None or list(set(command) - HELP):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


ALL = dict(commands())
ASKING = [
    name for name, command in ALL.items() if any(a.name == "--admin" for a in command.assemble_argument_collection())
]


def examples(name: str) -> list[str]:
    return [line.strip() for line in ALL[name].help.split("\n") if re.match(rf"  sbc {name}\b", line)]


def test_every_command_is_in_the_table_of_exit_statuses():
    assert ARGUMENTS.keys() == ALL.keys()


@pytest.mark.parametrize("name", ALL)
def test_help_ends_with_examples_and_is_0(name, capsys):
    assert run_command([*name.split(), "--help"]) == 0

    out = capsys.readouterr().out
    assert examples(name)
    for example in examples(name):
        assert f"\n  {example}\n" in out


@pytest.mark.parametrize(("name", "example"), [(name, example) for name in ALL for example in examples(name)])
def test_every_example_is_a_command_that_can_be_typed(name, example):
    words = shlex.split(re.split(r" [|>] ", example)[0])

    command, _, _ = app.parse_args(words[1:], print_error=False, exit_on_error=False)

    assert command is ALL[name].default_command


@pytest.mark.parametrize("name", ALL)
def test_an_option_that_does_not_exist_is_2(name, capsys):
    arguments = (ARGUMENTS[name] or "").split()

    assert run_command([*name.split(), *arguments, "--frobnicate"]) == 2
    assert capsys.readouterr().err.startswith("sbc: ")


@pytest.mark.parametrize("name", [name for name, arguments in ARGUMENTS.items() if arguments and name != "run"])
def test_missing_arguments_are_2(name, capsys):
    assert run_command(name.split()) == 2
    assert capsys.readouterr().err.startswith("sbc: ")


@pytest.mark.parametrize("name", ASKING)
def test_nobody_to_ask_is_1_and_one_line(name, tmp_path, capsys):
    command = [*name.split(), *ARGUMENTS[name].split(), "--admin", f"unix:{tmp_path}/none"]

    assert run_command(command) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"sbc: unix:.*: there is no such socket; is sbc running\? .*\n", err)


@pytest.mark.parametrize("name", ["check", "why"])
def test_a_policy_that_is_not_there_is_1(name, capsys):
    assert run_command([name, *ARGUMENTS[name].split()]) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ASKING)
def test_every_asking_command_is_told_whom_to_ask_in_the_same_words(name):
    options = {argument.name for argument in ALL[name].assemble_argument_collection()}

    assert {"--admin", "--policy", "--token-file", "--json"} <= options


@pytest.mark.parametrize("name", ASKING)
def test_a_token_that_cannot_be_read_is_1_and_never_shown(name, tmp_path, capsys):
    token = tmp_path / "token"
    token.write_text("two words\n")
    command = [*name.split(), *ARGUMENTS[name].split(), "--admin", "127.0.0.1:1", "--token-file", str(token)]

    assert run_command(command) == 1
    err = capsys.readouterr().err
    assert err == f"sbc: {token}: there is no token in it; expected one line without spaces\n"


def test_whom_to_ask_is_asked_by_all_that_do_not_read_files_or_measure():
    assert set(ALL) - set(ASKING) == {"run", "check", "why", "demo", "replay", "bench", "simulate", "completion"}


@pytest.mark.parametrize("name", ["trunks", "hangup", "cdr list"])
def test_the_options_reach_the_command(name):
    words = [*name.split(), *ARGUMENTS[name].split(), "--admin", "h:1", "--policy", "a", "--policy", "b", "--json"]

    _, bound, _ = app.parse_args(words, print_error=False, exit_on_error=False)

    asked = bound.kwargs["sbc"]
    assert isinstance(asked, Running)
    assert (asked.admin, [str(path) for path in asked.policy], asked.json) == ("h:1", ["a", "b"], True)


def test_the_version_is_said_and_nothing_else(capsys):
    assert run_command(["--version"]) == 0
    assert re.fullmatch(r"sbc \d+\.\d+\S*\n", capsys.readouterr().out)


# --- the page ---------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")


def on_page() -> set[str]:
    """Commands in the first column of its table."""
    first_cells = [line.split(" | ")[0] for line in PAGE.splitlines() if line.startswith("| `sbc ")]
    return {name for cell in first_cells for name in re.findall(r"`sbc ((?:(?:cdr|bans) )?[a-z]+)", cell)}


def test_the_page_lists_exactly_the_commands():
    assert on_page() == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_the_page_has_the_examples_of_the_help(name):
    shown = PAGE.partition("## Examples")[2].splitlines()

    assert set(examples(name)) <= set(shown)


def test_the_page_has_no_example_that_the_help_has_not():
    shown = PAGE.partition("## Examples\n\n```\n")[2].partition("\n```")[0].splitlines()

    assert shown
    assert set(shown) <= {example for name in ALL for example in examples(name)}


# --- what a shell completes -------------------------------------------------------------------------------------------


def completed(line: str, tmp_path) -> list[str]:
    """What bash offers for the last word of a line."""
    script = tmp_path / "sbc.bash"
    script.write_text(sbc("completion", "bash"))
    words = line.split(" ")
    program = f"""
        source {script} || exit 9
        COMP_WORDS=({" ".join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}
        $(complete -p sbc | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    found = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, check=True)
    assert not found.stderr
    return found.stdout.split()


def sbc(*arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    found = subprocess.run(
        [sys.executable, "-m", "sbc", *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return found.stdout


def test_bash_completes_commands(tmp_path):
    assert sorted(completed("sbc dr", tmp_path)) == ["drain", "drill"]


def test_bash_completes_commands_below_commands(tmp_path):
    assert "list" in completed("sbc cdr ", tmp_path)


def test_bash_completes_options(tmp_path):
    assert completed("sbc drain --de", tmp_path) == ["--deadline"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_names_every_command(shell):
    script = sbc("completion", shell)

    for name in ALL:
        assert name.split()[-1] in script
