"""Draws the state diagrams of `reference/state-diagrams.md` as SVG: a column for each state, a row for each transition.

The pages hold them as Mermaid, which forges draw by themselves; the HTML must not fetch a program for it. What is read
here is what `sbc.sip.transaction.diagram` writes, and no more of Mermaid than that. Used by `conf.py`.
"""

import re
from html import escape
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive

_COLUMN, _ROW, _HEAD = 124, 34, 52  # pixels
_NAMED = re.compile(r'state "(.+)" as (\w+)')
_EDGE = re.compile(r"(\w+) --> (\w+): (.+)")
_FIRST = re.compile(r"\[\*\] --> (\w+)")


class Mermaid(Directive):
    """The directive `mermaid`, which a fence of that language stands for."""

    has_content: ClassVar[bool] = True

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", draw(list(self.content)), format="html")]


def draw(lines: list[str]) -> str:
    """`lines` without a word that is unknown here; ValueError otherwise, so that no edge is left out silently."""
    names: dict[str, str] = {}
    edges: list[tuple[str, str, str]] = []
    first = ""
    for line in map(str.strip, lines):
        if match := _NAMED.fullmatch(line):
            names[match[2]] = match[1]
        elif match := _EDGE.fullmatch(line):
            edges.append((match[1], match[2], match[3]))
        elif match := _FIRST.fullmatch(line):
            first = match[1]
        elif line and line != "stateDiagram-v2" and not line.endswith("--> [*]"):
            raise ValueError(f"the state diagrams have no line such as {line!r}")
    states = list(dict.fromkeys([first, *(state for edge in edges for state in edge[:2])]))
    if "terminated" in states:
        states.append(states.pop(states.index("terminated")))
    column = {state: _COLUMN * at + _COLUMN // 2 for at, state in enumerate(states)}
    width, height = _COLUMN * len(states), _HEAD + _ROW * len(edges) + 12
    parts = [part for state in states for part in _state(names.get(state, state), column[state], height)]
    for at, (source, target, label) in enumerate(edges):
        parts += _edge(column[source], column[target], label, _HEAD + _ROW * (at + 1))
    told = "; ".join(f"{names.get(a, a)} to {names.get(b, b)}: {label}" for a, b, label in edges)
    return (
        f'<div class="diagram" tabindex="0" role="img" aria-label="{escape(told)}">'
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        f"{''.join(parts)}</svg></div>"
    )


def _state(name: str, x: int, height: int) -> list[str]:
    half = _COLUMN // 2 - 5
    words = name.split(", ")
    return [
        f'<rect x="{x - half}" y="4" width="{2 * half}" height="36" rx="6"/>',
        *(
            f'<text x="{x}" y="{26 - 8 * (len(words) - 1) + 16 * at}" class="state">{escape(word)}</text>'
            for at, word in enumerate(words)
        ),
        f'<line x1="{x}" y1="40" x2="{x}" y2="{height}" class="life"/>',
    ]


def _edge(start: int, end: int, label: str, y: int) -> list[str]:
    if start == end:
        return [
            f'<path d="M{start} {y - 8} h18 v12 h-12"/>',
            f'<path d="M{start} {y + 4} l7 -4 v8 z" class="tip"/>',
            f'<text x="{start + 24}" y="{y + 2}" class="loop">{escape(label)}</text>',
        ]
    back = 7 if end > start else -7
    return [
        f'<path d="M{start} {y} H{end - back}"/>',
        f'<path d="M{end} {y} l{-back} -4 v8 z" class="tip"/>',
        f'<text x="{(start + end) // 2}" y="{y - 5}">{escape(label)}</text>',
    ]
