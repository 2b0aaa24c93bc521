"""What was said before a call began is kept for it, little of it, and not for long."""

import pytest

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.trace.doorstep import Doorstep
from sbc.trace.recorder import Recorder


def flow(host="192.0.2.9", port=5060):
    return Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address(host, port))


def invite(n, name=b"Call-ID"):
    return b"INVITE sip:a@b SIP/2.0\r\n" + name + b": call-%d\r\n\r\n" % n


def entered(door, data, way=None):
    recorder = Recorder()
    door.enters("r", data, way or flow(), recorder)
    return [(entry.at, entry.sent, entry.data) for entry in recorder.entries("r")]


@pytest.mark.parametrize("name", [b"Call-ID", b"call-id ", b"i"])
def test_a_call_begins_with_what_was_said_before_it_once(name):
    door = Doorstep()
    door.said(1.0, False, invite(1), flow())
    door.said(1.1, True, b"SIP/2.0 401 No\r\nCall-ID: call-1\r\n\r\n", flow())
    door.said(1.2, False, b"ACK sip:a@b SIP/2.0\r\nCall-ID: call-1\r\n\r\n", flow(), begins=False)
    assert [(at, sent) for at, sent, _ in entered(door, invite(1, name))] == [(1.0, False), (1.1, True), (1.2, False)]
    assert entered(door, invite(1)) == []
    assert len(door) == 0


def test_another_sources_call_of_the_same_name_has_nothing_of_it():
    door = Doorstep()
    door.said(1.0, False, invite(1), flow())
    assert entered(door, invite(1), flow("192.0.2.66")) == []
    assert len(entered(door, invite(1), flow(port=6000))) == 1


def test_an_ack_of_nothing_is_not_kept_nor_what_has_no_call_id():
    door = Doorstep()
    door.said(1.0, False, invite(1), flow(), begins=False)
    door.said(1.0, False, b"INVITE x SIP/2.0\r\n\r\n", flow())
    assert len(door) == 0


# BOUND: TRACE_AT_THE_DOOR, TRACE_OCTETS_AT_THE_DOOR
def test_it_is_bounded_in_calls_in_messages_and_in_octets(monkeypatch):
    monkeypatch.setattr(limits, "TRACE_AT_THE_DOOR", 3)
    monkeypatch.setattr(limits, "TRACE_OCTETS_AT_THE_DOOR", 3000)
    door = Doorstep()
    for n in range(10):
        door.said(float(n), False, invite(n), flow())
    assert len(door) == 3
    for _ in range(100):
        door.said(20.0, False, invite(9), flow())
    assert len(entered(door, invite(9))) <= 8
    door.said(30.0, False, invite(11) + b"x" * 5000, flow())
    assert len(door) == 0
    assert entered(door, invite(8)) == []
