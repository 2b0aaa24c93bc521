"""Every bound has a reason, code that reads it, something that shows it, a test, and its row."""

import importlib.util
import re
from pathlib import Path

import pytest

from sbc.core import limits
from sbc.testing.world import POLICY, World

ROOT = Path(__file__).resolve().parents[3]


def module(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def bounds():
    return module("bounds")


@pytest.fixture(scope="module")
def page(bounds):
    return bounds.page()


def test_every_number_of_the_file_has_its_row_and_its_reason(bounds, page):
    names = {name for name in vars(limits) if name.isupper()}
    assert {bound.name for bound in bounds.bounds()} == names
    assert [bound.name for bound in bounds.bounds() if not bound.reason] == []
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE)) == names


def test_every_number_is_read_by_the_program(bounds):
    assert {bound.name for bound in bounds.bounds()} - bounds.read_in_code() == set()


def test_every_number_has_a_test_that_exists(bounds):
    assert [name for name, tests in bounds.marked().items() if not tests] == []
    for name, tests in bounds.marked().items():
        for path, test in tests:
            assert re.search(rf"^(?:async )?def {test}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), name


def test_of_every_number_it_is_said_what_shows_it(bounds):
    assert {bound.name for bound in bounds.bounds()} == set(bounds.what_shows())


def test_every_table_that_is_named_is_counted_and_the_other_way_round(bounds):
    switch = World(POLICY).switch
    engine = {table.name for table in switch.tables()}
    runtime = set(re.findall(r'Table\(\s*"([a-z_]+)"', "".join(p.read_text("utf-8") for p in _runtime())))
    assert bounds.shown("table") - engine - runtime == set()
    # A peer's policy, or the port range, bounds these.
    assert engine | runtime == bounds.shown("table") | {"media_ports"}


def test_every_reason_and_every_metric_that_is_named_is_one(bounds):
    metrics = module("metrics")
    assert bounds.shown("dropped") - set(metrics.REASONS) == set()
    assert bounds.shown("family") - {family[0] for family in metrics.families()} == set()


def _runtime():
    media = (ROOT / "sbc" / "media").rglob("*.py")  # a worker counts its own, and tells signalling
    return [ROOT / "sbc" / "app.py", *(ROOT / "sbc" / "runtime").glob("*.py"), *media]
