"""Answers of a carrier to our INVITE, each with one thing wrong: no other call suffers, and each has its end."""

import os

import pytest

from tests.fuzz.anomalies import cases
from tests.fuzz.arena import CALLED, CROOK, ROGUE, Arena
from tests.fuzz.templates import INVITE, answer

STATUSES = (180, 183, 200, 302, 401, 422, 503)
# In CI some of them, which are others for each status; all with SBC_TEST_FULL.
STEP = 1 if os.environ.get("SBC_TEST_FULL") else 8
SOUND = next(cases(INVITE))


@pytest.mark.parametrize("status", STATUSES)
def test_nothing_wrong_in_an_answer_harms_anybody(status):
    arena = Arena(answers=False)
    all_cases = list(cases(answer(status)))
    for n, case in enumerate([all_cases[0], *all_cases[1 + status % STEP :: STEP]]):
        arena.n = n
        arena.heard["crook"].clear()
        arena.from_rogue(_invite(n))
        asked = arena.heard["crook"][-1]
        assert (asked.method, asked.to.tag) == ("INVITE", None)
        octets = case.octets(
            via=asked.header("Via"), called=CALLED, ours="203.0.113.1", tag=f"crooktag{n}", call_id=asked.call_id,
            number=str(asked.cseq.number), host=CROOK, **{"from": asked.header("From")},
        )  # fmt: skip
        try:
            arena.from_crook(octets)
            arena.lives()
        except AssertionError as error:
            raise AssertionError(f"{case.name}: {error}") from error
        arena.passes(2.0)
    arena.rests()


def _invite(n):
    return SOUND.octets(
        called=CALLED, ours="10.0.0.1", host=ROGUE, branch=f"rogue{n}", tag=f"roguetag{n}", call_id=f"rogueid{n}"
    )
