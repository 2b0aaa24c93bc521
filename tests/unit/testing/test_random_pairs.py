"""Phones do random legal things on bad networks: no rule is broken, so nobody may complain, and all calls end.

What fails here is the kit's fault: stories of the SBC rely on its complaints.
"""

import random

import pytest

from sbc.sdp import Direction
from sbc.testing.net import Conditions
from sbc.testing.party import Stage

NETWORKS = {
    "good": Conditions(),
    "bad": Conditions(delay=0.01, jitter=0.03, loss=0.15, duplicate=0.1, reorder=0.2),
}


def possible_moves(phone, party):
    moves = []
    if party.stage is Stage.TALKING:
        moves.append(lambda: phone.hangs_up(call=party))
        moves.append(lambda: phone.presses("1", call=party))
        if all(referral.is_over for referral in party.referrals):
            moves.append(lambda: phone.transfers("x", call=party))
    if party.may_invite:
        moves += [
            lambda: phone.holds(call=party),
            lambda: phone.resumes(call=party),
            lambda: phone.reinvites(sdp=False, call=party),
            lambda: phone.adds_video(call=party),
            lambda: phone.removes_video(call=party),
            lambda: phone.offers_fax(call=party),
            lambda: phone.returns_to_voice(call=party),
        ]
    if party.may_offer:
        moves += [
            lambda: phone.holds(Direction.INACTIVE, by="UPDATE", call=party),
            lambda: phone.resumes(by="UPDATE", call=party),
            lambda: phone.updates(sdp=False, call=party),
        ]
    if party.is_caller and party.stage in (Stage.CALLING, Stage.RINGING) and not party.cancelled:
        moves += [lambda: phone.cancels(call=party)] * (not party.heard or party.heard[-1] != "100")
    if not party.is_caller and party.invite_key and party.stage in (Stage.NEW, Stage.RINGING) and not party.unacked:
        moves += [
            lambda: phone.rings(call=party, reliably=True),
            lambda: phone.progresses(call=party, reliably=True),
            lambda: phone.answers(call=party),
            lambda: phone.answers(call=party),
            lambda: phone.refuses(486, call=party),
        ]
    return moves


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("seed", range(40))
def test_legal_moves_are_no_faults(pair, seed, network):
    dice = random.Random(seed)
    two = pair(seed=seed, conditions=NETWORKS[network], video_port=4002, fax_port=4004)
    carol = two.carol()
    two.bob.agent.line.outbound = two.bob.through = carol.address
    two.net.settle = lambda: None  # a move lets the network settle; here the next one may cross it
    for phone in two.phones:
        phone.uses_100rel()
        phone.uses_session_timer(dice.choice([None, 90]), refreshes=dice.choice(["INVITE", "UPDATE"]))
        phone.answers_reinvites(dice.choice([200, 200, 488]))
        phone.answers_updates(dice.choice([200, 200, 504]))
    two.alice.invites("bob")
    for _ in range(40):
        phone = dice.choice(two.phones)
        if dice.random() < 0.15:
            two.net.perform(phone.agent, phone.agent.invite("x", phone.through, two.net.now, sdp=dice.random() < 0.7))
        elif phone.calls:
            moves = possible_moves(phone, dice.choice(phone.calls))
            if moves:
                dice.choice(moves)()
        two.net.run(dice.choice([0.001, 0.02, 0.2, 3.0, 50.0]))
    for phone in two.phones:
        for party in phone.calls:
            if party.stage is Stage.TALKING:
                phone.hangs_up(call=party)
            elif party.stage is not Stage.ENDED and party.is_caller:
                phone.cancels(call=party)
    two.net.run(400.0)
    assert two.is_over()
