"""SRTP through the whole worker: which packets cross, and as what."""
# RFC: 3711, 4568, 7714

import pytest
from msgspec.structs import replace

from sbc.core.address import Address
from sbc.core.limits import SRTP_KEYS_TRIED
from sbc.media import wire
from sbc.testing.srtp import CM_32, CM_80, GCM_128, GCM_256, master_key, rtp_packet, sender_report

from .secured_lab import (
    CARRIER,
    CARRIER_RTCP,
    INSIDE,
    OUTSIDE,
    PBX,
    PBX_RTCP,
    Lab,
    Talk,
    far,
    stream,
)

SUITES = (CM_80, CM_32, GCM_128, GCM_256)
KINDS = (None, *SUITES)


def pair(pbx, carrier):
    """Far ends of these suites; None: plain."""
    return pbx and far(pbx, 1), carrier and far(carrier, 2)


@pytest.mark.parametrize("inside", KINDS)
@pytest.mark.parametrize("outside", KINDS)
def test_each_side_has_its_own_suite_and_keys(inside, outside):
    lab, (pbx, carrier) = Lab(), pair(inside, outside)
    lab.put(stream(pbx, carrier))
    there, back = Talk(pbx, carrier), Talk(carrier, pbx)
    for n in range(100):
        lab.now += 0.02
        out, home = rtp_packet(n, payload=bytes([n]) * 160), rtp_packet(65_500 + n, ssrc=9)
        left = lab.from_pbx(there.leaves(out))
        assert (left == [out]) == (carrier is None)
        assert there.arrived(left) == [out]
        assert back.arrived(lab.from_carrier(back.leaves(home))) == [home]
    count = lab.count()
    assert (count.ingress.suite, count.egress.suite) == (inside or "", outside or "")
    assert (count.ingress.received, count.egress.received, count.ingress.lost) == (100, 100, 0)
    assert (count.ingress.forged, count.egress.forged, count.ingress.dropped) == (0, 0, 0)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("mux", [False, True])
def test_reports_are_opened_and_protected_too(suite, mux):
    lab, (pbx, carrier) = Lab(), pair(suite, CM_80)
    one = stream(pbx, carrier)
    lab.put(replace(one, ingress=replace(one.ingress, mux=mux), egress=replace(one.egress, mux=mux)))
    at = 20000 + (not mux)
    for _ in range(3):
        left = lab.sends(PBX if mux else PBX_RTCP, Address(INSIDE, at), pbx.rtcp(sender_report()))
        assert [carrier.opened_rtcp(packet) for packet in left] == [sender_report()]
        left = lab.sends(CARRIER if mux else CARRIER_RTCP, Address(OUTSIDE, at), carrier.rtcp(sender_report(9)))
        assert [pbx.opened_rtcp(packet) for packet in left] == [sender_report(9)]
    assert lab.count().ingress.rtcp_received == 3


def test_mki_is_read_and_written():
    lab, pbx, carrier = Lab(), far(CM_80, 1, b"\x00\x01"), far(GCM_128, 2, b"\x07")
    lab.put(stream(pbx, carrier))
    there, back = Talk(pbx, carrier), Talk(carrier, pbx)
    for n in range(5):
        assert there.arrived(lab.from_pbx(there.leaves(rtp_packet(n)))) == [rtp_packet(n)]
        assert back.arrived(lab.from_carrier(back.leaves(rtp_packet(n)))) == [rtp_packet(n)]


def test_what_is_plain_does_not_pass_where_srtp_is_agreed():
    lab, pbx = Lab(), far()
    lab.put(stream(pbx, None))
    for n in range(50):
        assert lab.from_pbx(rtp_packet(n)) == []
    assert lab.sends(PBX_RTCP, Address(INSIDE, 20001), sender_report()) == []
    count = lab.count().ingress
    assert (count.forged, count.received, count.rtcp_received, count.source) == (51, 0, 0, "")


def test_an_end_without_a_key_to_hear_lets_nothing_in():
    lab, pbx = Lab(), far()
    lab.put(stream(replace(pbx.crypto, receive=()), None))
    assert lab.from_pbx(pbx.rtp(rtp_packet(0))) == []
    assert [pbx.opened(one) for one in lab.from_carrier(rtp_packet(5))] == [rtp_packet(5)]


def test_a_replayed_packet_is_counted_and_does_not_cross():
    lab, pbx = Lab(), far()
    lab.put(stream(pbx, None))
    packets = [pbx.rtp(rtp_packet(n)) for n in range(300)]
    for packet in packets:
        assert lab.from_pbx(packet)
    for packet in (packets[-1], packets[-100], packets[0]):
        assert lab.from_pbx(packet) == []
    assert (lab.count().ingress.replayed, lab.count().ingress.forged, lab.count().ingress.received) == (3, 0, 300)


def test_a_forged_packet_teaches_no_source():
    lab, pbx = Lab(), far()
    one = stream(pbx, None)
    lab.put(replace(one, ingress=replace(one.ingress, latching="nat", media_from=("192.0.2.0/24",))))
    stranger, other = Address("192.0.2.66", 999), far(seed=8)
    for n in range(20):
        assert lab.sends(stranger, Address(INSIDE, 20000), other.rtp(rtp_packet(n))) == []
        assert lab.sends(stranger, Address(INSIDE, 20001), other.rtcp(sender_report())) == []
    assert lab.count().ingress.source == ""
    natted = Address("192.0.2.77", 4444)
    for n in range(4):
        lab.sends(natted, Address(INSIDE, 20000), pbx.rtp(rtp_packet(n)))
    assert lab.count().ingress.source == "192.0.2.77:4444"
    lab.sent.clear()
    lab.from_carrier(rtp_packet(1))
    assert [to for _, to, _ in lab.sent] == [natted]


def test_a_foreign_source_is_not_worth_a_look_at_its_tag():
    lab, pbx = Lab(), far()
    lab.put(stream(pbx, None))
    packet = pbx.rtp(rtp_packet(0))
    assert lab.sends(Address("203.0.113.9", 4000), Address(INSIDE, 20000), packet) == []
    count = lab.count().ingress
    assert (count.foreign, count.forged, count.foreign_source) == (1, 0, "203.0.113.9:4000")
    assert lab.from_pbx(packet) == [rtp_packet(0)]  # and its index is not used up


def test_digits_are_heard_played_and_protected():
    lab, pbx, carrier = Lab(), far(CM_80, 1), far(GCM_256, 2)
    one = stream(pbx, carrier)
    lab.put(replace(one, events=(101, 101), report_digits=("ingress",), plays_digits=True))
    there, back = Talk(pbx, carrier), Talk(carrier, pbx)
    for n in range(10):
        lab.now += 0.02
        assert there.arrived(lab.from_pbx(there.leaves(rtp_packet(n))))
    digit = bytes([5, 0x80 | 10, 0x03, 0x20])
    for n in range(10, 13):
        assert lab.from_pbx(there.leaves(rtp_packet(n, payload_type=101, payload=digit))) == []
    lab.hear_news()
    assert [one.digit for one in lab.said if isinstance(one, wire.DigitHeard)] == ["5"]
    lab.sent.clear()
    lab.deliver(lab.client.ask(wire.PlayDigit("a", 0, "ingress", "7", 100)))
    lab.wait(1.0)
    played = back.arrived([data for _, _, data in lab.sent])
    assert played
    assert {packet[1] & 127 for packet in played} == {101}
    assert pbx.refused == 0
    for n in range(13, 20):
        lab.now += 0.02
        assert there.arrived(lab.from_pbx(there.leaves(rtp_packet(n))))


def test_recoding_works_on_plain_octets_between():
    lab, pbx, carrier = Lab(), far(CM_80, 1), far(CM_80, 2)
    lab.put(replace(stream(pbx, carrier), transcodings=(wire.Transcoding("ingress", 8, "PCMA", 0, "PCMU"),)))
    there = Talk(pbx, carrier)
    (packet,) = there.arrived(lab.from_pbx(there.leaves(rtp_packet(1, payload=b"\xd5" * 160))))
    assert packet[1] == 0
    assert packet[12:] == b"\xfe" * 160


def test_new_keys_are_tried_beside_the_old_until_the_far_end_has_changed_over():
    lab, pbx = Lab(), far()
    lab.put(stream(pbx, None))
    for n in range(70_000):
        lab.from_pbx(pbx.rtp(rtp_packet(n)))
    fresh = far(seed=5)
    lab.put(stream(replace(pbx.crypto, receive=(pbx.sends, fresh.sends)), None))
    for n in range(70_000, 70_010):
        assert lab.from_pbx(pbx.rtp(rtp_packet(n))) == [rtp_packet(n)]
    for n in range(70_010, 70_020):  # its rollover counter begins at 0
        assert lab.from_pbx(fresh.rtp(rtp_packet(n))) == [rtp_packet(n)]
    late = pbx.rtp(rtp_packet(70_010))
    assert lab.from_pbx(late)
    assert lab.from_pbx(late) == []
    lab.put(stream(replace(pbx.crypto, receive=(fresh.sends,)), None))
    assert lab.from_pbx(pbx.rtp(rtp_packet(70_021))) == []
    assert lab.from_pbx(fresh.rtp(rtp_packet(70_022))) == [rtp_packet(70_022)]


def test_a_far_end_may_keep_its_rollover_counter_with_a_new_key():
    lab, pbx = Lab(), far()
    lab.put(stream(pbx, None))
    for n in range(65_000, 66_000):
        lab.from_pbx(pbx.rtp(rtp_packet(n)))
    fresh = far(seed=5)
    fresh._sender._source(7).take(65_999)
    lab.put(stream(replace(pbx.crypto, receive=(pbx.sends, fresh.sends)), None))
    for n in range(66_000, 66_010):
        assert lab.from_pbx(fresh.rtp(rtp_packet(n))) == [rtp_packet(n)]


def test_a_key_goes_on_where_its_leg_moves_to_another_session():
    lab, pbx, carrier = Lab(), far(), far(seed=2)
    lab.put(stream(pbx, carrier))
    there, back = Talk(pbx, carrier), Talk(carrier, pbx)
    for n in range(65_000, 66_000):
        lab.now += 0.02
        assert there.arrived(lab.from_pbx(there.leaves(rtp_packet(n))))
        assert back.arrived(lab.from_carrier(back.leaves(rtp_packet(n, ssrc=9))))
    replayed = pbx.rtp(rtp_packet(66_000))
    lab.from_pbx(replayed)
    heir = replace(stream(pbx, None), egress=stream(None, None, i=1).egress)
    lab.put(heir, ref="b")
    lab.delete()
    assert lab.from_pbx(replayed) == []
    for n in range(66_001, 66_010):
        assert lab.from_pbx(pbx.rtp(rtp_packet(n))) == [rtp_packet(n)]
    # Another source with the same SSRC and numbers: the receiver sees one stream that goes on.
    opened = []
    for n in range(65_900, 65_950):
        lab.sends(CARRIER, Address(OUTSIDE, 20002), rtp_packet(n, ssrc=9, payload=b"other" * 32))
        opened += back.arrived([data for _, _, data in lab.sent])
    assert len(opened) == 43  # the first seven may be doubles
    assert [int.from_bytes(one[2:4]) for one in opened] == [n & 0xFFFF for n in range(66_000, 66_043)]


# BOUND: SRTP_KEYS_TRIED
@pytest.mark.parametrize("kind", ["suite", "length", "many", "opaque"])
def test_keys_that_cannot_be_are_refused(kind):
    lab, key = Lab(), master_key(CM_80, 1)
    crypto = {
        "suite": wire.Crypto("F8_128_HMAC_SHA1_80", key),
        "length": wire.Crypto(GCM_256, key),
        "many": wire.Crypto(CM_80, key, (key,) * (SRTP_KEYS_TRIED + 1)),
        "opaque": wire.Crypto(CM_80, key),
    }[kind]
    lab.put(replace(stream(crypto, None), rtp=kind != "opaque"))
    (refused,) = (one for one in lab.said if isinstance(one, wire.Refused))
    assert refused.ref == "a"
    assert key.key.hex() not in refused.reason


def test_a_way_that_is_encrypted_stays_out_of_the_kernel():
    lab, pbx = Lab(), far()
    lab.put(stream(pbx, None))
    lab.from_pbx(pbx.rtp(rtp_packet(0)))
    assert lab.count().ingress.engine == "userland"


def test_plain_packets_on_probation_do_not_cross_once_the_end_is_secured():
    lab, carrier = Lab(), far()
    lab.put(stream(None, None))
    source, to = Address(CARRIER.host, 6000), Address(OUTSIDE, 20000)
    forged = [rtp_packet(n, payload=b"forged" * 20) for n in (1, 2, 3, 4)]
    assert lab.sends(source, to, forged[0]) == []
    lab.put(stream(None, carrier))
    left = [one for n in range(2, 8) for one in lab.sends(source, to, carrier.rtp(rtp_packet(n)))]
    assert rtp_packet(7) in left
    assert not set(forged).intersection(left)
