"""Every `sbc …` of the documentation, in a block or in a line, is one that the command line understands."""

import re
import shlex
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from sbc.cli.commands import app
from sbc.testing.pages import blocks

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "policies" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INLINE = re.compile(r"(?<!`)`(sbc [^`\n]+)`(?!`)")
# What a reader fills in, and what an argument of that kind may be.
FILLED_IN = {
    "ON|OFF": "on",
    "N": "5",
    "TIME": "2h",
    "FILE": "f",
    "DIR": "d",
    "PATH": "p",
    "POLICY…": "p",
    "NUMBER": "911",
}
_TAKES_VALUE = ("--data-dir", "--since", "--admin", "--policy", "--token-file")  # where a line ends with one of them
NOT_RUN_AT_MOST = 12  # blocks that no test runs, in all pages together; each says why


def _commands():
    for page in PAGES:
        text, name = page.read_text("utf-8"), str(page.relative_to(ROOT))
        found = {f"{name}:{block.line}": command for block in blocks(text) if block.language in ("sh", "")
                 for command in _split(block)}  # fmt: skip
        found |= {f"{name}: {command}": command for command in INLINE.findall(_prose(text))}
        for place, command in found.items():
            yield pytest.param(command, id=place)


def _split(block):
    lines = block.commands if block.language == "sh" else block.text.splitlines()
    return [
        part.strip() for line in lines for part in re.split(r";|&&|\|\|?", line) if re.match(r"sbc \S", part.strip())
    ]


def _prose(text):
    for block in blocks(text):
        text = text.replace(block.text, "") if block.text else text
    return text


def _tokens(command):
    """With what the reader fills in filled in, and what he may leave out left out."""
    command = re.sub(r"\[[^\]]*\]", "", command).replace(", …", "").removesuffix("…")
    command = re.sub(r"^sbc --debug COMMAND", "sbc status", command)  # `--debug` is taken off before a command is read
    command = re.sub(r"(--[a-z-]+)$", r"\1 2h", command) if command.endswith(_TAKES_VALUE) else command
    return [FILLED_IN.get(token, token) for token in shlex.split(command)[1:]]


@pytest.mark.parametrize("command", list(_commands()))
def test_the_command_line_understands_it(command):
    tokens = _tokens(command)
    try:
        found, _, _ = app.parse_args(tokens, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        # A page may name a command without what it takes.
        if tokens in _names_of_commands():
            return
        pytest.fail(f"{command}: {error}")
    assert found


def _names_of_commands():
    return [[name] for name in app._commands] + [["cdr", name] for name in app["cdr"]._commands]


def test_what_is_not_run_says_why_and_is_little():
    reasons = {
        f"{page.relative_to(ROOT)}:{block.line}": block.marks["not run"]
        for page in PAGES
        for block in blocks(page.read_text("utf-8"))
        if "not run" in block.marks and block.text
    }
    assert [place for place, reason in reasons.items() if len(reason) < 15] == []
    assert 0 < len(reasons) <= NOT_RUN_AT_MOST
