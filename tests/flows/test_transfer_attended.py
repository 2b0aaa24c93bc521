"""Attended transfers (RFC 5589 §7): the transferor has talked to the target, and the two calls become one."""
# RFC: 5589

import pytest

from sbc.sdp import Direction
from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import DID, FAR

from .transferring import ABROAD, BRANCH, called, can_talk, records, refers, three


def consulting(world, **options):
    """Ann has put her caller on hold and talks with the branch."""
    sbc, office, carrier, branch = called(world, **options)
    first = office.call
    office.holds()
    office.invites(BRANCH)
    branch.answers()
    return sbc, office, carrier, branch, first, office.call


def test_attended_transfer(world):
    sbc, office, carrier, branch, first, second = consulting(world)
    referral = refers(office, party=first, to=refer_to_replacing(second))
    sbc.run(1)
    assert referral.progress == [200]
    assert can_talk(sbc, branch, carrier)
    assert (first.stage, second.stage) == ("ended", "ended")
    assert carrier.direction is Direction.SENDRECV
    carrier.hangs_up()
    assert branch.got("INVITE", "ACK", "BYE")
    assert records(sbc) == [
        ("carrier", "office", FAR, DID, "normal"),
        ("office", "branch", DID, BRANCH, "normal"),
    ]
    assert sbc.idle()


def test_it_may_as_well_be_asked_for_in_the_other_call(world):
    sbc, office, carrier, branch, first, second = consulting(world)
    refers(office, party=second, to=refer_to_replacing(first))
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    # Of a call between two whom others have called, one is the callee: each record tells of its own.
    assert {record.egress: record.ended_by for record in sbc.cdr} == {"office": "callee", "branch": "callee"}
    assert sbc.idle()


def test_both_are_held_and_both_are_freed(world):
    sbc, office, carrier, branch, first, second = consulting(world)
    office.holds()
    refers(office, party=first, to=refer_to_replacing(second))
    sbc.run(1)
    assert (carrier.direction, branch.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_two_who_were_called_by_the_office(world):
    sbc, office, carrier, branch = three(world)
    office.invites(FAR)
    carrier.answers()
    first = office.call
    office.invites(BRANCH)
    branch.answers()
    refers(office, party=first, to=refer_to_replacing(office.call))
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert {record.egress: record.ended_by for record in sbc.cdr} == {"carrier": "callee", "branch": "caller"}
    assert sbc.idle()


def test_both_sides_at_the_carrier_keep_their_paths(world):
    sbc, office, carrier, _ = called(world)
    caller, first = carrier.call, office.call
    office.invites(ABROAD)
    carrier.answers()
    refers(office, party=first, to=refer_to_replacing(office.call))
    sbc.run(1)
    (paths,) = sbc.switch.relations.paths.views(sbc.now)
    (call,) = sbc.switch.calls
    assert [holder.ref for holder in paths.holders] == [call, call]
    assert sbc.switch.snapshot(sbc.now).paths_leaked == 0
    carrier._do(carrier.agent.hang_up(caller, sbc.now))
    assert sbc.idle()


def test_a_transferor_who_hangs_up_both_at_once(world):
    sbc, office, carrier, branch, first, second = consulting(world)
    refers(office, party=first, to=refer_to_replacing(second))
    office._do(office.agent.hang_up(first, sbc.now) + office.agent.hang_up(second, sbc.now))
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sbc.idle()


def test_the_target_has_hung_up_before(world):
    sbc, office, carrier, branch, first, second = consulting(world)
    to = refer_to_replacing(second)
    branch.hangs_up()
    referral = refers(office, party=first, to=to)
    # The dialog is gone: it can only be one of the office's own, to which no route of the office's leads.
    assert referral.progress[-1:] == [481] or referral.status == 603
    office._do(office.agent.reinvite(first, sbc.now, Direction.SENDRECV))
    sbc.settle()
    assert first.stage == "talking"
    carrier.hangs_up()
    assert sbc.idle()


def test_another_peers_dialog_is_not_to_be_had(world):
    """The branch names the caller's dialog, of which it should know nothing."""
    sbc, office, carrier, branch, first, _ = consulting(world)
    assert refers(branch, to=refer_to_replacing(carrier.call)).status == 603
    assert first.stage == "talking"
    office.hangs_up()
    carrier.hangs_up()
    assert sbc.idle()


def half_attended(world):
    """Ann calls the branch, and does not wait for it to answer."""
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.holds()
    office.invites(BRANCH)
    branch.rings()
    return sbc, office, carrier, branch, first, office.call


@pytest.mark.parametrize("cancels", [True, False])
def test_the_target_still_rings(world, cancels):
    """RFC 5589 §7.6 as telephones do it: they CANCEL the call that they have transferred to."""
    sbc, office, carrier, branch, first, second = half_attended(world)
    referral = refers(office, party=first, to=refer_to_replacing(second))
    if cancels:
        office.cancels()
        sbc.run(1)
    assert (carrier.call.stage, branch.call.stage) == ("talking", "ringing")
    branch.answers()
    sbc.run(1)
    assert referral.progress == [180, 200]
    assert can_talk(sbc, branch, carrier)
    assert (first.stage, second.stage) == ("ended", "ended")
    assert branch.got("INVITE", "ACK")
    carrier.hangs_up()
    assert [row[:2] for row in records(sbc)] == [("carrier", "office"), ("office", "branch")]
    assert sbc.idle()


def test_a_ringing_target_that_is_to_make_the_offer_is_not_transferred_to(world):
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.invites(BRANCH, sdp=False)
    branch.rings()
    assert refers(office, party=first, to=refer_to_replacing(office.call)).status == 603
    branch.answers()
    sbc.run(1)
    assert refers(office, party=first, to=refer_to_replacing(office.call)).progress == [200]
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_the_target_rings_and_is_busy_after_all(world):
    sbc, office, carrier, branch, first, second = half_attended(world)
    referral = refers(office, party=first, to=refer_to_replacing(second))
    branch.refuses(486)
    assert referral.progress == [180, 486]
    assert second.status == 486
    office._do(office.agent.hang_up(first, sbc.now))
    assert carrier.got("BYE")
    assert sbc.idle()


def test_the_target_rings_and_the_transferor_leaves_everything(world):
    sbc, office, carrier, branch, first, second = half_attended(world)
    refers(office, party=first, to=refer_to_replacing(second))
    office._do(office.agent.cancel(second, sbc.now) + office.agent.hang_up(first, sbc.now))
    sbc.run(3)
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sbc.idle()


def test_the_target_rings_and_who_waits_hangs_up(world):
    sbc, office, carrier, branch, first, second = half_attended(world)
    refers(office, party=first, to=refer_to_replacing(second))
    carrier.hangs_up()
    assert branch.call.stage == "ended"
    assert (first.stage, second.stage) == ("ended", "ended")
    assert sbc.idle()


@pytest.mark.parametrize("who", ["carrier", "branch"])
def test_who_remains_may_hold_and_be_held(world, who):
    sbc, office, carrier, branch, first, second = consulting(world)
    refers(office, party=first, to=refer_to_replacing(second))
    sbc.run(1)
    one, other = (carrier, branch) if who == "carrier" else (branch, carrier)
    one.holds()
    assert other.direction is Direction.SENDONLY
    one.resumes()
    assert can_talk(sbc, one, other)
    other.hangs_up()
    assert sbc.idle()
