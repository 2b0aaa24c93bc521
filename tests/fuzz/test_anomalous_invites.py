"""Each INVITE with one thing wrong, of a peer and of a stranger: an answer or silence, and good calls go on."""

import os

import pytest

from tests.fuzz.anomalies import cases
from tests.fuzz.arena import CALLED, ROGUE, Arena
from tests.fuzz.templates import INVITE

CASES = list(cases(INVITE))
# In CI every other one; all with SBC_TEST_FULL.
SENT = CASES if os.environ.get("SBC_TEST_FULL") else CASES[::2]
PARTS = 8  # which processes share


def octets(case, n):
    return case.octets(
        called=CALLED, ours="10.0.0.1", host=ROGUE, branch=f"rogue{n}", tag=f"roguetag{n}", call_id=f"rogueid{n}"
    )


def test_there_are_thousands_and_all_are_different():
    assert len(SENT) >= 4_500
    assert len({octets(case, 0) for case in CASES}) == len(CASES)
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_sound_one_is_a_call():
    arena = Arena()
    arena.from_rogue(octets(CASES[0], 0))
    assert [message.method for message in arena.heard["crook"][:1]] == ["INVITE"]
    arena.rests()
    assert [(record.ingress, record.egress) for record in arena.world.cdr] == [("rogue", "crook")]


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_wrong_in_an_invite_harms_anybody(part):
    arena = Arena()
    for n, case in enumerate(SENT[part::PARTS]):
        arena.n = n
        try:
            arena.from_stranger(octets(case, n))
            arena.from_rogue(octets(case, n))
            arena.lives()
        except AssertionError as error:
            raise AssertionError(f"{case.name}: {error}") from error
        arena.passes(5.0)
    arena.rests()
