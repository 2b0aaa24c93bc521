"""The table of RFCs names tests that exist, and no RFC twice."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ROW = re.compile(r"\| (\d[\d, ]*) \| .* \| (.*) \|")


def rows():
    page = (ROOT / "docs" / "reference" / "rfcs.md").read_text("utf-8")
    return [match.groups() for match in map(ROW.fullmatch, page.splitlines()) if match]


def test_every_row_names_tests_that_exist():
    named = [(rfc, re.findall(r"`(tests/[^`]+)`", tests)) for rfc, tests in rows()]
    assert len(named) > 30
    assert [rfc for rfc, paths in named if not paths] == []
    assert [path for _, paths in named for path in paths if not (ROOT / path).exists()] == []


def test_no_rfc_stands_there_twice():
    numbers = [number for rfc, _ in rows() for number in rfc.split(", ")]
    assert sorted(set(numbers)) == sorted(numbers)
