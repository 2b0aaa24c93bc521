"""One message is lost, or many: a call still reaches its right end."""

import pytest

from sbc.testing.world import FAR


def answered(world, **options):
    sbc = world(**options)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    return sbc, office, carrier


def test_lost_ack_of_the_caller(world):
    sbc, office, carrier = answered(world)
    sbc.net.loses("ACK", by=office.name, times=3)
    carrier.answers()
    sbc.run(10.0)
    assert office.is_talking
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_lost_ack_towards_the_carrier(world):
    sbc, _office, carrier = answered(world)
    sbc.net.loses("ACK", to=carrier.name, times=3)
    carrier.answers()
    carrier.waits_for("ACK")
    carrier.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_caller_that_never_acks_is_hung_up_on(world):
    sbc, office, carrier = answered(world)
    office.never_acks()
    carrier.answers()
    sbc.run(31.0)
    assert carrier.is_talking
    sbc.run(2.0)
    assert carrier.got("ACK", "BYE")
    assert office.got(200, "BYE")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("no_ack", "sbc")
    assert sbc.idle()


def test_lost_bye_is_repeated(world):
    sbc, office, carrier = answered(world)
    carrier.answers()
    sbc.net.loses("BYE", to=carrier.name, times=5)
    office.hangs_up()
    carrier.waits_for("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_peer_that_never_answers_bye_holds_nothing_up(world):
    sbc, office, carrier = answered(world)
    carrier.answers()
    carrier.ignores("BYE")
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    sbc.run(40.0)
    assert sbc.switch.snapshot(sbc.now).transactions == 0
    carrier.agent.parties.clear()
    assert sbc.idle()


@pytest.mark.parametrize("start", ["INVITE", "SIP/2.0 100", "SIP/2.0 180", "SIP/2.0 200", "ACK", "BYE"])
@pytest.mark.parametrize("by", ["pbx-77.office.internal", "softswitch-3.carrier.net", "sbc"])
def test_any_one_message_may_be_lost(world, start, by):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    sbc.net.loses(start, by=by)
    carrier.answers_by_itself(after=1.0, hangs_up_after=20.0)
    office.invites(FAR)
    office.waits_for(200, "BYE")
    assert carrier.got("INVITE", "ACK")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("normal", "callee")
    assert sbc.idle()


@pytest.mark.parametrize("start", ["CANCEL", "SIP/2.0 487", "SIP/2.0 200", "ACK"])
@pytest.mark.parametrize("by", ["pbx-77.office.internal", "softswitch-3.carrier.net", "sbc"])
def test_any_one_message_of_a_cancelled_call_may_be_lost(world, start, by):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.net.loses(start, by=by)
    office.cancels()
    sbc.run(40.0)
    assert office.got(180, 487)
    assert carrier.got("CANCEL")
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()
