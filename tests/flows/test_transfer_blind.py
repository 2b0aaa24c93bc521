"""Blind transfers that we carry out (RFC 5589 §6): the target is called, then takes the transferor's place."""
# RFC: 3515, 3892, 4488, 5589

import pytest

from sbc.sdp import Direction
from sbc.testing.world import DID, FAR

from .transferring import ABROAD, BRANCH, POLICY, called, can_talk, records, refers, three


def test_basic_transfer_to_a_target_that_answers(world):
    sbc, office, carrier, branch = called(world)
    referral = refers(office)
    sbc.run(2)
    branch.rings()
    sbc.run(2)
    assert can_talk(sbc, office, carrier)  # until the target answers, nothing has changed
    branch.answers()
    sbc.run(1)
    assert referral.progress == [100, 180, 200]
    assert can_talk(sbc, branch, carrier)
    assert office.call.stage == "ended"
    carrier.hangs_up()
    assert branch.got("INVITE", "ACK", "BYE")
    assert records(sbc) == [
        ("carrier", "office", FAR, DID, "normal"),
        ("office", "branch", DID, BRANCH, "normal"),
    ]
    assert sbc.idle()


def test_the_one_who_called_transfers_whom_he_called(world):
    sbc, office, carrier, branch = three(world)
    office.invites(FAR)
    carrier.answers()
    refers(office)
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert [record.ended_by for record in sbc.cdr if record.egress == "branch"] == ["callee"]
    # The branch stands in the caller's place.
    assert [record.ended_by for record in sbc.cdr if record.egress == "carrier"] == ["caller"]
    assert sbc.idle()


@pytest.mark.parametrize("hold", [Direction.SENDONLY, Direction.INACTIVE])
def test_who_was_on_hold_is_off_hold_with_the_target(world, hold):
    sbc, office, carrier, branch = called(world)
    office.holds(hold)
    refers(office)
    branch.answers()
    sbc.run(1)
    assert (carrier.direction, branch.direction) == (Direction.SENDRECV, Direction.SENDRECV)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sbc.idle()


def test_target_busy_and_the_first_call_goes_on(world):
    """RFC 5589 §6.3.1."""
    sbc, office, carrier, branch = called(world)
    office.holds()
    referral = refers(office)
    branch.refuses(486)
    assert referral.progress == [100, 486]
    assert office.direction is not Direction.INACTIVE
    office.resumes()
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert [row[4] for row in records(sbc)] == ["normal", "busy"]
    assert sbc.idle()


def test_target_does_not_answer(world):
    """RFC 5589 §6.3.2."""
    sbc, office, carrier, branch = called(world)
    referral = refers(office)
    sbc.run(1.5)
    branch.rings()
    sbc.run(181)
    assert referral.progress == [100, 180, 480]
    assert can_talk(sbc, office, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_a_second_attempt_after_a_failure(world):
    sbc, office, carrier, branch = called(world)
    first = refers(office)
    branch.refuses(486)
    sbc.run(1)
    second = refers(office)
    branch.answers()
    sbc.run(1)
    assert (first.progress, second.progress) == ([100, 486], [100, 200])
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize(
    ("number", "status"), [("+19005550123", 403), ("201", 404), ("bob", 404), ("+33142960000", 404)]
)
def test_a_target_that_the_transferors_routes_refuse(world, number, status):
    sbc, office, carrier, _ = called(world)
    referral = refers(office, number)
    assert referral.progress == [100, status]
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert len(sbc.cdr) == 2  # somebody has tried
    assert sbc.idle()


def test_back_out_by_the_carrier_in_the_offices_name(world):
    """The trunk is used twice, and sees a number that its customer owns."""
    sbc, office, carrier, _ = called(world)
    refers(office, ABROAD)
    carrier.answers()
    sbc.run(1)
    caller, target = carrier.agent.parties
    assert DID in target.remote
    assert [path.used for path in sbc.switch.relations.paths.views(sbc.now)] == [2]
    assert office.call.stage == "ended"
    sbc.run(600)
    carrier._do(carrier.agent.hang_up(caller, sbc.now))
    sbc.settle()
    assert target.stage == "ended"
    assert {record.billable_ms // 1000 for record in sbc.cdr} <= {600, 601}
    assert sbc.idle()


def test_who_refers_is_named_to_the_target_without_his_host(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    invite = branch.call.invite
    assert invite.header("Referred-By") == f"<sip:{DID}@10.0.0.1>"
    branch.answers()
    sbc.run(1)
    carrier.hangs_up()
    assert sbc.idle()


def test_transferred_and_transferred_again(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    branch.answers()
    sbc.run(1)
    refers(branch, DID)
    office.answers()
    sbc.run(1)
    assert can_talk(sbc, office, carrier)
    assert branch.call.stage == "ended"
    office.hangs_up()
    assert [row[:2] for row in records(sbc)] == [("carrier", "office"), ("office", "branch"), ("branch", "office")]
    assert sbc.idle()


def test_who_was_transferred_transfers_the_target(world):
    sbc, office, carrier, branch = three(world)
    branch.invites(DID)
    office.answers()
    refers(office, ABROAD)
    carrier.answers()
    sbc.run(1)
    refers(branch, DID)
    office.answers()
    sbc.run(1)
    assert can_talk(sbc, office, carrier)
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("target", [FAR, "011442079460001"])
def test_no_transfer_to_whom_one_talks_to(world, target):
    sbc, office, *_ = called(world)
    assert refers(office, target).status == 603
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_carriers_refer_is_declined(world):
    sbc, office, carrier, _ = called(world)
    assert refers(carrier, ABROAD).status == 603
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_limits_of_the_transferor_hold_for_the_new_call(world):
    policy = (POLICY % "terminate").replace("transfer:", "limits: {call_paths: 1}\n    transfer:")
    sbc = world(policy=policy)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    assert refers(office).progress == [100, 503]
    office.hangs_up()
    assert sorted(row[4] for row in records(sbc)) == ["normal", "paths_full"]
    assert sbc.idle()


def test_nothing_is_said_where_nothing_is_wanted(world):
    sbc, office, carrier, branch = called(world)
    referral = refers(office, fields=(("Refer-Sub", "false"),))
    referral.is_over = True
    branch.answers()
    sbc.run(1)
    assert referral.progress == []
    assert office.call.stage == "ended"
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_a_call_of_many_hours_is_billed_to_its_end(world):
    sbc, office, carrier, branch = called(world)
    sbc.run(3600)
    refers(office)
    branch.answers()
    sbc.run(7200)
    carrier.hangs_up()
    assert sorted(record.billable_ms // 1000 for record in sbc.cdr) == [7200, 10800]
    assert sbc.idle()


def trusted(world):
    """The carrier may have its calls transferred by us: by its own routes."""
    policy = (POLICY % "terminate").replace("domain: carrier.example", "domain: carrier.example, transfer: terminate")
    sbc = world(policy=policy)
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.answers()
    return sbc, office, carrier, branch


def test_a_carrier_that_may_transfer_does_it_by_its_own_routes(world):
    sbc, office, carrier, branch = trusted(world)
    assert refers(carrier, ABROAD).progress == [100, 404]  # it would be a call abroad on the office's account
    sbc.run(1)
    refers(carrier, BRANCH)
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, office, branch)
    assert [path.used for path in sbc.switch.relations.paths.views(sbc.now)] == [0]
    office.hangs_up()
    assert records(sbc)[-1] == ("carrier", "branch", FAR, BRANCH, "normal")
    assert sbc.idle()


@pytest.mark.parametrize("who", ["office", "carrier"])
def test_a_call_that_began_without_an_offer(world, who):
    sbc, office, carrier, branch = three(world)
    if who == "office":
        office.invites(FAR, sdp=False)
        carrier.answers()
    else:
        carrier.invites(DID, sdp=False)
        office.answers()
    refers(office)
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_nobody_is_called_in_the_name_of_who_has_no_number(world):
    """An extension that the office does not own is shown as the office's default."""
    sbc, office, carrier, branch = three(world)
    office.invites(FAR, caller="201")
    carrier.answers()
    refers(office)
    assert f"<sip:{DID}@" in branch.call.remote
    assert "201" not in str(branch.call.invite.fields)
    branch.answers()
    sbc.run(1)
    carrier.hangs_up()
    assert sbc.idle()
