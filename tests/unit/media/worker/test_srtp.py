"""SRTP against libsrtp, both ways; what is refused, and what is never sent."""
# RFC: 3711, 7714

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from sbc.core.limits import SRTP_SOURCES
from sbc.media.worker.srtp import REPLAYED, Receiver, Sender, UnsendableError
from sbc.media.worker.srtp_cipher import FORGED
from sbc.media.worker.srtp_memory import Records
from sbc.media.worker.srtp_numbers import RTCP_LAST
from sbc.media.worker.srtp_suite import SUITES
from sbc.testing.srtp import CM_32, CM_80, GCM_128, GCM_256, master_key, rtp_packet, sender_report

PROFILES = {
    CM_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    CM_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    GCM_128: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    GCM_256: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
every_suite = pytest.mark.parametrize("suite", PROFILES)


def sender(suite=CM_80, records=None, *, is_resumed=False):
    return Sender(suite, master_key(suite, 1).key, records or Records(), is_resumed=is_resumed)


def receiver(suite=CM_80, records=None):
    return Receiver(suite, master_key(suite, 1).key, records or Records())


def libsrtp(suite, direction):
    return Session(Policy(key=master_key(suite, 1).key, ssrc_type=direction, srtp_profile=PROFILES[suite]))


def opened(one, packet, mki=0):
    room = memoryview(bytearray(packet))
    left = one.open(room, len(packet), mki)
    return bytes(room[:left]) if left >= 0 else left


def opened_rtcp(one, packet, mki=0):
    room = memoryview(bytearray(packet))
    left = one.open_rtcp(room, len(packet), mki)
    return bytes(room[:left]) if left >= 0 else left


@every_suite
def test_libsrtp_opens_what_we_protect_over_rollovers(suite):
    ours, theirs = sender(suite), libsrtp(suite, Policy.SSRC_ANY_INBOUND)
    for n in range(65_530, 65_530 + 70_000):
        packet = rtp_packet(n, payload=bytes([n & 255]) * 20)
        assert theirs.unprotect(bytes(ours.protect(packet, b""))) == packet
    for _ in range(5):
        assert theirs.unprotect_rtcp(bytes(ours.protect_rtcp(sender_report(), b""))) == sender_report()


@every_suite
def test_we_open_what_libsrtp_protects_over_rollovers(suite):
    ours, theirs = receiver(suite), libsrtp(suite, Policy.SSRC_ANY_OUTBOUND)
    for n in range(65_530, 65_530 + 70_000):
        packet = rtp_packet(n, payload=bytes([n & 255]) * 20)
        protected = theirs.protect(packet)
        if n % 3:
            assert opened(ours, protected) == packet
    for _ in range(5):
        assert opened_rtcp(ours, theirs.protect_rtcp(sender_report())) == sender_report()


@every_suite
@pytest.mark.parametrize(
    "head",
    [
        b"\x82\x08\x00\x01" + bytes(8) + bytes(8),  # two CSRCs
        b"\x90\x08\x00\x01" + bytes(8) + b"\xbe\xde\x00\x01" + bytes(4),  # an extension
        b"\xb1\x08\x00\x01" + bytes(8) + bytes(4) + b"\xbe\xde\x00\x02" + bytes(8),  # both, and padding
    ],
)
def test_all_of_a_header_stays_readable(suite, head):
    packet = head + b"voice" * 9 + b"\x01"
    protected = bytes(sender(suite).protect(packet, b""))
    assert protected[: len(head)] == head
    assert protected[len(head) :][:20] != packet[len(head) :][:20]
    assert libsrtp(suite, Policy.SSRC_ANY_INBOUND).unprotect(protected) == packet
    assert opened(receiver(suite), libsrtp(suite, Policy.SSRC_ANY_OUTBOUND).protect(packet)) == packet


@every_suite
def test_the_mki_stands_where_the_rfcs_have_it(suite):
    mki = b"\x01\x02\x03"
    plain, marked = bytes(sender(suite).protect(rtp_packet(1), b"")), bytes(sender(suite).protect(rtp_packet(1), mki))
    tag = 0 if SUITES[suite].is_aead else SUITES[suite].rtp_tag
    assert marked == plain[: len(plain) - tag] + mki + plain[len(plain) - tag :]
    assert opened(receiver(suite), marked, 3) == rtp_packet(1)
    report = bytes(sender(suite).protect_rtcp(sender_report(), mki))
    assert opened_rtcp(receiver(suite), report, 3) == sender_report()


@every_suite
def test_every_bit_counts(suite):
    packet = bytes(sender(suite).protect(rtp_packet(5, payload=bytes(20)), b""))
    report = bytes(sender(suite).protect_rtcp(sender_report(), b""))
    one = receiver(suite)
    for bit in range(8 * len(packet)):
        room = bytearray(packet)
        room[bit // 8] ^= 1 << bit % 8
        assert opened(one, room) == FORGED
    for bit in range(8 * len(report)):
        room = bytearray(report)
        room[bit // 8] ^= 1 << bit % 8
        assert opened_rtcp(one, room) == FORGED
    for size in range(len(packet)):
        assert opened(one, packet[:size]) == FORGED
    for size in range(len(report)):
        assert opened_rtcp(one, report[:size]) == FORGED
    assert opened(one, packet) == rtp_packet(5, payload=bytes(20))
    assert opened_rtcp(one, report) == sender_report()


@every_suite
def test_a_packet_that_is_refused_is_left_as_it_was(suite):
    packet = bytearray(sender(suite).protect(rtp_packet(5), b""))
    packet[-1] ^= 1
    room = memoryview(bytearray(packet))
    assert receiver(suite).open(room, len(packet), 0) == FORGED
    assert room == packet


@every_suite
def test_nothing_is_taken_twice(suite):
    ours, one = sender(suite), receiver(suite)
    packets = [bytes(ours.protect(rtp_packet(n), b"")) for n in range(400)]
    reports = [bytes(ours.protect_rtcp(sender_report(), b"")) for _ in range(400)]
    for n in range(399, 270, -1):
        assert opened(one, packets[n]) == (rtp_packet(n) if n > 271 else REPLAYED)
        assert opened_rtcp(one, reports[n]) == (sender_report() if n > 271 else REPLAYED)
    assert {opened(one, packet) for packet in packets} == {REPLAYED}
    assert {opened_rtcp(one, report) for report in reports} == {REPLAYED}


@every_suite
def test_reports_that_are_not_encrypted_are_authenticated_all_the_same(suite):
    one = receiver(suite)
    protection = sender(suite)._rtcp
    base, word, plain = protection.base_of(7), bytes((0, 0, 0, 5)), sender_report()
    if SUITES[suite].is_aead:
        packet = plain + protection._encrypt((base ^ 5).to_bytes(12), b"", plain + word) + word
    else:
        packet = plain + word + protection._digest(memoryview(plain + word), b"")[:10]
    assert opened_rtcp(one, packet[:-1] + bytes((packet[-1] ^ 1,))) == FORGED
    assert opened_rtcp(one, packet) == plain


def indices(one, packets):
    """Which (SSRC, rollover counter and sequence number) were used; each must be new."""
    used = []
    for packet in packets:
        try:
            one.protect(packet, b"")
        except UnsendableError:
            continue
        ssrc = int.from_bytes(packet[8:12])
        used.append((ssrc, one._sources[ssrc].highest))
    return used


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(1, 2)), max_size=300))
def test_no_index_is_used_twice_whatever_a_source_does(numbers):
    one, used, seen = sender(), [], {}
    for sequence, ssrc in numbers:
        try:
            packet = bytes(one.protect(rtp_packet(sequence, ssrc=ssrc), b""))
        except UnsendableError:
            continue
        used.append((ssrc, packet[:4], packet[12:]))
        keystream = (ssrc, packet[12:172])  # of zeros
        assert keystream not in seen
        seen[keystream] = True


@given(st.lists(st.integers(-200, 40_000), max_size=60), st.integers(0, 0xFFFF))
def test_a_receiver_stays_in_step_whatever_a_source_does(steps, first):
    """What leaves can be opened, in the order in which it leaves."""
    ours, theirs, n = sender(), receiver(), first
    for step in steps:
        for i in range(3):
            try:
                packet = bytes(ours.protect(rtp_packet(n + i), b""))
            except UnsendableError:
                continue
            assert isinstance(opened(theirs, packet), bytes)
        n += step


@given(st.randoms(use_true_random=False), st.integers(0, 0x1FFFF), st.sampled_from(list(PROFILES)))
def test_what_is_protected_can_be_opened_with_loss_and_reordering(random, first, suite):
    ours, theirs = sender(suite), receiver(suite)
    packets = [(n, bytes(ours.protect(rtp_packet(n, payload=b"x" * (n % 50)), b""))) for n in range(first, first + 80)]
    head, rest = packets[:1], packets[1:]
    rest = [one for one in rest if random.random() > 0.2]
    rest.sort(key=lambda one: one[0] + random.random() * 30)
    for n, packet in head + rest:
        assert opened(theirs, packet) == rtp_packet(n, payload=b"x" * (n % 50))
    for _, packet in packets[:1] + rest:
        assert opened(theirs, packet) == REPLAYED


def test_a_source_that_begins_anew_is_numbered_on():
    ours, theirs = sender(), libsrtp(CM_80, Policy.SSRC_ANY_INBOUND)
    for n in range(30_000, 30_300):
        theirs.unprotect(bytes(ours.protect(rtp_packet(n), b"")))
    with pytest.raises(UnsendableError):
        ours.protect(rtp_packet(100), b"")
    numbers = [int.from_bytes(theirs.unprotect(bytes(ours.protect(rtp_packet(n), b"")))[2:4]) for n in range(101, 110)]
    assert numbers == list(range(30_300, 30_309))


def test_doubles_are_sent_once():
    ours = sender()
    packets = [rtp_packet(n) for n in range(50)]
    assert len(indices(ours, [packet for packet in packets for _ in (0, 1)])) == 50
    assert indices(ours, packets[40:47]) == []
    assert len(indices(ours, [rtp_packet(50)])) == 1


def test_a_key_has_a_last_packet():
    ours = sender()
    ours.protect(rtp_packet(0), b"")
    ours._sources[7].highest = (1 << 48) - 2
    ours.protect(rtp_packet(0xFFFF), b"")
    with pytest.raises(UnsendableError):
        ours.protect(rtp_packet(0x10000), b"")
    ours._record.note_rtcp(RTCP_LAST - 1)
    ours.protect_rtcp(sender_report(), b"")
    with pytest.raises(UnsendableError):
        ours.protect_rtcp(sender_report(), b"")


def test_a_worker_that_follows_goes_on_and_uses_nothing_twice():
    records = Records()
    ours, theirs = sender(records=records), libsrtp(CM_80, Policy.SSRC_ANY_INBOUND)
    packets = [rtp_packet(n) for n in range(65_000, 66_000)]
    for packet in packets:
        theirs.unprotect(bytes(ours.protect(packet, b"")))
    reports = [struct.unpack(">I", bytes(ours.protect_rtcp(sender_report(), b""))[-14:-10])[0] for _ in range(3)]
    next_one = sender(records=records, is_resumed=True)
    assert indices(next_one, packets[-120:-113]) == []
    packet = rtp_packet(66_005)
    assert theirs.unprotect(bytes(next_one.protect(packet, b""))) == packet
    report = struct.unpack(">I", bytes(next_one.protect_rtcp(sender_report(), b""))[-14:-10])[0]
    assert report - max(reports) > 1000


def test_the_replay_list_of_a_worker_that_follows_is_closed():
    records, ours = Records(), sender()
    packets = [bytes(ours.protect(rtp_packet(n), b"")) for n in range(65_000, 66_100)]
    before = receiver(records=records)
    for packet in packets[:1000:2]:
        opened(before, packet)
    after = receiver(records=records)
    assert {opened(after, packet) for packet in packets[:999]} <= {REPLAYED, FORGED}
    assert opened(after, packets[1050]) == rtp_packet(66_050)


def test_nothing_is_sent_where_nobody_vouches_for_what_was_sent():
    with pytest.raises(UnsendableError):
        sender(is_resumed=True).protect(rtp_packet(0), b"")
    with pytest.raises(UnsendableError):
        sender(is_resumed=True).protect_rtcp(sender_report(), b"")


# BOUND: SRTP_SOURCES
def test_sources_are_bounded():
    ours, theirs = sender(), receiver()
    for ssrc in range(SRTP_SOURCES):
        assert opened(theirs, bytes(ours.protect(rtp_packet(0, ssrc=ssrc), b""))) == rtp_packet(0, ssrc=ssrc)
    with pytest.raises(UnsendableError):
        ours.protect(rtp_packet(0, ssrc=5000), b"")
    extra = bytes(sender().protect(rtp_packet(0, ssrc=5000), b""))
    assert opened(theirs, extra) == FORGED


def test_forged_sources_take_no_room():
    theirs, other = receiver(), Sender(CM_80, master_key(CM_80, 9).key, Records(), is_resumed=False)
    for ssrc in range(SRTP_SOURCES):
        assert opened(theirs, bytes(other.protect(rtp_packet(0, ssrc=ssrc), b""))) == FORGED
        assert opened_rtcp(theirs, bytes(other.protect_rtcp(sender_report(ssrc), b""))) == FORGED
    assert theirs._sources == {}
