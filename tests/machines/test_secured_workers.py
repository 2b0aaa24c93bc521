"""A leg whose call another worker takes over goes on under its keys, and no index is used twice."""

from collections import deque

import pytest
from msgspec.structs import replace

from sbc.core.address import Address
from sbc.core.limits import HANDED_SECONDS
from sbc.media import wire
from sbc.media.client import MediaClient
from sbc.media.worker.service import Service
from sbc.media.worker.srtp_memory import BEHIND, OCTETS
from sbc.testing.srtp import rtp_packet, sender_report

from .secured_lab import CARRIER, CARRIER_RTCP, INSIDE, OUTSIDE, PBX, PORTS, Lab, far, stream


class TwoWorkers(Lab):
    """Each has its own sockets' lanes and memory. `held` keeps messages of signalling back, while it is True."""

    def start(self) -> None:
        self.client = MediaClient(wire.Configure("lab", "userland", own=(INSIDE, OUTSIDE), workers=2))
        for local in (INSIDE, OUTSIDE):
            self.client.ports_opened(local, PORTS)
        self.services, self.all_lanes = [], [{}, {}]
        self.held: deque = deque()
        self.is_held = False
        for n in (0, 1):
            self.services.append(Service(_Watch(self.all_lanes[n]), lambda: self.now, bytearray(BEHIND + OCTETS)))
            self.deliver(self.client.worker_started(n, continues=True))

    def deliver(self, messages) -> None:
        for message in messages:
            sockets = [self.sockets[Address(message.local, port + i)] for port in message.ports for i in (0, 1)]
            for reply in self.services[message.worker].receive(message.data, sockets):
                self.said += self.client.received(wire.encode(reply), message.worker)
        due = self.client.due()
        if self.is_held:
            self.held += due
        elif due:
            self.deliver(due)

    def arrives(self, source, to, data) -> None:
        self.lanes = self.all_lanes[0] | self.all_lanes[1]
        super().arrives(source, to, data)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for service in self.services:
            service.agenda.tick(self.now)


class _Watch:
    def __init__(self, lanes) -> None:
        self.lanes = lanes

    def set(self, socket, inlet) -> None:
        self.lanes[socket.fileno()] = inlet.lane

    def unset(self, socket) -> None:
        self.lanes.pop(socket.fileno(), None)


def two_calls():
    """Call a is in worker 0, call b in worker 1; a's carrier leg has talked over a rollover."""
    lab, carrier = TwoWorkers(), far()
    first = stream(None, carrier)
    lab.put(first, ref="a")
    second = stream(None, None, i=1)
    lab.put(second, ref="b")
    assert [lab.client.sessions_of(n) for n in (0, 1)] == [1, 1]
    for n in range(65_400, 65_700):
        assert lab.from_carrier(carrier.rtp(rtp_packet(n)))
        assert [carrier.opened(one) for one in lab.from_pbx(rtp_packet(n, ssrc=9))] == [rtp_packet(n, ssrc=9)]
    # b's worker gets a's leg: its own two pairs are there, and one of a's in place of its own
    return lab, carrier, replace(first, ingress=second.ingress)


def test_a_leg_that_another_worker_takes_goes_on():
    lab, carrier, joined = two_calls()
    (report,) = lab.sends(PBX, Address(INSIDE, 20001), sender_report(9))
    replayed = carrier.rtp(rtp_packet(65_700))
    assert lab.from_carrier(replayed)
    lab.put(joined, ref="b")
    lab.delete("a")
    assert lab.from_carrier(replayed) == []
    assert lab.from_carrier(carrier.rtp(rtp_packet(65_701))) == [rtp_packet(65_701)]
    left = lab.sends(PBX, Address(INSIDE, 20002), rtp_packet(65_750, ssrc=9))
    assert [carrier.opened(one) for one in left] == [rtp_packet(65_750, ssrc=9)]
    for n in range(65_690, 65_697):
        assert lab.sends(PBX, Address(INSIDE, 20002), rtp_packet(n, ssrc=9, payload=b"other" * 32)) == []
    (after,) = lab.sends(PBX, Address(INSIDE, 20003), sender_report(9))
    assert int.from_bytes(after[-14:-10]) > int.from_bytes(report[-14:-10])
    assert carrier.refused == 0
    assert lab.sends(CARRIER_RTCP, Address(OUTSIDE, 20001), carrier.rtcp(sender_report())) == [sender_report()]


def test_nothing_passes_before_word_of_the_keys_has_come():
    lab, carrier, joined = two_calls()
    lab.is_held = True
    lab.put(joined, ref="b")
    assert lab.from_carrier(carrier.rtp(rtp_packet(65_700))) == []
    assert lab.sends(PBX, Address(INSIDE, 20002), rtp_packet(65_700, ssrc=9)) == []
    lab.is_held = False
    lab.deliver(lab.held)
    assert lab.from_carrier(carrier.rtp(rtp_packet(65_701))) == [rtp_packet(65_701)]
    left = lab.sends(PBX, Address(INSIDE, 20002), rtp_packet(65_701, ssrc=9))
    assert [carrier.opened(one) for one in left] == [rtp_packet(65_701, ssrc=9)]


# BOUND: HANDED_SECONDS
@pytest.mark.parametrize("is_rekeyed", [False, True])
def test_where_no_word_comes_nothing_is_sent_until_there_is_another_key(is_rekeyed):
    lab, carrier, joined = two_calls()
    lab.is_held = True
    lab.put(joined, ref="b")
    lab.wait(HANDED_SECONDS + 0.1)
    assert lab.sends(PBX, Address(INSIDE, 20002), rtp_packet(65_701, ssrc=9)) == []
    if is_rekeyed:
        carrier.rekey(carrier.suite, carrier.sends, far(seed=7).hears)
    lab.put(replace(joined, egress=replace(joined.egress, secured=carrier.crypto)), ref="b")
    left = lab.sends(PBX, Address(INSIDE, 20002), rtp_packet(65_702, ssrc=9))
    assert [carrier.opened(one) for one in left] == [rtp_packet(65_702, ssrc=9)] * is_rekeyed
    assert lab.sends(CARRIER, Address(OUTSIDE, 20000), rtp_packet(1)) == []
