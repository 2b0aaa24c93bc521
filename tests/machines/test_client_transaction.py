"""Non-INVITE client transaction: timers E, F and K of RFC 3261 §17.1.2 to the tenth of a second."""

import pytest

from sbc.core.address import Flow, Transport
from sbc.sip.commands import SendMessage
from sbc.sip.timing import DEFAULT_TIMING
from sbc.sip.transaction.client import Client, State
from sbc.sip.transaction.outputs import ResponseReceived, TransactionFailed
from sbc.testing.build import FLOW, HERE, THERE, request, response_to
from sbc.testing.timeline import run_until

TCP = Flow(Transport.TCP, "inside", HERE, THERE, 7)
KEY = ("z9hG4bKours", "BYE")
BYE = request("BYE", to_tag="to-1")
SENT = SendMessage(FLOW, b"the BYE", "me")


def start(flow=FLOW):
    machine = Client(KEY, BYE, "via", b"the BYE", flow, "me", DEFAULT_TIMING)
    assert machine.start(0.0) == [SendMessage(flow, b"the BYE", "me")]
    return machine


def answered(status, flow=FLOW, at=0.0):
    machine = start(flow)
    [out] = machine.receive(response_to(BYE, status), at)
    assert isinstance(out, ResponseReceived)
    assert (out.user, out.key, out.request, out.response.status) == ("me", KEY, BYE, status)
    return machine


def test_timer_e_doubles_up_to_t2_until_timer_f():
    at = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
    assert run_until(start(), 0.0, 100.0) == [
        *[(instant, SENT) for instant in at],
        (32.0, TransactionFailed("me", KEY, "timeout")),
    ]


def test_over_tcp_only_timer_f_runs():
    assert run_until(start(TCP), 0.0, 100.0) == [(32.0, TransactionFailed("me", KEY, "timeout"))]


def test_after_a_provisional_timer_e_fires_once_more_as_it_was_and_then_every_t2():
    machine = answered(100, at=0.2)
    at = (0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5)
    assert run_until(machine, 0.2, 100.0) == [
        *[(instant, SENT) for instant in at],
        (32.0, TransactionFailed("me", KEY, "timeout", heard=True)),
    ]


@pytest.mark.parametrize(("flow", "ends"), [(FLOW, 6.0), (TCP, 1.0)], ids=["UDP", "TCP"])
def test_timer_k_absorbs_repeated_final_responses(flow, ends):
    machine = answered(200, flow, at=1.0)
    assert machine.receive(response_to(BYE, 200), 1.0) == []
    assert machine.next_deadline() == ends
    assert run_until(machine, 1.0, ends) == []
    assert machine.is_terminated


@pytest.mark.parametrize("status", [200, 202, 302, 401, 481, 500, 603])
def test_any_final_response_ends_the_repetition(status):
    assert answered(status).state is State.COMPLETED


def test_every_provisional_goes_up():
    machine = answered(100)
    [out] = machine.receive(response_to(BYE, 100), 0.4)
    assert isinstance(out, ResponseReceived)


def test_a_transport_failure_is_reported_until_the_final_response():
    assert start().fail("refused", 0.1) == [TransactionFailed("me", KEY, "transport", "refused")]
    assert answered(100).fail("reset", 0.1) == [TransactionFailed("me", KEY, "transport", "reset", heard=True)]
    assert answered(200).fail("reset", 0.1) == []
