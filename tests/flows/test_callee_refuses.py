"""Final failures cross, with a cause that the CDR names."""

import pytest

from sbc.testing.party import Stage
from sbc.testing.world import DID, FAR


@pytest.mark.parametrize(
    ("status", "crosses", "cause", "q850"),
    [
        (486, 486, "busy", 17),
        (600, 600, "busy", 17),
        (480, 480, "no_answer", 18),
        (404, 404, "not_found", 1),
        (484, 484, "not_found", 28),
        (603, 603, "rejected", 21),
        (403, 403, "rejected", 21),
        (488, 488, "failed", 88),
        (500, 500, "failed", 41),
        (302, 502, "failed", 31),
        (401, 403, "rejected", 21),
    ],
)
def test_a_refusal_reaches_the_caller(world, status, crosses, cause, q850):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    carrier.refuses(status)
    assert office.got(180, crosses)
    assert office.call.stage is Stage.ENDED
    record = sbc.cdr.only
    assert (record.cause, record.q850, record.ended_by) == (cause, q850, "callee")
    assert (record.answered_at, record.billable_ms) == (None, 0)
    assert record.attempts[0].sip_status == status
    assert sbc.idle()


def test_q850_of_the_carrier_goes_into_the_record(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.refuses(480, fields=(("Reason", 'Q.850;cause=20;text="absent"'),))
    assert sbc.cdr.only.q850 == 20
    assert sbc.idle()


def test_busy_pbx(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.refuses(486)
    assert carrier.got(486)
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("busy", "callee")
    assert sbc.idle()


def test_contact_of_a_redirection_is_not_shown(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.refuses(302, fields=(("Contact", "<sip:+442079460002@198.51.100.99>"),))
    assert b"198.51.100.99" not in b"".join(sbc.net.sent_to(office.name))
    assert sbc.idle()
