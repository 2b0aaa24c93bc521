"""Whole descriptions of real kinds of peers, before and after anchoring: tests/golden/sdp/<case>/{offer,expect}.sdp.

Our side: session 42, version 1, address 203.0.113.9, ports 20000, 20002, … for what is not refused.
`UPDATE_GOLDEN=1` writes `expect.sdp` anew; a human reads the difference.
"""

import os
from pathlib import Path

import pytest

from sbc.sdp.anchor import anchor
from sbc.sdp.model import Origin
from sbc.sdp.parse import parse_sdp
from sbc.sdp.remotes import media_remotes
from sbc.sdp.serialize import serialize_sdp

CASES = sorted((Path(__file__).parents[2] / "golden" / "sdp").iterdir())
OURS = "203.0.113.9"


def anchored(offer: bytes) -> bytes:
    session = parse_sdp(offer)
    ports = [0 if remote.refused else 20000 + 2 * i for i, remote in enumerate(media_remotes(session))]
    return serialize_sdp(anchor(session, Origin(42, 1, OURS), OURS, ports))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case):
    out = anchored(case.joinpath("offer.sdp").read_bytes().replace(b"\n", b"\r\n")).decode().replace("\r\n", "\n")
    expected = case / "expect.sdp"
    if "UPDATE_GOLDEN" in os.environ:
        expected.write_text(out, encoding="utf-8")
    assert out == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_was_anchored_is_canonical_and_stays_as_it_is(case):
    out = anchored(case.joinpath("offer.sdp").read_bytes())
    assert serialize_sdp(parse_sdp(out)) == out
    assert anchored(out) == out


def test_there_are_cases():
    assert len(CASES) >= 10
