"""INVITE with Replaces from a PBX (RFC 3891): another of its phones takes over a call that one of them has."""
# RFC: 3891

import pytest

from sbc.sdp import Direction
from sbc.testing.world import DID, FAR

from .transferring import called, can_talk, records


def takes_over(phone, party, *, early="", sdp=True, replaces=None):
    """The office calls somebody with a Replaces that names one of its own dialogs."""
    return phone.invites(FAR, sdp=sdp, fields=(("Replaces", (replaces or party.replaces) + early),))


def test_another_phone_of_the_pbx_takes_the_call_over(world):
    sbc, office, carrier, _ = called(world)
    desk = office.call
    takes_over(office, desk)
    sbc.run(1)
    assert (desk.stage, office.call.stage) == ("ended", "talking")
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert carrier.got("BYE")
    assert [row[:2] for row in records(sbc)] == [("carrier", "office"), ("office", None)]
    assert sbc.idle()


def test_a_parked_call_is_fetched(world):
    """RFC 3891 §1: parked on hold, then retrieved elsewhere."""
    sbc, office, carrier, _ = called(world)
    park = office.call
    office.holds(Direction.INACTIVE)
    takes_over(office, park)
    sbc.run(1)
    assert carrier.direction is Direction.SENDRECV
    assert can_talk(sbc, office, carrier)
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize(
    ("early", "change", "status"),
    [(";early-only", (), 486), ("", ("to-tag=", "to-tag=x"), 481), ("", ("from-tag=", "from-tag=x"), 481)],
)
def test_what_is_refused_changes_nothing(world, early, change, status):
    sbc, office, *_ = called(world)
    desk = office.call
    replaces = desk.replaces.replace(*change) if change else None
    takes_over(office, desk, early=early, replaces=replaces)
    assert office.call.status == status
    assert desk.stage == "talking"
    office._do(office.agent.hang_up(desk, sbc.now))
    assert sbc.idle()


def test_nobody_takes_over_what_is_not_his(world):
    sbc, office, carrier, branch = called(world)
    branch.invites(DID, fields=(("Replaces", office.call.replaces),))
    assert branch.call.status == 481
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_an_answer_that_cannot_be_given_leaves_the_call_as_it_was(world):
    sbc, office, carrier, _ = called(world)
    desk = office.call
    takes_over(office, desk, sdp=False)
    assert office.call.status == 488
    assert (desk.stage, carrier.call.stage) == ("talking", "talking")
    office._do(office.agent.hang_up(desk, sbc.now))
    assert sbc.idle()


def test_the_other_side_hangs_up_while_it_is_taken_over(world):
    sbc, office, carrier, _ = called(world)
    desk = office.call
    sbc.net.perform(carrier.agent, carrier.agent.hang_up(carrier.call, sbc.now))
    takes_over(office, desk)
    sbc.run(1)
    assert office.call.stage == "ended"
    assert sbc.idle()


def test_taken_over_again_and_again(world):
    sbc, office, carrier, _ = called(world)
    for _ in range(5):
        takes_over(office, office.call)
        sbc.run(1)
        assert can_talk(sbc, office, carrier)
    carrier.hangs_up()
    assert len(sbc.cdr) == 6
    assert sbc.idle()
