"""Requests within a call, each with one thing wrong: the call can be ended, and no other suffers."""

import os

import pytest

from sbc.sip.message import Response
from tests.fuzz.anomalies import cases
from tests.fuzz.arena import CALLED, ROGUE, Arena
from tests.fuzz.templates import INVITE, WITHIN, within

# In CI some of them, which are others for each method; all with SBC_TEST_FULL.
STEP = 1 if os.environ.get("SBC_TEST_FULL") else 13
SOUND = next(cases(INVITE))
SAYS = {method: next(cases(within(method))) for method in ("ACK", "BYE")}


@pytest.mark.parametrize("method", WITHIN)
def test_nothing_wrong_within_a_call_harms_anybody(method):
    arena = Arena(ends=False)
    all_cases = list(cases(within(method)))
    for n, case in enumerate([all_cases[0], *all_cases[1 + len(method) % STEP :: STEP]]):
        arena.n = n
        dialog = _talking(arena, n)
        try:
            arena.from_rogue(
                case.octets(**dialog, branch=f"rogue{n}x", number="1" if method in ("ACK", "CANCEL") else "2")
            )
            arena.lives()
        except AssertionError as error:
            raise AssertionError(f"{case.name}: {error}") from error
        arena.from_rogue(SAYS["BYE"].octets(**dialog, branch=f"rogue{n}y", number="99"))
        arena.passes(2.0)
    arena.rests()


def _talking(arena, n):
    """The names of a dialog that the rogue has begun."""
    dialog = {
        "called": CALLED, "ours": "10.0.0.1", "host": ROGUE, "tag": f"roguetag{n}", "call_id": f"rogueid{n}",
        "user": "+14155550142",
    }  # fmt: skip
    arena.from_rogue(SOUND.octets(**dialog, branch=f"rogue{n}"))
    answers = [m for m in arena.heard["rogue"] if isinstance(m, Response) and m.call_id == f"rogueid{n}" and m.to.tag]
    dialog["our_tag"] = answers[-1].to.tag
    arena.from_rogue(SAYS["ACK"].octets(**dialog, branch=f"rogue{n}ack", number="1"))
    arena.heard["rogue"].clear()
    return dialog
