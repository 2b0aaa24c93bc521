"""Pages that follow from the code say what the code says."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def _generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = ["deviations.md", "causes.md", "policy.md", "state-diagrams.md", "metrics.md", "rfcs.md", "limits.md"]


@pytest.mark.parametrize("page", PAGES)
def test_page_is_fresh(page):
    make = _generator().pages()[page]
    assert (ROOT / "docs" / "reference" / page).read_text("utf-8") == make()


def test_every_deviation_is_listed():
    marked = sum(path.read_text("utf-8").count("Deviation: ") for path in (ROOT / "sbc").rglob("*.py"))
    assert _generator().deviations().count("| `sbc/") == marked > 0
