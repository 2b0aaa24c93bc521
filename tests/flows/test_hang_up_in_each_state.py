"""A hang-up by the operator or by a drain, whatever a call is doing: both peers are told, one record, nothing left."""

import pytest

from sbc.b2bua.events import DrainOrdered, HangUpOrdered
from sbc.testing.world import FAR, OUTSIDE, POLICY

TWO_SERVERS = POLICY.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]')
# state: what the office has heard in the end, what the carrier has, the record's status
STATES = {
    "calling": ((480,), ("INVITE",), 480),
    "tried": ((480,), ("INVITE", "CANCEL"), 480),
    "second": ((480,), ("INVITE",), 480),
    "ringing": ((180, 480), ("INVITE", "CANCEL"), 480),
    "early media": ((183, 480), ("INVITE", "CANCEL"), 480),
    "talking": ((200, "BYE"), ("INVITE", "ACK", "BYE"), 200),
    "late offer": ((200, "BYE"), ("INVITE", "ACK", "BYE"), 200),
    "holding": ((200, 487, "BYE"), ("INVITE", "ACK", "INVITE", "BYE"), 200),
    "held": ((200, 200, "BYE"), ("INVITE", "ACK", "INVITE", "ACK", "BYE"), 200),
}


def bring_to(state, office, carrier):
    if state == "calling":
        carrier.ignores()
    office.invites(FAR, sdp=state != "late offer")
    if state == "second":
        carrier.refuses(503)
    if state == "ringing":
        carrier.rings()
    if state == "early media":
        carrier.progresses()
    if state in ("talking", "late offer", "holding", "held"):
        carrier.answers()
    if state == "holding":
        carrier.script.reinvites = None
    if state in ("holding", "held"):
        office.holds()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("way", ["operator", "shutdown"])
def test_hang_up(world, state, way):
    sbc = world(TWO_SERVERS)
    office, carrier = sbc.office(), sbc.carrier()
    second = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    bring_to(state, office, carrier)
    sbc.tell(HangUpOrdered(next(iter(sbc.switch.calls))) if way == "operator" else DrainOrdered(sbc.now))
    carrier.wakes()
    sbc.run(5.0)
    at_office, at_carrier, status = STATES[state]
    if way == "shutdown":
        at_office = tuple(503 if heard == 480 else heard for heard in at_office)
        status = 503 if status == 480 else status
    assert office.got(*at_office)
    assert carrier.got(*at_carrier)
    assert second.got("INVITE", "CANCEL") is (state == "second")
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.sip_status) == (way, "sbc", status)
    assert (record.answered_at is not None) is (status == 200)
    assert (record.ringing_at is not None) is (state in ("ringing", "early media"))
    assert sbc.idle()
