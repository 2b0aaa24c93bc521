"""A fifth of all datagrams lost, some doubled, some late: every call reaches its right end, with one CDR."""

from sbc.testing.party import Stage
from sbc.testing.world import DID, FAR


def test_answered_calls(world, chaos):
    sbc = world(**chaos)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.answers_by_itself(after=2.0, hangs_up_after=40.0)
    for _ in range(5):
        office.invites(FAR)
    sbc.run(200.0)
    for party in office.agent.parties:
        assert party.status == 200, party.heard
        assert party.stage is Stage.ENDED
    assert [(r.cause, r.ended_by) for r in sbc.cdr] == [("normal", "callee")] * 5
    assert sbc.idle()


def test_the_caller_hangs_up(world, chaos):
    sbc = world(**chaos)
    office, carrier = sbc.office(), sbc.carrier()
    office.answers_by_itself(after=1.0)
    carrier.script.hangs_up_after = 40.0
    for _ in range(5):
        carrier.invites(DID)
    sbc.run(200.0)
    assert [party.status for party in carrier.agent.parties] == [200] * 5
    assert [(r.cause, r.ended_by) for r in sbc.cdr] == [("normal", "caller")] * 5
    assert sbc.idle()


def test_refused_calls(world, chaos):
    sbc = world(**chaos)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.script.rings, carrier.script.refuses = 180, 486
    for _ in range(5):
        office.invites(FAR)
    sbc.run(100.0)
    assert [party.status for party in office.agent.parties] == [486] * 5
    assert [r.cause for r in sbc.cdr] == ["busy"] * 5
    assert sbc.idle()


def test_cancelled_calls(world, chaos):
    sbc = world(**chaos)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.script.rings = 180
    for _ in range(5):
        office.invites(FAR)
        sbc.run(3.0)
        office.cancels()
    sbc.run(150.0)
    assert [party.status for party in office.agent.parties] == [487] * 5
    assert {party.stage for party in carrier.agent.parties} <= {Stage.ENDED}
    assert [r.cause for r in sbc.cdr] == ["cancelled"] * 5
    assert sbc.idle()


def test_hold_and_resume(world, chaos):
    sbc = world(**chaos)
    office, carrier = sbc.office(), sbc.carrier()
    carrier.answers_by_itself(after=1.0)
    office.invites(FAR)
    office.waits_for(200)
    sbc.run(40.0)
    office.holds()
    sbc.run(40.0)
    office.resumes()
    sbc.run(40.0)
    assert office.got(200, 200, 200)
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    carrier.hangs_up()
    sbc.run(40.0)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
