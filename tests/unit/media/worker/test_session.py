"""A session with its sockets: RTCP beside RTP or on its port, recoding, what belongs to an end, and who is kept out."""
# RFC: 5761

import struct

import pytest
from msgspec.structs import replace

from sbc.core.limits import RTCP_PACKETS_PER_SECOND
from sbc.media import wire
from sbc.media.worker.g711 import a_to_mu, mu_to_a

from .rig import (
    CARRIER,
    CARRIER_RTCP,
    EVENTS,
    INSIDE,
    OUTSIDE,
    PBX,
    PBX_RTCP,
    PCMA,
    PCMU,
    STREAM,
    Rig,
    Source,
    egress,
    far,
    ingress,
    rtp,
)

STRANGER = ("203.0.113.66", 4000)
NETWORKS = ("203.0.113.0/25",)
SEEN = ("203.0.113.9", 61000)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def sender_report(ntp_middle: int = 0x12345678, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHIHIHIII", 0x80, 200, 6, ssrc, 1, ntp_middle, 2, 0, 0, 0)


def receiver_report(last_sr: int, delay: float, *, lost: int = 0, jitter: int = 0) -> bytes:
    return struct.pack("!BBHIIIIIII", 0x81, 201, 7, 9, 7, lost << 24, 0, jitter, last_sr, round(delay * 65_536))


def left(rig: Rig) -> list[tuple[str, int, Source]]:
    """From which of our ports, to whom."""
    return [(local, port, to) for local, port, _, to in rig.left]


# --- RTCP -------------------------------------------------------------------------------------------------------------


def test_rtcp_takes_the_odd_ports(rig: Rig) -> None:
    rig.put(STREAM)
    rig.arrives(INSIDE, 20001, sender_report(), PBX_RTCP)
    rig.arrives(OUTSIDE, 20001, sender_report(), CARRIER_RTCP)
    assert left(rig) == [(OUTSIDE, 20001, CARRIER_RTCP), (INSIDE, 20001, PBX_RTCP)]
    count = rig.count()
    assert (count.ingress.rtcp_received, count.ingress.rtcp_sent, count.ingress.received) == (1, 1, 0)


def test_an_end_that_multiplexes_meets_one_that_does_not(rig: Rig) -> None:
    rig.put(ingress(mux=True, remote=far(PBX, 0)))
    rig.arrives(INSIDE, 20000, rtp(1), PBX)
    rig.arrives(INSIDE, 20000, sender_report(), PBX)
    rig.arrives(OUTSIDE, 20001, sender_report(), CARRIER_RTCP)
    assert left(rig) == [(OUTSIDE, 20000, CARRIER), (OUTSIDE, 20001, CARRIER_RTCP), (INSIDE, 20000, PBX)]
    count = rig.count()
    assert (count.ingress.received, count.ingress.rtcp_received, count.ingress.rtcp_sent) == (1, 1, 1)
    assert (count.ingress.lost, count.ingress.jitter_ms) == (0, 0)


def test_two_ends_that_multiplex_need_no_odd_port(rig: Rig) -> None:
    rig.put(egress(ingress(mux=True), mux=True))
    rig.arrives(INSIDE, 20000, sender_report(), PBX)
    rig.arrives(OUTSIDE, 20000, sender_report(), CARRIER)
    assert left(rig) == [(OUTSIDE, 20000, CARRIER), (INSIDE, 20000, PBX)]
    assert not {rig.sockets[local, 20001].fileno() for local in (INSIDE, OUTSIDE)} & set(rig.inlets)


def test_on_one_port_rtcp_of_a_stranger_is_foreign_and_locks_nothing(rig: Rig) -> None:
    rig.put(ingress(mux=True, latching="nat", media_from=NETWORKS))
    for _ in range(8):
        rig.arrives(INSIDE, 20000, sender_report(), SEEN)
        rig.arrives(INSIDE, 20000, sender_report(), STRANGER)
    assert (rig.left, rig.count().ingress.foreign, rig.count().ingress.source) == ([], 16, "")
    rig.talks(1, 4, SEEN)
    rig.arrives(INSIDE, 20000, sender_report(), SEEN)
    assert rig.at(CARRIER_RTCP) == [sender_report()]
    rig.arrives(OUTSIDE, 20001, sender_report(), CARRIER_RTCP)
    assert rig.at(SEEN) == [sender_report()]


def test_behind_nat_rtcp_goes_beside_rtp_until_it_has_been_heard(rig: Rig) -> None:
    rig.put(ingress(latching="nat", media_from=NETWORKS))
    rig.arrives(OUTSIDE, 20001, sender_report(), CARRIER_RTCP)
    rig.talks(1, 4, SEEN)
    rig.arrives(OUTSIDE, 20001, sender_report(), CARRIER_RTCP)
    rig.arrives(INSIDE, 20001, sender_report(), (SEEN[0], 62000))
    rig.arrives(OUTSIDE, 20001, sender_report(), CARRIER_RTCP)
    towards = [to for _, _, _, to in rig.left if to[0] != CARRIER[0]]
    assert towards == [PBX_RTCP, (SEEN[0], 61001), (SEEN[0], 62000)]


def test_names_are_hidden_in_rtcp_on_either_port(rig: Rig) -> None:
    names = bytes([0x81, 202, 0, 3]) + bytes(4) + bytes([1, 6]) + b"u@host"
    rig.put(ingress(mux=True))
    rig.arrives(INSIDE, 20000, names, PBX)
    rig.arrives(OUTSIDE, 20001, names, CARRIER_RTCP)
    assert len(rig.left) == 2
    assert not any(b"host" in data for _, _, data, _ in rig.left)


def test_names_are_hidden_in_rtcp_that_comes_on_the_port_of_rtp_unasked(rig: Rig) -> None:
    names = bytes([0x81, 202, 0, 5]) + bytes(4) + bytes([1, 14]) + b"user@pbx.local"
    rig.put(STREAM)
    rig.arrives(INSIDE, 20000, sender_report() + names, PBX)
    [(_, _, data, _)] = rig.left
    assert data.startswith(sender_report())
    assert b"pbx" not in data


# BOUND: RTCP_PACKETS_PER_SECOND
@pytest.mark.parametrize("mux", [False, True])
def test_rtcp_has_a_packet_rate_of_its_own(rig: Rig, mux: bool) -> None:
    """Each report may cost more than a packet of sound; nobody needs so many."""
    rig.put(ingress(mux=mux, stream=replace(STREAM, packets_per_second=500)))
    rig.talks(1, 3)
    port, source = (20000, PBX) if mux else (20001, PBX_RTCP)
    for _ in range(1000):
        rig.now += 0.001
        rig.arrives(INSIDE, port, sender_report(), source)
    rig.talks(4, 6)
    count = rig.count().ingress
    assert (count.rtcp_received, count.excess, count.received) == (
        RTCP_PACKETS_PER_SECOND,
        1000 - count.rtcp_received,
        6,
    )
    rig.now += 1
    rig.arrives(INSIDE, port, sender_report(), source)
    assert rig.count().ingress.rtcp_received == RTCP_PACKETS_PER_SECOND + 1


@pytest.mark.parametrize("mux", [False, True])
def test_the_round_trip_is_between_us_and_the_end_that_reports(rig: Rig, mux: bool) -> None:
    rig.put(egress(mux=mux))
    carrier, port = (CARRIER, 20000) if mux else (CARRIER_RTCP, 20001)
    rig.arrives(INSIDE, 20001, sender_report(0xABCD1234), PBX_RTCP)
    rig.now += 1.080
    rig.arrives(OUTSIDE, port, receiver_report(0xABCD1234, 1.0, lost=64, jitter=80), carrier)
    count = rig.count()
    assert count.egress.round_trip_ms == pytest.approx(80, abs=0.1)
    assert (count.egress.far_lost, count.egress.far_jitter_ms) == (0.25, 10.0)
    assert (count.ingress.round_trip_ms, count.ingress.far_lost) == (0, 0)


def test_the_second_port_of_an_opaque_stream_is_as_opaque(rig: Rig) -> None:
    rig.put(replace(STREAM, rtp=False))
    rig.arrives(INSIDE, 20000, b"\0\1t38", PBX)
    rig.arrives(INSIDE, 20001, b"x", PBX_RTCP)
    assert [data for _, _, data, _ in rig.left] == [b"\0\1t38", b"x"]
    assert (rig.count().ingress.received, rig.count().ingress.rtcp_received) == (1, 1)


# --- recoding ---------------------------------------------------------------------------------------------------------

RECODED = replace(
    STREAM,
    transcodings=(
        wire.Transcoding("ingress", PCMA, "PCMA", PCMU, "PCMU"),
        wire.Transcoding("egress", PCMU, "PCMU", PCMA, "PCMA"),
    ),
)
SOUND = bytes(range(160))


def test_both_ways_are_recoded_each_by_itself(rig: Rig) -> None:
    rig.put(RECODED)
    rig.arrives(INSIDE, 20000, rtp(1, PCMA, payload=SOUND, marked=True), PBX)
    rig.arrives(OUTSIDE, 20000, rtp(1, PCMU, payload=SOUND), CARRIER)
    rig.arrives(INSIDE, 20000, rtp(2, PCMU, payload=SOUND), PBX)
    assert rig.at(CARRIER) == [
        rtp(1, PCMU, payload=SOUND.translate(a_to_mu()), marked=True),
        rtp(2, PCMU, payload=SOUND),
    ]
    assert rig.at(PBX) == [rtp(1, PCMA, payload=SOUND.translate(mu_to_a()))]


def test_only_the_sound_is_recoded_whatever_the_header_has(rig: Rig) -> None:
    rig.put(RECODED)
    csrc, extension, padding = b"csrc" * 2, b"\xbe\xde\0\1exts", bytes((0, 0, 3))
    header = bytes((0x80 | 0x20 | 0x10 | 2, PCMA)) + bytes(10) + csrc + extension
    rig.arrives(INSIDE, 20000, header + SOUND + padding, PBX)
    expected = header[:1] + bytes((PCMU,)) + header[2:] + SOUND.translate(a_to_mu()) + padding
    assert rig.at(CARRIER) == [expected]


@pytest.mark.parametrize(
    "data",
    [bytes((0x90, PCMA)) + bytes(10), bytes((0x8F, PCMA)) + bytes(20), bytes((0xA0, PCMA)) + bytes(10) + b"\xff"],
)
def test_a_packet_that_is_shorter_than_its_header_says_is_dropped(rig: Rig, data: bytes) -> None:
    rig.put(RECODED)
    rig.arrives(INSIDE, 20000, data, PBX)
    assert (rig.left, rig.count().ingress.dropped) == ([], 1)


def test_digits_cross_a_recoded_way(rig: Rig) -> None:
    rig.put(replace(RECODED, events=(EVENTS, 96), ingress_to_egress=((EVENTS, 96),), plays_digits=True))
    event = bytes((5, 138, 0, 160))
    rig.arrives(INSIDE, 20000, rtp(1, PCMA, payload=SOUND), PBX)
    rig.arrives(INSIDE, 20000, rtp(2, EVENTS, payload=event), PBX)
    assert rig.at(CARRIER) == [rtp(1, PCMU, payload=SOUND.translate(a_to_mu())), rtp(2, 96, payload=event)]
    assert rig.count().egress.digits_sent == 1


# --- digits -----------------------------------------------------------------------------------------------------------


def test_where_digits_are_only_counted_other_packets_take_the_short_way(rig: Rig) -> None:
    rig.put(replace(STREAM, events=(EVENTS, EVENTS)))
    rig.talks(1, 3)
    inlet = rig.inlets[rig.sockets[INSIDE, 20000].fileno()]
    asked: list[int] = []
    edit = inlet.edit
    assert edit is not None
    inlet.edit = lambda packet, size: (asked.append(packet[1]), edit(packet, size))[1]
    rig.talks(4, 50)
    rig.arrives(INSIDE, 20000, rtp(51, EVENTS, payload=bytes((5, 10, 0, 160))), PBX)
    rig.talks(52, 99)
    assert asked == [EVENTS, PCMA], "the event, and the packet behind it"
    assert rig.count().ingress.digits_received == 1


def test_a_digit_that_goes_on_over_a_change_is_counted_once(rig: Rig) -> None:
    stream = replace(STREAM, events=(EVENTS, EVENTS))
    for n in range(1, 9):
        rig.put(stream if n < 5 else egress(stream, epoch=1))
        event = struct.pack("!BBH", 5, 138 if n > 6 else 10, 160 * n)
        rig.arrives(INSIDE, 20000, struct.pack("!BBHII", 0x80, EVENTS, n, 800, 7) + event, PBX)
    count = rig.count()
    assert (count.ingress.digits_received, count.egress.digits_sent) == (1, 1)


def test_numbers_stay_bent_after_a_digit_when_no_more_may_be_played(rig: Rig) -> None:
    stream = replace(STREAM, events=(EVENTS, EVENTS), plays_digits=True)
    rig.put(stream)
    rig.talks(1, 3)
    rig.sessions["a"].play(wire.PlayDigit("a", 0, "egress", "5", 70), 5)
    for _ in range(20):
        rig.now += 0.02
        rig.around.agenda.tick(rig.now)
    rig.put(replace(stream, plays_digits=False))
    rig.talks(4, 6)
    assert rig.numbers() == list(range(1, len(rig.numbers()) + 1))
    rig.sessions["a"].play(wire.PlayDigit("a", 0, "egress", "5", 70), 5)
    assert rig.count().egress.digits_sent == 1


# --- who is kept out --------------------------------------------------------------------------------------------------

MODES: list[tuple[wire.Latching, tuple[str, ...]]] = [("strict", ()), ("address", ()), ("nat", ("203.0.113.0/26",))]


@pytest.mark.parametrize(("latching", "networks"), MODES)
def test_an_attacker_gets_nothing_and_is_heard_by_nobody_before_during_and_after(
    rig: Rig, latching: wire.Latching, networks: tuple[str, ...]
) -> None:
    def attacks(n: int) -> None:
        for local in (INSIDE, OUTSIDE):
            for k in range(6):
                rig.arrives(local, 20000, rtp(n + k, payload=b"attack"), STRANGER)
                rig.arrives(local, 20000, rtp(n + k, payload=b"attack"), (OUTSIDE, 20002))
                rig.arrives(local, 20001, sender_report()[:8] + b"attack", STRANGER)
                rig.arrives(local, 20000, sender_report() + b"attack", STRANGER)

    changes = {"latching": latching, "media_from": networks}
    early = egress(ingress(STREAM, **changes), remote=None, **changes)
    put = egress(ingress(STREAM, **changes), **changes)
    rig.put(early, early=True)
    attacks(1)
    rig.put(put)
    attacks(1)
    rig.talks(1, 5)
    attacks(6)
    rig.put(egress(ingress(put, epoch=1), epoch=1))
    attacks(6)
    rig.talks(6, 10)
    attacks(11)
    rig.put(put, early=False)
    rig.sessions["a"].close()
    attacks(11)
    assert {to for _, _, _, to in rig.left} == {CARRIER}
    assert not any(b"attack" in data for _, _, data, _ in rig.left)
    assert rig.numbers() == list(range(1, 11))


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_what_would_go_to_ourselves_goes_nowhere(latching: wire.Latching) -> None:
    own = "203.0.113.1"
    rig = Rig(own=own)
    rig.put(egress(remote=far((own, 5000)), latching=latching, media_from=NETWORKS))
    rig.talks(1, 3)
    rig.arrives(INSIDE, 20001, sender_report(), PBX_RTCP)
    for n in range(8):
        rig.arrives(OUTSIDE, 20000, rtp(n), (own, 5000))
        rig.arrives(OUTSIDE, 20000, rtp(n), (own, 5002))
    assert rig.left == []
    count = rig.count()
    assert (count.ingress.dropped, count.egress.foreign) == (4, 16)


def test_more_packets_than_the_stream_may_have_are_dropped(rig: Rig) -> None:
    rig.put(replace(STREAM, packets_per_second=50))
    for n in range(200):
        rig.now += 0.001
        rig.arrives(INSIDE, 20000, rtp(n), PBX)
    assert (len(rig.left), rig.count().ingress.excess) == (50, 150)


# --- what belongs to an end -------------------------------------------------------------------------------------------


def test_loss_order_and_jitter_are_those_of_the_end_that_sent(rig: Rig) -> None:
    rig.put(replace(STREAM, ingress_clocks=((97, 16_000),)))
    for n in range(200):
        rig.now += 0.02 + (0.005 if n % 2 else -0.005)
        data = struct.pack("!BBHII", 0x80, 97, n, n * 320, 7) + bytes(160)
        if n != 100:
            rig.arrives(INSIDE, 20000, data, PBX)
    count = rig.count()
    assert count.ingress.jitter_ms == pytest.approx(5, rel=0.1)
    assert (count.ingress.lost, count.egress.lost, count.egress.jitter_ms) == (1, 0, 0)


def test_a_source_that_was_learned_stays_with_the_pair_in_another_call(rig: Rig) -> None:
    rig.put(ingress(latching="nat", media_from=NETWORKS))
    rig.talks(1, 4, SEEN)
    taken = wire.Stream(
        replace(STREAM.ingress, latching="nat", media_from=NETWORKS),
        wire.End(OUTSIDE, 20002, far(("198.51.100.50", 7000))),
    )
    rig.put(taken, ref="b", moved=True)
    rig.arrives(OUTSIDE, 20002, rtp(1), ("198.51.100.50", 7000))
    assert rig.numbers(SEEN) == [1], "who listens only would never be found again"
    rig.talks(5, 5, SEEN)
    assert rig.numbers(("198.51.100.50", 7000)) == [5]


def test_a_source_that_was_learned_does_not_stay_with_a_pair_that_rested(rig: Rig) -> None:
    rig.put(STREAM)
    rig.talks(1, 4, (PBX[0], 4010))
    rig.sessions["a"].close()
    rig.put(STREAM, ref="b")
    assert rig.count("b").ingress.source == ""


def test_slots_are_given_back_and_their_counts_stay(rig: Rig) -> None:
    rig.put(STREAM)
    rig.talks(1, 5)
    rig.put()
    assert (rig.slots.free, rig.slots.owners()) == (16, set())
    rig.put(STREAM)
    rig.talks(6, 10)
    assert (rig.count().ingress.received, rig.count().egress.sent) == (10, 10)
    rig.sessions["a"].close()
    assert rig.slots.free == 16
    assert (rig.count().ingress.received, rig.count().ingress.source) == (10, f"{PBX[0]}:{PBX[1]}")


def test_where_no_slot_is_left_calls_go_on(rig: Rig) -> None:
    for owner in range(1, 16):
        rig.slots.take(owner << 8)
    rig.put(STREAM)
    rig.talks(1, 5)
    rig.arrives(OUTSIDE, 20000, rtp(1), CARRIER)
    count = rig.count()
    assert (count.ingress.received, count.egress.received) == (5, 1)


def test_when_an_end_was_heard(rig: Rig) -> None:
    session = rig.put(STREAM)
    assert session.heard_at() == 0
    rig.talks(1, 3)
    assert session.heard_at() == pytest.approx(rig.now)
    rig.now += 10
    rig.arrives(INSIDE, 20000, rtp(4), STRANGER)
    assert session.heard_at() == pytest.approx(rig.now - 10)
    rig.arrives(OUTSIDE, 20001, sender_report(), CARRIER_RTCP)
    assert session.heard_at() == pytest.approx(rig.now)


def test_an_event_and_an_opaque_packet_are_signs_of_life_too(rig: Rig) -> None:
    session = rig.put(replace(STREAM, events=(EVENTS, EVENTS)))
    rig.talks(1, 2)
    rig.now += 5
    rig.arrives(INSIDE, 20000, rtp(3, EVENTS, payload=bytes((5, 10, 0, 160))), PBX)
    assert session.heard_at() == pytest.approx(rig.now)
    session = rig.put(replace(STREAM, rtp=False))
    rig.now += 5
    rig.arrives(INSIDE, 20000, b"t38", PBX)
    assert session.heard_at() == pytest.approx(rig.now)


def test_where_a_far_end_was_is_known_when_its_pair_is_gone(rig: Rig) -> None:
    session = rig.put(ingress(latching="nat", media_from=NETWORKS))
    assert session.former(INSIDE, 20000) == (PBX, PBX_RTCP)
    rig.talks(1, 4, SEEN)
    rig.arrives(INSIDE, 20001, sender_report(), (SEEN[0], 62000))
    session.close()
    assert session.former(INSIDE, 20000) == (SEEN, (SEEN[0], 62000))
    assert session.former(OUTSIDE, 20000) == (CARRIER, CARRIER_RTCP)
    assert session.former(OUTSIDE, 20002) == ()
