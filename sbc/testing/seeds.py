"""Randomness that is the same in every run, for machines that ask for an `IdSource`."""

import random

from sbc.core.ids import IdSource


def seeded_ids(seed: int = 0) -> IdSource:
    return IdSource(random.Random(seed).randbytes)
