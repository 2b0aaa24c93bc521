"""It rings and rings; or nothing is heard at all."""

import pytest

from sbc.testing.party import Stage
from sbc.testing.world import FAR, POLICY

SHORT = POLICY.replace("via: [carrier]}", "via: [carrier], no_answer: 30s}", 1)


def test_no_answer_ends_the_call_and_cancels_the_carrier(world):
    sbc = world(SHORT)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    sbc.run(29.0)
    assert office.call.stage is Stage.RINGING
    sbc.run(2.0)
    assert office.got(180, 480)
    assert carrier.got("INVITE", "CANCEL")
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.sip_status, record.q850) == ("no_answer", "sbc", 480, 19)
    assert record.ended_at - record.started_at == pytest.approx(30.0, abs=0.1)
    assert sbc.idle()


def test_a_late_200_after_no_answer_is_acked_and_byed(world):
    sbc = world(SHORT)
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    with sbc.net.holding(carrier.agent):
        sbc.run(29.5)
        carrier.answers()
        sbc.run(1.0)
    sbc.settle()
    assert office.got(480)
    assert carrier.got("ACK", "BYE")
    assert sbc.cdr.only.cause == "no_answer"
    assert sbc.idle()


def test_a_silent_carrier_is_given_up_after_timer_b(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.ignores()
    office.invites(FAR)
    sbc.run(31.0)
    assert office.call.stage is Stage.CALLING
    sbc.run(2.0)
    assert office.got(100, 408)
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("no_reply", "sbc")
    assert len([sent for sent in sbc.net.sent_to(carrier.name) if sent.startswith(b"INVITE")]) == 7
    assert sbc.idle()


def test_100_but_no_18x_ends_after_no_progress(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    sbc.run(25.0)
    assert office.got(100, 408)
    assert carrier.got("INVITE", "CANCEL")
    assert sbc.cdr.only.cause == "no_reply"
    assert sbc.idle()


def test_a_port_where_nobody_listens_ends_the_call_at_once(world):
    sbc = world()
    office = sbc.office()
    # Somebody else lives at that address: the machine is there, the port is not.
    sbc.phone("other.carrier.net", "198.51.100.7:5999", through="203.0.113.1:5060")
    office.invites(FAR)
    sbc.run(0.1)
    assert office.got(100, 503)
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("unreachable", "sbc")
    assert sbc.idle()
