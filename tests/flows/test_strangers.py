"""Unknown sources get silence and leave no state; a peer can speak only in its own calls."""

import pytest

from sbc.core.address import Transport
from sbc.testing.world import DID, FAR


@pytest.mark.parametrize("through", ["10.0.0.1:5060", "203.0.113.1:5060"])
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "NONSENSE"])
def test_a_stranger_meets_silence(world, through, method):
    sbc = world()
    stranger = sbc.phone("stranger.example", "192.0.2.66:5060", through=through)
    if method == "INVITE":
        stranger.invites(DID)
    else:
        stranger.asks(method)
    sbc.run(40.0)
    assert sbc.net.sent_to(stranger.name) == []
    assert set(stranger.heard) == {"timeout"}
    assert sbc.switch.snapshot(sbc.now).transactions == 0
    assert sbc.cdr == []
    assert sbc.idle()


def test_a_peer_on_the_other_interface_is_a_stranger(world):
    sbc = world()
    office = sbc.phone("pbx.internal", "10.0.0.5:5060", through="203.0.113.1:5060")
    office.invites(FAR)
    sbc.run(40.0)
    assert sbc.net.sent_to(office.name) == []
    assert sbc.idle()


def test_a_stranger_on_a_stream_gets_nothing_either(world):
    sbc = world()
    stranger = sbc.phone("stranger.example", "192.0.2.66:5060", through="203.0.113.1:5060", transport=Transport.TCP)
    stranger.invites(DID)
    sbc.run(40.0)
    assert sbc.net.sent_to(stranger.name) == []
    assert sbc.idle()


def test_a_stranger_cannot_end_a_call_whose_dialog_it_knows(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    bye = _bye_of(carrier)
    stranger = sbc.phone("stranger.example", "192.0.2.66:5060", through="203.0.113.1:5060")
    sbc.inject(bye, stranger)
    sbc.run(1.0)
    assert office.is_talking
    assert sbc.net.sent_to(stranger.name) == []
    office.hangs_up()
    assert sbc.idle()


def test_a_peer_cannot_end_a_call_of_another_peer(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    sbc.inject(_bye_of(carrier), office)
    sbc.run(1.0)
    assert carrier.is_talking
    assert any(data.startswith(b"SIP/2.0 481") for data in sbc.net.sent_to(office.name))
    office.hangs_up()
    assert sbc.idle(but=["leaks"])  # the 481 repeats what came in, which this test took from the other side


def _bye_of(phone) -> bytes:
    """The BYE that this phone would send now, taken off the wire."""
    [message] = [m for m in phone.agent.hang_up(phone.call, phone.net.now) if m.data.startswith(b"BYE")]
    phone.agent.layer.__init__(phone.agent._ids, phone.agent.timing)  # it forgets that it sent it
    phone.call.stage = phone.call.stage.TALKING
    phone.call.local_seq += 1
    return message.data


def test_who_was_met_with_silence_is_said_once_a_minute(world):
    sbc = world()
    for n in range(12):
        stranger = sbc.phone(f"stranger-{n}.example", f"192.0.2.{60 + n}:5060", through="203.0.113.1:5060")
        stranger.asks("MESSAGE")
    sbc.run(70.0)
    stranger.asks("MESSAGE")
    first, second = (dict(log.fields) for log in sbc.logs if log.event == "sip.strangers")
    assert first == {"sources": "192.0.2.60 on outside", "messages": 1}
    assert second["sources"].split(", ") == [f"192.0.2.{61 + n} on outside" for n in range(8)]
    assert first["messages"] + second["messages"] == sbc.switch.endpoint.dropped["unknown_source"]
    sbc.run(40.0)
    assert sbc.idle()
