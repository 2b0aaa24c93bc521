"""A leg that is written down, read, made again and written down once more says the same, in whatever state it is."""

import os
from collections import Counter

import msgspec
import pytest
from msgspec.structs import replace

from sbc.b2bua.journal import CallJournal
from sbc.b2bua.leg import saved as saving
from sbc.b2bua.leg.saved import CSEQ_MARGIN, SavedLeg, restore_leg, save_leg
from sbc.b2bua.leg.state import State
from sbc.sip.dialog import invite_uac, invite_uas
from sbc.sip.transaction.layer import TransactionLayer
from sbc.testing.seeds import seeded_ids

from .test_random_walks import Walk

SEEDS = range(400 if os.environ.get("SBC_TEST_FULL") else 40)


def read(saved):
    return msgspec.msgpack.decode(msgspec.msgpack.encode(saved), type=SavedLeg)


def again(saved, leg, now):
    """What the leg says that is made of it, in a process that knows nothing else."""
    layer = TransactionLayer(seeded_ids(1), leg.timing)
    other = restore_leg(saved, "another", 0, leg.peer, leg.timing, number=leg.number)
    if saved.server is not None:
        layer.revive(saved.server, ("another", 0, 0), now)
    if saved.invite is not None:
        layer.abandon(saved.invite, saved.invite.flow, other.sending.uac.user, now)
    return save_leg(other, layer)


def expected(saved):
    """Of an INVITE of ours without an answer only the first is still of interest; what was asked is asked again."""
    uac, state = saved.uac, invite_uac.State
    if uac is not None and uac.state in (state.CALLING, state.CANCELLED):
        uac = replace(uac, state=state.ENDED if saved.invite is None else state.CANCELLED)
    dialog = saved.dialog and replace(saved.dialog, local_cseq=saved.dialog.local_cseq + CSEQ_MARGIN)
    return replace(saved, uac=uac, dialog=dialog, open=(), invite=saved.invite and timeless(saved.invite))


def timeless(invite):
    return replace(invite, sent_at=None)


def checked(leg, layer, now, seen):
    saved = save_leg(leg, layer)
    assert read(saved) == saved
    twice, wanted = again(saved, leg, now), expected(saved)
    twice = replace(twice, invite=twice.invite and timeless(twice.invite))
    fields = [(getattr(twice, name), getattr(wanted, name)) for name in SavedLeg.__struct_fields__]
    assert [pair for pair in fields if pair[0] != pair[1]] == []
    uac = "" if saved.uac is None else saved.uac.state
    seen[saved.state, "" if saved.uas is None else saved.uas.state, uac, saved.invite is not None] += 1


@pytest.fixture
def seen(monkeypatch):
    """Every leg is checked whenever its call may have to be written down; what states there were."""
    counted = Counter()
    take = CallJournal.take

    def taken(journal, now):
        calls = list(journal._touched.values())
        for call in calls:
            for leg in call.legs:
                checked(leg, call.context.layer, now, counted)
        return take(journal, now)

    monkeypatch.setattr(CallJournal, "take", taken)
    return counted


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_made_of_a_leg_says_the_same_in_every_state_of_a_walk(world, seen, seed):
    walk = Walk(world, seed)
    walk.walks()
    walk.rests()
    walk.ends()
    assert "call.crashed" not in [log.event for log in walk.sbc.logs]
    assert walk.sbc.idle()
    assert seen


def test_the_walks_reach_every_state(world, seen):
    for seed in range(12):
        walk = Walk(world, seed)
        walk.walks()
        walk.rests()
        walk.ends()
    states = {state for state, _, _, _ in seen}
    assert states == set(State)
    assert {uas for _, uas, _, _ in seen} == {"", *invite_uas.State}
    assert {uac for _, _, uac, _ in seen} == {"", *invite_uac.State}
    assert any(has_invite and state is State.CLOSED for state, _, _, has_invite in seen)


def test_numbers_jump_ahead_by_more_than_anybody_sends_in_a_moment():
    assert saving.CSEQ_MARGIN >= 100
