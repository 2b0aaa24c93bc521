"""The page about what happens in a call names the keys and defaults of the policy as they are."""

import re
from pathlib import Path

import pytest

from sbc.policy.reference import render

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "explanation" / "calls.md").read_text("utf-8")


def keys():
    """Each key of the table at the top, with the words that it has for a pbx and for a trunk."""
    table = PAGE[PAGE.index("| key | a pbx") : PAGE.index("## Hold")]
    for line in table.splitlines()[2:]:
        if line.startswith("|"):
            key, pbx, trunk, _ = (cell.strip(" `") for cell in line.strip("|").split("|"))
            yield key, pbx, pbx if trunk == "the same" else trunk


def defaults(section):
    """What the policy reference says of a section's keys."""
    text = render()
    start = text.index(f"## `{section}`\n")
    rows = [line.strip("|").split("|") for line in text[start : text.index("\n## ", start + 1)].splitlines()]
    return {row[0].strip(" `"): row[2].strip(" `") for row in rows if len(row) == 4}


@pytest.mark.parametrize(("section", "at"), [("pbxs.NAME", 1), ("trunks.NAME", 2)])
def test_defaults_are_those_of_the_policy(section, at):
    known = defaults(section)
    told = {row[0]: row[at] for row in keys()}
    assert len(told) == 13
    # "all" and "1800s" begin what the reference says at greater length.
    assert {key: word for key, word in told.items() if not known[key].startswith(word.split(", at")[0])} == {}


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert (ROOT / "docs" / "explanation" / target).exists(), target
