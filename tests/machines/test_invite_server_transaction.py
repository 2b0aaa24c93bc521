"""INVITE server transaction: timers G, H, I (RFC 3261 §17.2.1) and L (RFC 6026 §7.1) to the tenth of a second."""
# RFC: 6026

import pytest

from sbc.core.address import Flow, Transport
from sbc.sip.build import echo_of
from sbc.sip.commands import SendMessage
from sbc.sip.timing import DEFAULT_TIMING
from sbc.sip.transaction.invite_server import InviteServer, State
from sbc.sip.transaction.outputs import AckReceived, RequestReceived
from sbc.testing.build import FLOW, HERE, THERE, request
from sbc.testing.timeline import run_until

TCP = Flow(Transport.TCP, "inside", HERE, THERE, 7)
INVITE = request("INVITE")
ACK = request("ACK", to_tag="ours")


def start(flow=FLOW):
    machine = InviteServer(("k",), None, INVITE, echo_of(INVITE, THERE), flow, DEFAULT_TIMING)
    [out] = machine.start(0.0)
    assert isinstance(out, RequestReceived)
    assert out.request is INVITE
    return machine


def sent(data, flow=FLOW):
    return SendMessage(flow, data)


def answered(status, flow=FLOW, at=0.0):
    machine = start(flow)
    data = str(status).encode()
    assert machine.send(status, data, at) == [sent(data, flow)]
    return machine


# --- timers -----------------------------------------------------------------------------------------------------------


def test_timer_g_repeats_a_failure_doubling_up_to_t2_until_timer_h():
    machine = answered(486)
    at = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
    assert run_until(machine, 0.0, 100.0) == [(instant, sent(b"486")) for instant in at]
    assert machine.is_terminated


def test_over_tcp_a_failure_is_not_repeated_and_timer_h_runs_all_the_same():
    machine = answered(486, TCP)
    assert machine.next_deadline() == 32.0
    assert run_until(machine, 0.0, 32.0) == []
    assert machine.is_terminated


@pytest.mark.parametrize(("flow", "ends"), [(FLOW, 6.0), (TCP, 1.0)], ids=["UDP", "TCP"])
def test_the_ack_stops_the_repetition_and_timer_i_ends_it(flow, ends):
    machine = answered(486, flow)
    assert machine.receive(ACK, 1.0) == []
    assert machine.state is State.CONFIRMED
    assert machine.next_deadline() == ends
    assert run_until(machine, 1.0, ends) == []
    assert machine.is_terminated


@pytest.mark.parametrize("flow", [FLOW, TCP], ids=["UDP", "TCP"])
def test_timer_l_keeps_an_answered_invite_for_64_t1(flow):
    machine = answered(200, flow, at=3.0)
    assert machine.next_deadline() == 35.0
    assert run_until(machine, 3.0, 35.0) == []
    assert machine.is_terminated


def test_ringing_has_no_timer():
    assert answered(180).next_deadline() is None


# --- what comes and goes ----------------------------------------------------------------------------------------------


def test_a_repeated_invite_gets_the_last_provisional_or_nothing():
    machine = start()
    assert machine.receive(INVITE, 0.1) == []
    machine.send(100, b"100", 0.2)
    assert machine.receive(INVITE, 0.3) == [sent(b"100")]
    machine.send(180, b"180", 0.4)
    assert machine.receive(INVITE, 0.5) == [sent(b"180")]


def test_a_repeated_invite_gets_the_failure_until_the_ack_and_then_nothing():
    machine = answered(486)
    assert machine.receive(INVITE, 0.1) == [sent(b"486")]
    machine.receive(ACK, 0.2)
    assert machine.receive(INVITE, 0.3) == []
    assert machine.receive(ACK, 0.4) == []


def test_a_repeated_invite_after_a_2xx_is_absorbed():
    assert answered(200).receive(INVITE, 0.5) == []


def test_the_user_may_repeat_its_2xx_and_every_ack_goes_up():
    machine = answered(200)
    assert machine.send(200, b"200", 0.5) == [sent(b"200")]
    for at in (0.6, 0.7):
        [out] = machine.receive(ACK, at)
        assert isinstance(out, AckReceived)
        assert out.request is ACK


def test_an_ack_before_any_final_response_is_nobodys():
    machine = answered(180)
    assert machine.receive(ACK, 0.1) == []
    assert machine.state is State.PROCEEDING


@pytest.mark.parametrize(("first", "second"), [(486, 200), (486, 500), (486, 180), (200, 486), (200, 180)])
def test_only_the_first_final_response_counts(first, second):
    assert answered(first).send(second, b"late", 1.0) == []


def test_it_can_be_cancelled_until_its_final_response():
    assert start().is_pending
    assert answered(180).is_pending
    assert not answered(200).is_pending
    assert not answered(486).is_pending


def test_a_failure_that_cannot_be_sent_ends_it_and_a_2xx_stays_the_users_matter():
    failed = answered(486)
    failed.fail("refused", 0.1)
    assert failed.is_terminated
    accepted = answered(200)
    accepted.fail("refused", 0.1)
    assert accepted.state is State.ACCEPTED
