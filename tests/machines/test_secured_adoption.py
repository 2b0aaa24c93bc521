"""Signalling dies, and its next life adopts sessions whose media is encrypted: in a worker that has gone on, in one
that has died as well, and where the memory of what was sent is gone. No index is used twice (RFC 3711 §9.1).
"""
# RFC: 3711, 5764

import pytest
from msgspec.structs import replace

from sbc.media import wire
from sbc.media.client import MediaClient
from sbc.media.worker.service import Service
from sbc.media.worker.srtp_memory import BEHIND, OCTETS
from sbc.testing.dtls import DtlsFar, dtls_identity
from sbc.testing.srtp import GCM_256, rtp_packet, sender_report

from .secured_lab import CARRIER, INSIDE, OUTSIDE, PBX, PORTS, Lab, far, stream
from .test_dtls_streams import put_mux, shake

OURS = dtls_identity("ours")


class Lives(Lab):
    """`put` is what the next life of signalling knows of the session: what was put, and no keys of handshakes."""

    def put(self, *streams: wire.Stream, ref: str = "a", early: bool = False) -> None:
        self.known = streams
        super().put(*streams, ref=ref, early=early)

    def signalling_dies(self, *, worker: bool = False, memory: bool = False) -> None:
        """And the worker with it, and the memory that outlives one. The next life adopts what there was."""
        configure = self.client._configure
        self.client = MediaClient(configure, is_settled=False)
        self.said.clear()
        if memory:
            self.memory = bytearray(BEHIND + OCTETS)
        if worker or memory:
            self.lanes.clear()
            self.service = Service(self, lambda: self.now, self.memory)
        else:
            self.service.connected()
        self.deliver(self.client.worker_started(continues=not memory))
        for local in (INSIDE, OUTSIDE):
            self.deliver(self.client.ports_opened(local, PORTS))
        self.deliver(self.client.ask(wire.PutSession("a", self.generation, self.known, adopted=True)))
        self.deliver(self.client.settled())
        self.hear_news()

    def again(self, *streams: wire.Stream) -> None:
        """A change of the session, by the next life."""
        self.said.clear()
        self.put(*streams)
        self.hear_news()

    @property
    def spent(self) -> list[wire.KeySpent]:
        return [one for one in self.said if isinstance(one, wire.KeySpent)]


def talked(until: int = 300, *, first: int = 1, suite: str | None = None):
    """A call whose carrier leg is encrypted and has talked; and all that left for it."""
    lab, carrier = Lives(), far() if suite is None else far(suite)
    lab.put(stream(None, carrier))
    left = []
    for n in range(first, until):
        assert lab.from_carrier(carrier.rtp(rtp_packet(n))) == [rtp_packet(n)]
        left += lab.from_pbx(rtp_packet(n, ssrc=9))
    assert [carrier.opened(one) is not None for one in left] == [True] * (until - first)
    return lab, carrier, left


@pytest.mark.parametrize("worker", [False, True])
def test_keys_go_on_under_the_next_life_of_signalling(worker):
    lab, carrier, _ = talked(65_900, first=65_400)
    replayed = carrier.rtp(rtp_packet(65_900))
    assert lab.from_carrier(replayed)
    lab.signalling_dies(worker=worker)
    assert lab.spent == []
    assert lab.from_carrier(replayed) == []
    assert lab.from_carrier(carrier.rtp(rtp_packet(65_901))) == [rtp_packet(65_901)]
    assert [carrier.opened(one) for one in lab.from_pbx(rtp_packet(65_901, ssrc=9))] == [rtp_packet(65_901, ssrc=9)]
    assert lab.count().egress.received == 502


def test_nothing_is_said_or_done_in_a_worker_that_has_gone_on():
    lab, _, _ = talked()
    lanes = dict(lab.lanes)
    lab.signalling_dies()
    assert lab.lanes == lanes
    assert [type(one) for one in lab.said if not isinstance(one, wire.Report)] == [wire.EngineReady]


@pytest.mark.parametrize("suite", [None, GCM_256])
def test_where_what_was_sent_is_not_known_nothing_is_sent_under_the_old_key(suite):
    lab, carrier, _ = talked(suite=suite)
    lab.signalling_dies(memory=True)
    assert lab.spent == [wire.KeySpent("a", 1, 0, "egress")]
    for n in (1, 150, 299, 300, 301, 20_000):
        assert lab.from_pbx(rtp_packet(n, ssrc=9)) == []
        assert lab.from_pbx(rtp_packet(n, ssrc=10)) == []
    assert (
        lab.sends(PBX, next(at for at in lab.sockets if at.port == 20001 and at.host == INSIDE), sender_report(9)) == []
    )
    assert lab.from_carrier(carrier.rtp(rtp_packet(300))) == [rtp_packet(300)]


def test_with_another_key_of_ours_it_goes_on_both_ways_whether_or_not_the_far_end_changes_its_own():
    lab, carrier, left = talked(66_000, first=65_500)
    lab.signalling_dies(memory=True)
    fresh = far(seed=5)
    carrier.hears, kept = fresh.hears, carrier._sender
    carrier.rekey(carrier.suite, carrier.sends, fresh.hears)
    carrier._sender = kept  # "the rollover counter always maintains its sequence of values" (RFC 3711 §3.3.1)
    lab.again(stream(None, carrier))
    assert lab.spent == []
    now = [packet for n in (66_000, 66_001) for packet in lab.from_pbx(rtp_packet(n, ssrc=9))]
    assert [carrier.opened(one) for one in now] == [rtp_packet(66_000, ssrc=9), rtp_packet(66_001, ssrc=9)]
    assert not set(now) & set(left)
    for n in (66_000, 66_001, 66_002):
        assert lab.from_carrier(carrier.rtp(rtp_packet(n))) == [rtp_packet(n)]


def test_it_is_said_again_for_as_long_as_the_session_is_put_with_that_key():
    lab, carrier, _ = talked()
    lab.signalling_dies(memory=True)
    lab.again(*lab.known)
    assert lab.spent == [wire.KeySpent("a", 2, 0, "egress")]
    lab.restart()
    lab.hear_news()
    assert lab.from_pbx(rtp_packet(301, ssrc=9)) == []
    assert lab.from_carrier(carrier.rtp(rtp_packet(301))) == [rtp_packet(301)]


def test_a_session_whose_key_was_put_and_never_used_goes_on():
    lab, carrier = Lives(), far()
    lab.put(stream(None, carrier))
    lab.signalling_dies(worker=True)
    assert lab.spent == []
    assert [carrier.opened(one) for one in lab.from_pbx(rtp_packet(1, ssrc=9))] == [rtp_packet(1, ssrc=9)]


# --- handshakes -------------------------------------------------------------------------------------------------------


def shaken():
    lab, one = Lives(dtls=OURS), DtlsFar(OURS, active=True)
    put_mux(lab, one.dtls())
    shake(lab, one)
    assert lab.from_carrier(one.far.rtp(rtp_packet(1))) == [rtp_packet(1)]
    return lab, one


def test_what_a_handshake_came_to_is_told_to_the_next_life_which_no_later_death_of_a_worker_hurts():
    lab, one = shaken()
    lab.signalling_dies()
    assert [(told.side, told.keys, told.error) for told in lab.said if isinstance(told, wire.Keyed)] == [
        ("egress", None, "")
    ]
    assert lab.spent == []
    lab.restart()
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == [rtp_packet(2)]
    assert [one.far.opened(data) for data in lab.from_pbx(rtp_packet(2, ssrc=9))] == [rtp_packet(2, ssrc=9)]


@pytest.mark.parametrize("memory", [False, True])
def test_where_nobody_knows_what_it_came_to_another_one_is_asked_for(memory):
    lab, one = shaken()
    lab.signalling_dies(worker=True, memory=memory)
    assert lab.spent == [wire.KeySpent("a", 1, 0, "egress")]
    assert lab.from_carrier(one.far.rtp(rtp_packet(2))) == []
    assert [data for data in lab.from_pbx(rtp_packet(2, ssrc=9)) if one.far.opened(data)] == []
    [known] = lab.known
    dtls = known.egress.secured
    assert isinstance(dtls, wire.Dtls)
    other = replace(known.egress, port=20002, secured=replace(dtls, association=dtls.association + 1))
    one.begin_anew()
    lab.sent.clear()
    lab.again(replace(known, egress=other))
    shake(lab, one, CARRIER, 20002)
    assert lab.spent == []
    at = next(at for at in lab.sockets if at.port == 20002 and at.host == OUTSIDE)
    assert lab.sends(CARRIER, at, one.far.rtp(rtp_packet(3))) == [rtp_packet(3)]
