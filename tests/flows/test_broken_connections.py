"""TCP peers whose connections break: a response finds another way (RFC 3261 §18.2.2), no request is lost silently."""

import pytest

from sbc.core.address import Transport
from sbc.testing.world import DID, FAR, POLICY

OVER_TCP = POLICY.replace("sip:198.51.100.7:5060", "sip:198.51.100.7:5060;transport=tcp").replace(
    "address: sip:10.0.0.5:5060", "address: 'sip:10.0.0.5:5060;transport=tcp'"
)


def tcp(world):
    sbc = world(OVER_TCP)
    return sbc, sbc.office(transport=Transport.TCP), sbc.carrier(transport=Transport.TCP)


def test_the_answer_after_the_callers_connection_has_closed(world):
    """ "the server SHOULD open a connection to the IP address in the received parameter", §18.2.2."""
    sbc, office, carrier = tcp(world)
    office.invites(FAR)
    carrier.rings()
    sbc.net.reset(office.agent)
    carrier.answers()
    sbc.run(3.0)
    assert office.is_talking
    assert carrier.got("ACK")
    assert not carrier.got("BYE")
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_refusal_after_the_callers_connection_has_closed(world):
    sbc, office, carrier = tcp(world)
    office.invites(FAR)
    carrier.rings()
    sbc.net.reset(office.agent)
    carrier.refuses(486)
    sbc.run(1.0)
    assert office.got(486)
    assert sbc.cdr.only.cause == "busy"
    assert sbc.idle()


def test_a_refusal_that_was_on_its_way_when_the_connection_closed(world):
    sbc, office, carrier = tcp(world)
    office.invites(FAR)
    with sbc.net.holding(office.agent):
        carrier.refuses(486)
        sbc.net.reset(office.agent)
    sbc.run(1.0)
    assert office.got(486)
    assert sbc.idle()


@pytest.mark.parametrize("state", ["calling", "ringing", "talking"])
@pytest.mark.parametrize("whose", ["office", "carrier", "both"])
def test_a_reset_in_each_state_stops_no_call(world, state, whose):
    sbc, office, carrier = tcp(world)
    office.invites(FAR)
    if state != "calling":
        carrier.rings()
    if state == "talking":
        carrier.answers()
    if whose != "carrier":
        sbc.net.reset(office.agent)
    if whose != "office":
        sbc.net.reset(carrier.agent)
    sbc.run(1.0)
    if state != "talking":
        carrier.answers()
    office.holds()
    assert office.is_talking
    assert carrier.is_talking
    carrier.hangs_up()
    sbc.run(2.0)
    assert office.got("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("ender", ["office", "carrier"])
def test_the_other_side_has_vanished(world, ender):
    """Its machine refuses connections: our BYE fails at once, and the call is over."""
    sbc, office, carrier = tcp(world)
    carrier.invites(DID)
    office.answers()
    stays, goes = (office, carrier) if ender == "office" else (carrier, office)
    sbc.net.detach(goes.agent)
    sbc.run(1.0)
    stays.hangs_up()
    sbc.run(1.0)
    assert sbc.switch.is_idle
    assert sbc.cdr.only.cause == "normal"
    sbc.phones.remove(goes)
    assert sbc.idle()


def test_the_caller_has_vanished_while_it_rings(world):
    sbc, office, carrier = tcp(world)
    office.invites(FAR)
    carrier.rings()
    sbc.net.detach(office.agent)
    carrier.answers()
    sbc.run(40.0)
    assert carrier.got("ACK", "BYE")
    assert sbc.cdr.only.cause == "no_ack"
    sbc.phones.remove(office)
    assert sbc.idle()
