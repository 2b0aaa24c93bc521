"""Every event that the program can log stands in the reference, and no other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
EVENT = re.compile(r"[a-z]+\.[a-z_]+")
# Not one literal in the code: made of an order's name, or said by the log itself.
COMPOSED = {"busyout.on", "busyout.off", "drill.on", "drill.off", "log.dropped", "log.stalled", "log.flowing"}
LOGS = {"info", "warning", "error", "exception", "log", "Log"}


def events(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in LOGS:
            for argument in node.args[:2]:
                if isinstance(argument, ast.Constant) and EVENT.fullmatch(str(argument.value)):
                    yield argument.value


def test_the_page_lists_exactly_the_events_of_the_code():
    production = [path for path in (ROOT / "sbc").rglob("*.py") if "testing" not in path.parts]
    in_code = {event for path in production for event in events(ast.parse(path.read_text("utf-8")))}
    page = (ROOT / "docs" / "reference" / "log.md").read_text("utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    on_page = {event for row in rows for event in re.findall(r"`([a-z]+\.[a-z_]+)`", row)}
    assert on_page == in_code | COMPOSED
