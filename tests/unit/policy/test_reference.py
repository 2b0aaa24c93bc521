from pathlib import Path

from sbc.policy.reference import render
from sbc.policy.sections import SECTIONS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "policy.md"


def test_the_reference_page_is_not_stale():
    assert PAGE.read_text(encoding="utf-8") == render(), "python -m sbc.policy.reference > docs/reference/policy.md"


def test_every_key_is_on_the_page_with_whether_it_is_built():
    rows = render().splitlines()
    for section in SECTIONS:
        for key in section.keys:
            if key.misplaced:
                continue
            found = [row for row in rows if row.startswith(f"| `{key.name}` | {key.type} |")]
            assert found
            assert key.read is not None or any("not built yet" in row for row in found)
