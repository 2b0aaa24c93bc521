"""Expected beside actual, line by line: what a flow test prints when a call went another way than its story."""

import difflib
from collections.abc import Sequence


def beside(expected: Sequence[str], actual: Sequence[str]) -> str:
    """Two columns; a line that differs is marked: `-` missing, `+` unexpected, `!` another one."""
    width = max([len(line) for line in expected] + [8])
    lines = [f"  {'expected'.ljust(width)}   actual"]
    for kind, a, b, c, d in difflib.SequenceMatcher(None, expected, actual, autojunk=False).get_opcodes():
        left, right = list(expected[a:b]), list(actual[c:d])
        for n in range(max(len(left), len(right))):
            one = left[n] if n < len(left) else ""
            other = right[n] if n < len(right) else ""
            mark = " " if kind == "equal" else "+" if n >= len(left) else "-" if n >= len(right) else "!"
            lines.append(f"{mark} {one.ljust(width)} | {other}".rstrip())
    return "\n".join(lines)
