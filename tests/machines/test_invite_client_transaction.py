"""INVITE client transaction: the timers of RFC 3261 §17.1.1 to the tenth of a second, ACK, CANCEL, RFC 6026."""
# RFC: 6026

import pytest

from sbc.core.address import Flow, Transport
from sbc.sip.build import cancel_for
from sbc.sip.commands import SendMessage
from sbc.sip.timing import DEFAULT_TIMING
from sbc.sip.transaction.invite_client import InviteClient, State
from sbc.sip.transaction.outputs import CancelDue, ResponseReceived, TransactionFailed
from sbc.testing.build import FLOW, HERE, THERE, request, response_to
from sbc.testing.timeline import run_until

TCP = Flow(Transport.TCP, "inside", HERE, THERE, 7)
KEY = ("z9hG4bKours", "INVITE")
VIA = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours"
INVITE = request("INVITE", fields=(("Route", "<sip:192.0.2.50;lr>"), ("Route", "<sip:192.0.2.51;lr>")))
SENT = SendMessage(FLOW, b"the INVITE", "me")


def start(flow=FLOW):
    machine = InviteClient(KEY, INVITE, VIA, b"the INVITE", flow, "me", DEFAULT_TIMING)
    assert machine.start(0.0) == [SendMessage(flow, b"the INVITE", "me")]
    return machine


def answered(status, flow=FLOW, at=0.0):
    machine = start(flow)
    machine.receive(response_to(INVITE, status), at)
    return machine


def statuses(outs):
    return [out.response.status for out in outs if isinstance(out, ResponseReceived)]


def acks(outs):
    return [out for out in outs if isinstance(out, SendMessage) and out.data.startswith(b"ACK ")]


# --- timers -----------------------------------------------------------------------------------------------------------


def test_timer_a_doubles_without_a_cap_until_timer_b():
    timeline = run_until(start(), 0.0, 100.0)
    assert timeline == [
        *[(at, SENT) for at in (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)],
        (32.0, TransactionFailed("me", KEY, "timeout")),
    ]


def test_over_tcp_only_timer_b_runs():
    assert run_until(start(TCP), 0.0, 100.0) == [(32.0, TransactionFailed("me", KEY, "timeout"))]


@pytest.mark.parametrize("status", [100, 180, 199])
def test_a_provisional_stops_both_timers_for_good(status):
    machine = answered(status, at=1.0)
    assert machine.next_deadline() is None
    assert machine.state is State.PROCEEDING


@pytest.mark.parametrize(
    ("status", "flow", "ends"),
    [(486, FLOW, 33.0), (486, TCP, 1.0), (200, FLOW, 33.0), (200, TCP, 33.0)],
    ids=["timer D", "timer D on TCP", "timer M", "timer M on TCP"],
)
def test_how_long_a_final_response_is_waited_for_again(status, flow, ends):
    machine = answered(status, flow, at=1.0)
    assert machine.next_deadline() == ends
    assert run_until(machine, 1.0, ends) == []
    assert machine.is_terminated


# --- responses --------------------------------------------------------------------------------------------------------


def test_every_provisional_goes_up():
    machine = start()
    heard = [statuses(machine.receive(response_to(INVITE, status), 0.1)) for status in (100, 180, 183, 180)]
    assert heard == [[100], [180], [183], [180]]


@pytest.mark.parametrize("before", [None, 180])
def test_a_failure_is_acknowledged_here_and_goes_up_once(before):
    machine = start() if before is None else answered(before)
    response = response_to(INVITE, 486, to_tag="busy")
    outs = machine.receive(response, 1.0)
    assert statuses(outs) == [486]
    assert len(acks(outs)) == 1
    again = machine.receive(response, 2.0)
    assert again == acks(outs)


def test_the_ack_of_a_failure_is_what_17_1_1_3_asks_for():
    response = response_to(INVITE, 486, to_tag="busy")
    text = acks(start().receive(response, 1.0))[0].data.decode()
    lines = text.split("\r\n")
    assert lines[0] == f"ACK {INVITE.uri_text} SIP/2.0"
    assert [line for line in lines if line.startswith("Via")] == [f"Via: {VIA}"]
    assert [line for line in lines if line.startswith("Route")] == [
        "Route: <sip:192.0.2.50;lr>",
        "Route: <sip:192.0.2.51;lr>",
    ]
    for line in (
        f"From: {INVITE.header('From')}",
        f"To: {response.header('To')}",
        f"Call-ID: {INVITE.call_id}",
        "CSeq: 1 ACK",
        "Max-Forwards: 70",
        "Content-Length: 0",
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith(("Contact", "Content-Type"))]


def test_a_failure_after_a_2xx_and_a_2xx_after_a_failure_are_dropped():
    assert answered(200).receive(response_to(INVITE, 486), 1.0) == []
    assert answered(486).receive(response_to(INVITE, 200), 1.0) == []


def test_a_provisional_after_the_final_response_is_dropped():
    assert answered(200).receive(response_to(INVITE, 180), 1.0) == []
    assert answered(486).receive(response_to(INVITE, 180), 1.0) == []


def test_a_repeated_2xx_gets_the_ack_again_and_does_not_go_up():
    machine = answered(200)
    ack = SendMessage(FLOW, b"ACK", "me")
    machine.acknowledge("to-1", ack)
    for at in (0.5, 1.5, 31.9):
        assert machine.receive(response_to(INVITE, 200), at) == [ack]


def test_a_repeated_2xx_that_is_not_acknowledged_yet_goes_up_again():
    assert statuses(answered(200).receive(response_to(INVITE, 200), 0.5)) == [200]


def test_another_forks_2xx_goes_up_and_each_fork_gets_its_own_ack():
    machine = answered(200)
    machine.acknowledge("to-1", SendMessage(FLOW, b"ACK 1", "me"))
    other = response_to(INVITE, 200, to_tag="to-2")
    assert statuses(machine.receive(other, 0.2)) == [200]
    machine.acknowledge("to-2", SendMessage(FLOW, b"ACK 2", "me"))
    assert machine.receive(other, 0.7) == [SendMessage(FLOW, b"ACK 2", "me")]
    assert machine.receive(response_to(INVITE, 200), 0.7) == [SendMessage(FLOW, b"ACK 1", "me")]


# --- CANCEL -----------------------------------------------------------------------------------------------------------


def test_cancel_waits_for_a_provisional_which_does_not_go_up_any_more():
    machine, cancel = start(), cancel_for(INVITE)
    assert machine.cancel(cancel, 0.2) == []
    assert run_until(machine, 0.2, 1.6) == [(0.5, SENT), (1.5, SENT)]
    [due] = machine.receive(response_to(INVITE, 180), 2.0)
    assert isinstance(due, CancelDue)
    assert due.cancel is cancel
    assert machine.state is State.CANCELLING


def test_cancel_waiting_for_a_provisional_ends_with_timer_b():
    machine = start()
    machine.cancel(cancel_for(INVITE), 1.0)
    assert run_until(machine, 1.0, 100.0)[-1] == (32.0, TransactionFailed("me", KEY, "timeout"))


def test_cancel_after_a_provisional_is_due_at_once_and_only_once():
    machine = answered(180)
    outs = machine.cancel(cancel_for(INVITE), 1.0)
    assert [type(out) for out in outs] == [CancelDue]
    assert machine.cancel(cancel_for(INVITE), 1.1) == []


def test_an_invite_that_never_ends_after_cancel_is_given_up_after_64_t1():
    machine = answered(180)
    machine.cancel(cancel_for(INVITE), 10.0)
    machine.receive(response_to(INVITE, 180), 20.0)
    assert run_until(machine, 10.0, 100.0) == [
        (42.0, TransactionFailed("me", KEY, "timeout", "no final response after CANCEL", heard=True))
    ]
    assert machine.is_terminated


def test_a_2xx_that_crosses_the_cancel_goes_up():
    machine = answered(180)
    machine.cancel(cancel_for(INVITE), 1.0)
    assert statuses(machine.receive(response_to(INVITE, 200), 1.1)) == [200]


@pytest.mark.parametrize("status", [200, 487])
def test_cancel_after_the_final_response_does_nothing(status):
    assert answered(status).cancel(cancel_for(INVITE), 1.0) == []


@pytest.mark.parametrize("status", [200, 486])
def test_a_final_response_while_cancel_waits_ends_the_matter(status):
    machine = start()
    machine.cancel(cancel_for(INVITE), 0.2)
    outs = machine.receive(response_to(INVITE, status), 1.0)
    assert statuses(outs) == [status]
    assert bool(acks(outs)) is (status == 486)


# --- transport failures -----------------------------------------------------------------------------------------------


def test_a_transport_failure_ends_it_while_nobody_has_answered():
    assert start().fail("refused", 1.0) == [TransactionFailed("me", KEY, "transport", "refused")]


def test_a_transport_failure_after_a_provisional_says_that_somebody_was_there():
    assert answered(180).fail("reset", 1.0) == [TransactionFailed("me", KEY, "transport", "reset", heard=True)]


@pytest.mark.parametrize("status", [200, 486])
def test_a_transport_failure_after_the_final_response_is_no_failure(status):
    assert answered(status).fail("reset", 1.0) == []
