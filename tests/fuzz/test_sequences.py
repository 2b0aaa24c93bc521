"""Transactions and dialogs against random sequences: nothing alive at the end, one record a call, no amplification.

`SBC_TEST_FULL=1` plays three thousand seeds. A seed that fails prints what was said; it stays in `KEPT`, with a word on
what it found.
"""

import os

import pytest

from tests.fuzz.sequences import Sequence

KEPT: dict[int, str] = {}
SEEDS = sorted({*range(3_000 if os.environ.get("SBC_TEST_FULL") else 300), *KEPT})
AT_ONCE = 10


@pytest.mark.parametrize("first", range(0, len(SEEDS), AT_ONCE))
def test_whatever_is_said_ends_and_leaves_nothing(first):
    for seed in SEEDS[first : first + AT_ONCE]:
        sequence = None
        try:
            sequence = Sequence(seed)
            sequence.ends()
        except AssertionError as error:
            story = "" if sequence is None else "\n".join(sequence.story)
            raise AssertionError(f"seed {seed}: {error}\n{story}") from error
