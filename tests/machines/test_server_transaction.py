"""Non-INVITE server transaction: timer J of RFC 3261 §17.2.2, and an end for what its user never answers."""

import pytest

from sbc.core.address import Flow, Transport
from sbc.sip.build import echo_of
from sbc.sip.commands import SendMessage
from sbc.sip.timing import DEFAULT_TIMING
from sbc.sip.transaction.outputs import RequestReceived
from sbc.sip.transaction.server import Server, State
from sbc.testing.build import FLOW, HERE, THERE, request
from sbc.testing.timeline import run_until

TCP = Flow(Transport.TCP, "inside", HERE, THERE, 7)
BYE = request("BYE", to_tag="to-1")


def start(flow=FLOW):
    machine = Server(("k",), None, BYE, echo_of(BYE, THERE), flow, DEFAULT_TIMING)
    [out] = machine.start(0.0)
    assert isinstance(out, RequestReceived)
    assert out.request is BYE
    return machine


def answered(status, flow=FLOW, at=0.0):
    machine = start(flow)
    assert machine.send(status, b"answer", at) == [SendMessage(flow, b"answer")]
    return machine


@pytest.mark.parametrize(("flow", "ends"), [(FLOW, 33.0), (TCP, 1.0)], ids=["UDP", "TCP"])
def test_timer_j_keeps_the_answer_for_repeated_requests(flow, ends):
    machine = answered(200, flow, at=1.0)
    assert machine.receive(BYE, 1.0) == [SendMessage(flow, b"answer")]
    assert machine.next_deadline() == ends
    assert run_until(machine, 1.0, ends) == []
    assert machine.is_terminated
    assert machine.receive(BYE, ends) == []


def test_a_repeated_request_is_dropped_until_there_is_an_answer():
    machine = start()
    assert machine.receive(BYE, 0.5) == []
    machine.send(100, b"100", 4.0)
    assert machine.receive(BYE, 4.5) == [SendMessage(FLOW, b"100")]


def test_only_the_first_final_response_counts():
    machine = answered(200)
    assert machine.send(500, b"late", 1.0) == []
    assert machine.receive(BYE, 1.1) == [SendMessage(FLOW, b"answer")]


@pytest.mark.parametrize("status", [None, 100])
def test_what_nobody_answers_is_forgotten_in_silence_when_the_client_has_given_up(status):
    machine = start() if status is None else answered(status, at=5.0)
    assert run_until(machine, 0.0, 100.0) == []
    assert machine.is_terminated


def test_it_is_pending_until_the_final_response():
    assert start().is_pending
    assert answered(100).is_pending
    assert not answered(200).is_pending


def test_an_answer_that_cannot_be_sent_ends_it():
    machine = answered(200)
    assert machine.fail("refused", 0.5) == []
    assert machine.state is State.TERMINATED
