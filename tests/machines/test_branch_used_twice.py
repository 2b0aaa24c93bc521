"""A peer uses one branch for two requests within 32 seconds: each gets its own answer (RFC 4475 §3.3.2 and §3.3.3)."""

import random

from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import IdSource
from sbc.sip.commands import SendMessage
from sbc.sip.parse import parse_message
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import RequestReceived

UDP = Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))


def _tcp(connection):
    return Flow(
        Transport.TCP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 40000 + connection), connection
    )


def _options(call_id):
    return parse_message(
        (
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKsame\r\nMax-Forwards: 70\r\n"
            f"From: <sip:x@y>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode(),
        stream=False,
    )


def _layer():
    return TransactionLayer(IdSource(random.Random(1).randbytes))


def test_another_call_id_is_another_request():
    layer = _layer()
    [first] = layer.receive_request(_options("one"), UDP, 0.0)
    layer.respond(first.key, 200, 0.0)
    [second] = layer.receive_request(_options("two"), UDP, 0.1)
    assert isinstance(second, RequestReceived)
    assert second.key != first.key


def test_the_same_call_id_is_a_repetition_and_gets_the_same_answer():
    layer = _layer()
    [first] = layer.receive_request(_options("one"), UDP, 0.0)
    [answer] = layer.respond(first.key, 200, 0.0)
    assert layer.receive_request(_options("one"), UDP, 0.1) == [answer]


def test_a_repetition_on_a_new_connection_is_answered_there():
    layer = _layer()
    [first] = layer.receive_request(_options("one"), _tcp(1), 0.0)
    assert layer.receive_request(_options("one"), _tcp(2), 0.1) == []  # nobody has answered yet
    [answer] = layer.respond(first.key, 200, 0.2)
    assert isinstance(answer, SendMessage)
    assert answer.flow == _tcp(2)
