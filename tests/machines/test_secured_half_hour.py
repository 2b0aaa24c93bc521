"""Half an hour of SRTP both ways, over rollovers, re-INVITEs and deaths of the worker; ten thousand forged packets."""
# RFC: 3711

import random
from itertools import count

import pytest
from msgspec.structs import replace

from sbc.core.address import Address
from sbc.media import wire
from sbc.testing.srtp import CM_32, CM_80, GCM_128, GCM_256, rtp_packet, sender_report

from .secured_lab import CARRIER, CARRIER_RTCP, OUTSIDE, PBX, Lab, Talk, far, stream

PACKETS = 90_000  # of 20 ms: half an hour


@pytest.mark.slow
@pytest.mark.parametrize(("inside", "outside"), [(None, CM_80), (CM_80, GCM_256), (GCM_128, CM_32)])
def test_half_an_hour_with_refreshes_and_deaths(inside, outside):
    lab = Lab()
    pbx, carrier = inside and far(inside, 1), far(outside, 2)
    there, back = Talk(pbx, carrier), Talk(carrier, pbx)
    lab.put(stream(pbx, carrier))
    for n in range(PACKETS):
        lab.now += 0.02
        if n % 7_000 == 6_999:  # a refresh: nothing changes
            lab.put(stream(pbx, carrier))
        if n % 23_000 == 22_999:
            lab.restart()
        if n == 50_000:  # the far end goes to another port, and keeps its key
            moved = stream(pbx, carrier)
            lab.put(replace(moved, egress=replace(moved.egress, remote=wire.Remote(CARRIER.host, 5010, 5011), epoch=1)))
            lab.put(replace(moved, egress=replace(moved.egress, epoch=2)))
        out, home = rtp_packet(65_500 + n), rtp_packet(60_000 + n, ssrc=9)  # two rollovers each way
        assert there.arrived(lab.from_pbx(there.leaves(out))) == [out]
        assert back.arrived(lab.from_carrier(back.leaves(home))) == [home]
        if n % 250 == 0:
            left = lab.sends(CARRIER_RTCP, Address(OUTSIDE, 20001), carrier.rtcp(sender_report(9)))
            assert [one if pbx is None else pbx.opened_rtcp(one) for one in left] == [sender_report(9)]
    counted = lab.count()
    assert (counted.ingress.received, counted.egress.received) == (PACKETS, PACKETS)
    assert (counted.ingress.lost, counted.egress.lost, counted.egress.forged, counted.egress.replayed) == (0, 0, 0, 0)
    assert carrier.refused == 0


@pytest.mark.slow
def test_a_fast_stream_with_loss_and_reordering_over_many_rollovers():
    lab, carrier = Lab(), far(CM_80, 2)
    lab.put(stream(None, carrier))
    chance, held = random.Random(7), []
    sent = crossed = 0
    for n in range(65_000, 65_000 + 5 * 65_536, 3):  # one in three only, and some of them late
        lab.now += 0.001
        held.append(carrier.rtp(rtp_packet(n, payload=b"x" * 20)))
        if len(held) > 6:
            sent += 1
            crossed += len(lab.from_carrier(held.pop(chance.randrange(len(held)))))
        if n % 30_000 == 0:
            lab.put(stream(None, carrier))
    assert sent > 100_000
    assert crossed / sent > 0.99  # what is later than the replay list is long does not cross
    assert lab.count().egress.forged == 0


def forgeries(genuine, chance):
    """Packets that no far end sent; `genuine`: one that it has sent before."""
    other = far(CM_80, 99)
    numbers = count(1)

    def flipped():
        octets = bytearray(genuine())
        octets[chance.randrange(2, len(octets))] ^= 1 << chance.randrange(8)
        return bytes(octets)

    def renumbered():
        octets = bytearray(genuine())
        octets[2:4] = chance.randbytes(2)
        octets[-1] ^= 0x55
        return bytes(octets)

    makers = (
        lambda: b"\x80\x08" + chance.randbytes(chance.randrange(200)),
        lambda: chance.randbytes(chance.randrange(1500)),
        lambda: genuine()[: chance.randrange(1, 170)],
        flipped,
        renumbered,
        genuine,
        lambda: genuine() + b"\0",
        lambda: other.rtp(rtp_packet(next(numbers))),
        lambda: rtp_packet(next(numbers)),
        lambda: bytes((0x80, 200)) + chance.randbytes(60),
        lambda: b"\x16\xfe\xfd" + chance.randbytes(40),
        lambda: b"\x00\x01\x00\x00" + chance.randbytes(16),
    )
    while True:
        yield chance.choice(makers)()


@pytest.mark.parametrize("mux", [False, True])
@pytest.mark.parametrize("suite", [CM_80, CM_32, GCM_128])
def test_ten_thousand_forged_packets_change_nothing(suite, mux):
    """From the far end's own address and port, spoofed, from its neighbours and from strangers, on both ports."""
    lab, carrier = Lab(), far(suite, 2)
    one = stream(None, carrier)
    lab.put(replace(one, egress=replace(one.egress, mux=mux)))
    chance = random.Random(5)
    heard = [carrier.rtp(rtp_packet(0))]
    assert lab.from_carrier(heard[0]) == [rtp_packet(0)]
    forged = forgeries(lambda: chance.choice(heard), chance)
    places = ((CARRIER, 20000), (Address(CARRIER.host, 5099), 20000), (PBX, 20000), (CARRIER_RTCP, 20000 + (not mux)))
    for n in range(10_000):
        source, port = places[0] if n % 2 else chance.choice(places)
        assert lab.sends(source, Address(OUTSIDE, port), next(forged)) == []
        if n % 10 == 0:
            lab.now += 0.02
            heard.append(carrier.rtp(rtp_packet(len(heard))))
            assert lab.from_carrier(heard[-1]) == [rtp_packet(len(heard) - 1)]
            assert [carrier.opened(data) for data in lab.from_pbx(rtp_packet(n, ssrc=9))] == [rtp_packet(n, ssrc=9)]
    counted = lab.count().egress
    refused = counted.forged + counted.replayed + counted.foreign + counted.dropped
    assert (counted.received, refused) == (1_001, 10_000)
    assert counted.source == f"{CARRIER.host}:{CARRIER.port}"
    assert (counted.lost, counted.reordered, counted.duplicates) == (0, 0, 0)
    lab.hear_news()
    assert not [one for one in lab.said if not isinstance(one, wire.EngineReady | wire.Report)]


def test_forged_packets_do_not_break_a_silence():
    lab, carrier, other = Lab(), far(CM_80, 2), far(CM_80, 3)
    lab.generation += 1
    lab.deliver(lab.client.ask(wire.PutSession("a", 1, (stream(None, carrier),), silence_seconds=5)))
    for n in range(30):
        lab.from_carrier(other.rtp(rtp_packet(n)))
        lab.sends(CARRIER_RTCP, Address(OUTSIDE, 20001), other.rtcp(sender_report()))
        lab.wait(0.3)
    assert [one.ref for one in lab.said if isinstance(one, wire.Silent)] == ["a"]


def test_what_was_heard_before_a_death_is_a_replay_after_it():
    lab, carrier = Lab(), far(CM_80, 2)
    lab.put(stream(None, carrier))
    heard = [carrier.rtp(rtp_packet(n)) for n in range(65_400, 65_700)]
    reports = [carrier.rtcp(sender_report()) for _ in range(5)]
    for packet in heard:
        assert lab.from_carrier(packet)
    for report in reports:
        assert lab.sends(CARRIER_RTCP, Address(OUTSIDE, 20001), report)
    late = carrier.rtp(rtp_packet(65_700))
    lab.restart()
    for packet in heard:
        assert lab.from_carrier(packet) == []
    for report in reports:
        assert lab.sends(CARRIER_RTCP, Address(OUTSIDE, 20001), report) == []
    assert lab.from_carrier(late) == [rtp_packet(65_700)]
    assert lab.count().egress.forged + lab.count().egress.replayed == 305


def test_what_was_said_before_a_death_is_not_said_again_after_it():
    lab, carrier = Lab(), far(CM_80, 2)
    lab.put(stream(None, carrier))
    for n in range(65_400, 65_700):
        assert lab.from_pbx(rtp_packet(n))
    (report,) = lab.sends(Address(PBX.host, 4001), Address("192.0.2.1", 20001), sender_report())
    lab.restart()
    for n in range(65_690, 65_697):  # the source repeats itself, with other words
        assert lab.from_pbx(rtp_packet(n, payload=b"other" * 32)) == []
    assert len(lab.from_pbx(rtp_packet(65_700))) == 1
    (after,) = lab.sends(Address(PBX.host, 4001), Address("192.0.2.1", 20001), sender_report())
    index = [int.from_bytes(one[-14:-10]) & 0x7FFFFFFF for one in (report, after)]
    assert index[1] > index[0] + 1000


def test_where_the_memory_is_lost_nothing_is_sent_until_there_is_another_key():
    lab, carrier = Lab(kept=False), far(CM_80, 2)
    lab.put(stream(None, carrier))
    assert lab.from_pbx(rtp_packet(1))
    lab.restart()
    assert lab.from_pbx(rtp_packet(2)) == []
    lab.put(stream(None, carrier))
    assert lab.from_pbx(rtp_packet(3)) == []
    carrier.rekey(CM_80, carrier.sends, far(CM_80, 7).hears)
    lab.put(stream(None, carrier))
    assert [carrier.opened(one) for one in lab.from_pbx(rtp_packet(4))] == [rtp_packet(4)]


def test_signalling_may_come_and_go():
    lab, carrier = Lab(), far(CM_80, 2)
    lab.put(stream(None, carrier))
    for n in range(65_500, 65_600):
        assert lab.from_carrier(carrier.rtp(rtp_packet(n)))
        assert [carrier.opened(one) for one in lab.from_pbx(rtp_packet(n, ssrc=9))]
    lab.service.disconnected(lab.now)
    assert lab.from_carrier(carrier.rtp(rtp_packet(65_600)))
    lab.client.worker_lost()
    lab.service.connected()
    lab.deliver(lab.client.worker_started(continues=True))
    assert lab.from_carrier(carrier.rtp(rtp_packet(65_601))) == [rtp_packet(65_601)]
    left = lab.from_pbx(rtp_packet(65_601, ssrc=9))
    assert [carrier.opened(one) for one in left] == [rtp_packet(65_601, ssrc=9)]


def test_records_are_given_back():
    lab, carrier = Lab(), far(CM_80, 2)
    lab.put(stream(None, carrier))
    lab.from_carrier(carrier.rtp(rtp_packet(1)))
    lab.from_pbx(rtp_packet(1))
    (keyring,) = lab.service._around.secrets
    assert keyring.records.used == 4  # one source each way, the key that we send under, and what was refused
    lab.restart()
    (keyring,) = lab.service._around.secrets
    assert keyring.records.used == 4
    lab.delete()
    assert keyring.records.used == 0


def test_records_of_calls_that_ended_while_no_worker_ran_are_cleared_away():
    lab, carrier = Lab(), far(CM_80, 2)
    lab.put(stream(None, carrier))
    lab.from_pbx(rtp_packet(1))
    lab.client.worker_lost()
    lab.client.ask(wire.DeleteSession("a"))
    lab.start()
    lab.put(stream(None, carrier), ref="b")
    (keyring,) = lab.service._around.secrets
    assert keyring.records.used == 2
