"""Transfers that cross (`transfer: pass`): the other side is asked, in its own words, and does it."""
# RFC: 5589

import pytest

from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import DID

from .transferring import ABROAD, BRANCH, called, can_talk, refers


@pytest.fixture
def passing(world):
    """The office's REFER goes to the carrier, which acts upon it."""

    def make(**options):
        sbc, office, carrier, branch = called(world, "pass", **options)
        carrier.agent.line.outbound = carrier.through
        carrier.script.supports = ("replaces",)
        return sbc, office, carrier, branch

    return make


def _last_request(phone, method):
    return [request for request in phone.agent.bench.requests if request.method == method][-1]


def test_the_carrier_calls_the_target_by_way_of_us(passing):
    sbc, office, carrier, branch = passing()
    first = carrier.call
    referral = refers(office)
    sbc.run(1.5)
    branch.answers()
    sbc.run(3)
    assert _last_request(carrier, "REFER").header("Refer-To") == f"<sip:{BRANCH}@203.0.113.1>"
    assert referral.progress[0] == 100
    assert referral.progress[-1] == 200
    assert first.stage == "ended"  # the office has hung up
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sorted((row.ingress, row.egress) for row in sbc.cdr) == [("carrier", "branch"), ("carrier", "office")]
    assert sbc.idle()


def test_a_target_behind_the_carrier_is_its_own_affair(passing):
    sbc, office, carrier, _ = passing()
    carrier.script.refers = 603
    referral = refers(office, ABROAD)
    assert referral.status == 603
    refer = _last_request(carrier, "REFER")
    assert refer.header("Refer-To") == f"<sip:{ABROAD}@carrier.example>"
    assert refer.header("Referred-By") == f"<sip:{DID}@203.0.113.1>"
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_a_target_that_is_busy(passing):
    sbc, office, carrier, branch = passing()
    first = carrier.call
    referral = refers(office)
    branch.refuses(486)
    sbc.run(3)
    assert referral.progress[-1] == 486
    assert (first.stage, office.call.stage) == ("talking", "talking")
    office.hangs_up()
    assert sbc.idle()


def test_the_office_hangs_up_without_waiting(passing):
    sbc, office, carrier, branch = passing()
    first = carrier.call
    refers(office)
    office.hangs_up()
    assert first.stage == "ended"
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sbc.idle()


def test_a_number_that_the_office_may_not_call_does_not_cross(passing):
    sbc, office, carrier, _ = passing()
    assert refers(office, "+19005550123").status == 403
    assert "REFER" not in carrier.heard
    office.hangs_up()
    assert sbc.idle()


def test_attended_where_both_calls_are_the_carriers(passing):
    """It gets its own dialog named by its own ids, and needs nobody between any more."""
    sbc, office, carrier, _ = passing()
    caller, first = carrier.call, office.call
    office.invites(ABROAD)
    carrier.answers()
    target = carrier.call
    carrier.script.refers = 603
    assert refers(office, party=first, to=refer_to_replacing(office.call)).status == 603
    named = _last_request(carrier, "REFER").header("Refer-To")
    assert f"to-tag%3D{target.local_tag}" in named
    assert f"from-tag%3D{target.remote_tag}" in named
    assert caller.stage == "talking"
    office.hangs_up()
    office._do(office.agent.hang_up(first, sbc.now))
    assert sbc.idle()


def test_attended_across_two_peers_is_done_here(passing):
    sbc, office, carrier, branch = passing()
    first = office.call
    office.invites(BRANCH)
    branch.answers()
    assert refers(office, party=first, to=refer_to_replacing(office.call)).progress == [200]
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    assert "REFER" not in carrier.heard
    carrier.hangs_up()
    assert sbc.idle()


def test_no_notify_at_all_ends_some_time(passing):
    sbc, office, carrier, _ = passing()
    carrier.script.notifies_refer = "none"
    carrier.script.patience = 5.0
    refers(office)
    sbc.run(700)
    assert refers(office, ABROAD).status != 491
    carrier._do(carrier.agent.hang_up(carrier.agent.parties[0], sbc.now))
    sbc.run(60)
    assert sbc.idle(but={"complaints"})
