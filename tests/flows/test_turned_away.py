"""Every call of a configured peer leaves its record, also one that is refused before it is a call, and only one."""

import pytest

from sbc.core import limits
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR


@pytest.mark.parametrize(
    ("extra", "status"),
    [("Require: precondition", 420), ("Accept: text/plain", 406), ("Content-Encoding: gzip", 415)],
)
def test_an_invite_that_asks_for_too_much_is_recorded(world, extra, status):
    sbc = world()
    sbc.carrier()
    office = sbc.office()
    hand = ByHand(sbc, office)
    name, _, value = extra.partition(": ")
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True, fields=((name, value),))
    assert hand.statuses("INVITE")[0] == status
    sbc.run(40.0)  # no ACK: the refusal is repeated, the record is not
    record = sbc.cdr.only
    assert (record.ingress, record.called, record.sip_status, record.ended_by) == ("office", FAR, status, "sbc")
    assert record.answered_at is None
    assert record.attempts == ()
    assert sbc.switch.trace.entries(record.ref)
    assert sbc.idle()


def test_a_call_too_many_is_recorded(world, monkeypatch):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    first = office.call
    monkeypatch.setattr(limits, "CALLS", 1)
    office.invites(FAR)
    assert office.call.status == 503
    assert sbc.cdr.only.cause == "overload"
    assert first.stage == "talking"
    carrier.hangs_up()
    assert first.stage == "ended"
    assert [record.cause for record in sbc.cdr] == ["overload", "normal"]
    assert sbc.idle()
