"""Pages of the documentation as tests read them: fenced blocks, and the marks that say what a test does with each.

A mark is an HTML comment, `<!-- key: value; key: value -->`, which no reader sees: directly before a block it belongs
to that block, otherwise it stands for itself; what it means is in `docs/project/contributing.md`. Pure: text in, blocks
out. Used by the tests of `docs`, never by the program.
"""

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

_MARK: Final = re.compile(r"^ *<!-- (.*?) -->", re.DOTALL | re.MULTILINE)
_FENCE: Final = re.compile(r"^( *)(`{3,})(\S*)[^\n]*\n(.*?)^\1\2 *$", re.DOTALL | re.MULTILINE)
_DURATION: Final = re.compile(r"\b\d+[smhd](?: \d+[smhd])*\b")
_REF: Final = re.compile(r"\b[a-z0-9]{12}\b|\bREF\b")
_NUMBER: Final = re.compile(r"\d[\d.,:]*|(?<![-|<])-(?=[/\s]|$)")


class Block(Struct, frozen=True):
    """`language` of its fence, empty for none; `line` in the page, of the first line of `text`, or of a lone mark."""

    language: str
    text: str
    marks: dict[str, str]
    line: int

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, those that a backslash continues joined, without comments."""
        lines = re.sub(r"\s*\\\n\s*", " ", self.text).splitlines()
        return [command for line in lines if (command := _without_comment(line))]


def blocks(page: str) -> list[Block]:
    """Everything that is fenced or marked, in the order of the page. A lone mark has neither language nor text."""
    return list(_blocks(page))


def _blocks(page: str) -> Iterator[Block]:
    fences = list(_FENCE.finditer(page))
    marks = [mark for mark in _MARK.finditer(page) if not any(one.start() < mark.start() < one.end() for one in fences)]
    for found in sorted([*fences, *marks], key=lambda match: match.start()):
        line = page.count("\n", 0, found.start()) + 1
        if found.re is _FENCE:
            before = next((mark for mark in marks if _is_before(page, mark, found)), None)
            yield Block(found[3], _dedented(found[4], found[1]), _read(before[1]) if before else {}, line + 1)
        elif not any(_is_before(page, found, fence) for fence in fences):
            yield Block("", "", _read(found[1]), line)


def _is_before(page: str, mark: re.Match[str], fence: re.Match[str]) -> bool:
    return mark.end() <= fence.start() and not page[mark.end() : fence.start()].strip()


def _read(mark: str) -> dict[str, str]:
    pairs = (part.partition(":") for part in re.split(r";\s*(?=[a-z ]+:)", mark))
    return {key.strip(): " ".join(value.split()) for key, _, value in pairs}


def _dedented(text: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def _without_comment(line: str) -> str:
    """`sbc calls   # who talks`: the part that is a command. A hash within quotes is none."""
    return re.sub(r"(?:^|\s)#\s[^'\"]*$", "", line).strip()


def missing_lines(shown: str, output: str) -> list[str]:
    """The lines of a block that the output does not have, whatever refs, numbers, times and spaces are in them.

    A line `…` stands for whatever is there. The order of lines is not compared.
    """
    there = {_skeleton(line) for line in output.splitlines()}
    return [line for line in shown.splitlines() if line.strip() not in ("", "…") and _skeleton(line) not in there]


def _skeleton(line: str) -> str:
    numbers = _NUMBER.sub("0", _REF.sub("REF", _DURATION.sub("0", line)))
    return " ".join(re.sub(r"\b0(?:/0)+\b", "0", numbers).split())  # `0.5/-` may as well be `-`
