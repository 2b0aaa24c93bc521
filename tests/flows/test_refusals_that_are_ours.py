"""Refusals of our own INVITE that would say nothing to the caller, or lack what RFC 3261 wants them to carry."""

import pytest

from sbc.testing.world import FAR


@pytest.mark.parametrize("status", [300, 302, 305, 380, 405, 415, 416, 420, 421, 423, 494])
def test_a_refusal_that_only_concerns_the_second_leg_is_502(world, status):
    """405 without Allow, 420 without Unsupported …: §21.4; the caller never said what they blame."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.refuses(status)
    assert office.got(502)
    assert sbc.cdr.only.attempts[0].sip_status == status
    assert sbc.cdr.only.ended_by == "callee"
    assert sbc.idle()


@pytest.mark.parametrize("status", [404, 410, 480, 484, 486, 488, 513, 600, 603, 604, 606, 607])
def test_a_refusal_that_concerns_the_caller_crosses(world, status):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.refuses(status)
    assert office.got(status)
    assert sbc.cdr.only.sip_status == status
    assert sbc.idle()


@pytest.mark.parametrize(("status", "crosses"), [(302, 502), (401, 403), (407, 403), (420, 502), (488, 488)])
def test_a_refused_offer_crosses_by_the_same_rule(world, status, crosses):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.script.reinvites = status
    office.holds()
    assert office.got(200, crosses)
    assert office.is_talking
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
