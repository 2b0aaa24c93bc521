"""A server named by host name whose look-up takes long, never ends, or ends when nobody waits any more."""

import pytest

from sbc.sip.events import LookedUp
from sbc.testing.names import Names
from sbc.testing.world import CARRIER, FAR, OUTSIDE, POLICY

NAMED = POLICY.replace("sip:198.51.100.7:5060", "sip:switch.carrier.net").replace(
    "servers:", "accept: [198.51.100.0/24], servers:"
)


@pytest.fixture
def slow(world):
    """A world whose look-ups are answered when the test says so."""
    names = Names()
    names.silent.add("switch.carrier.net")
    sbc = world(NAMED, names=names)
    return sbc, sbc.office(), sbc.phone("switch-3.carrier.net", CARRIER, through=OUTSIDE)


def answer(sbc):
    sbc.tell(LookedUp("switch.carrier.net", "A", ("198.51.100.7",)))
    sbc.tell(LookedUp("switch.carrier.net", "AAAA"))


def test_a_call_that_waits_for_a_name_goes_on_when_it_is_known(slow):
    sbc, office, carrier = slow
    office.invites(FAR)
    sbc.run(2.0)
    answer(sbc)
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_call_that_is_cancelled_while_it_waits_for_a_name(slow):
    sbc, office, carrier = slow
    office.invites(FAR)
    sbc.run(2.0)
    office.cancels()
    assert office.got(100, 487)
    answer(sbc)
    sbc.run(1.0)
    assert carrier.heard == []
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_a_name_that_is_never_found_does_not_hold_a_call_for_ever(slow):
    """The runtime answers within seconds; should it ever not, then no call may wait for it without end."""
    sbc, office, _carrier = slow
    office.invites(FAR)
    sbc.run(40.0)
    assert office.call.stage == "ended"
    assert office.call.status in (408, 503)
    assert sbc.cdr.only.cause in ("no_reply", "unreachable")
    assert sbc.idle()
