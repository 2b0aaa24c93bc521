# RFC: 3550
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker.rtcp import ReportBlock, RoundTrip, SenderReport, is_rtcp, read_reports

BLOCK = ReportBlock(7, 9, fraction_lost=64, lost=-3, highest=70_000, jitter=160, last_sr=0xB7052000, delay=0x54000)


def block(one: ReportBlock = BLOCK) -> bytes:
    loss = one.fraction_lost << 24 | one.lost & 0xFFFFFF
    return struct.pack("!6I", one.ssrc, loss, one.highest, one.jitter, one.last_sr, one.delay)


def sender_report(*blocks: bytes, ssrc: int = 7, ntp: int = 0xB44DB705_20000000) -> bytes:
    body = struct.pack("!IQIII", ssrc, ntp, 1, 2, 3) + b"".join(blocks)
    return struct.pack("!BBH", 0x80 | len(blocks), 200, len(body) // 4) + body


def receiver_report(*blocks: bytes, ssrc: int = 7) -> bytes:
    body = struct.pack("!I", ssrc) + b"".join(blocks)
    return struct.pack("!BBH", 0x80 | len(blocks), 201, len(body) // 4) + body


SDES = struct.pack("!BBHI", 0x81, 202, 2, 7) + b"\1\2ab"


def read(packet: bytes) -> tuple[SenderReport | ReportBlock, ...]:
    return read_reports(bytearray(packet + receiver_report(block())), len(packet))  # what follows is of another packet


def test_a_sender_report_is_known_by_the_middle_of_its_time_and_brings_its_blocks():
    assert read(sender_report(block(), block())) == (SenderReport(7, 0xB7052000), BLOCK, BLOCK)


def test_reports_are_found_wherever_they_stand_in_a_compound_packet():
    assert read(receiver_report() + SDES + receiver_report(block())) == (BLOCK,)


def test_what_follows_the_blocks_of_a_report_is_not_one_of_them():
    body = struct.pack("!I", 7) + block() + b"profile-specific extension at its end   "
    packet = struct.pack("!BBH", 0x81, 201, len(body) // 4) + body
    assert read(packet) == (BLOCK,)


@pytest.mark.parametrize("cut", range(len(sender_report(block()))))
def test_a_packet_that_ends_too_early_is_read_as_far_as_it_goes(cut: int):
    got = read(sender_report(block())[:cut])
    assert got == ((SenderReport(7, 0xB7052000),) if cut >= 28 else ())


def test_a_report_that_claims_more_blocks_than_its_length_holds_has_only_those():
    packet = bytearray(receiver_report(block()))
    packet[0] |= 31
    assert read(bytes(packet)) == (BLOCK,)


def test_nothing_behind_another_version_is_read():
    assert read(b"\0" + receiver_report(block())[1:]) == ()
    assert read(SDES + b"\x40" + receiver_report(block())[1:]) == ()


def test_a_packet_that_is_nothing_but_reports_is_read_to_a_bound():
    assert len(read(receiver_report(*[block()] * 31) * 80)) == 64


def test_a_packet_that_is_nothing_but_headers_is_read_to_a_bound():
    packet = b"\x80\xc9\0\0" * 127 + receiver_report(block())
    assert read(packet) == (BLOCK,)
    assert read(b"\x80\xc9\0\0" + packet) == ()


@given(st.binary(max_size=200))
def test_nothing_makes_it_stumble(packet: bytes):
    read(packet)
    read_reports(memoryview(packet), len(packet))


def test_rtcp_on_the_port_of_rtp_is_known_by_its_type():
    assert all(is_rtcp(kind) for kind in (200, 201, 202, 203, 204, 205, 206, 207))
    assert not any(is_rtcp(octet) for octet in (0, 8, 0x80, 0x88, 101, 0x80 | 101, 0x80 | 127, 191, 224))


# --- round trips --------------------------------------------------------------------------------------------------


def test_the_round_trip_is_that_of_the_standards_example():
    """RFC 3550 figure 2: sent at 46853.125, reported at 46864.5 with a delay of 5.25 s: 6.125 s."""
    trip = RoundTrip()
    trip.passed(0xB7052000, 46_853.125)
    trip.heard(BLOCK, 46_864.5)
    assert trip.round_trip_ms == 6125
    assert (trip.far_lost, trip.far_jitter) == (0.25, 160)


@pytest.mark.parametrize(
    "named",
    [
        ReportBlock(7, 9, 0, 0, 0, 5, last_sr=0, delay=0),  # it has no sender report yet
        ReportBlock(7, 9, 0, 0, 0, 5, last_sr=0xB7052001, delay=0),  # one that we have not relayed
        ReportBlock(7, 9, 0, 0, 0, 5, last_sr=0xB7052000, delay=2 * 65_536),  # it waited for longer than has passed
    ],
)
def test_a_report_that_cannot_tell_the_round_trip_still_tells_the_rest(named: ReportBlock):
    trip = RoundTrip()
    trip.passed(0, 99.0)
    trip.passed(0xB7052000, 99.0)
    trip.heard(named, 100.0)
    assert (trip.round_trip_ms, trip.far_jitter) == (0, 5)


def test_only_the_latest_sender_reports_are_remembered():
    trip = RoundTrip()
    for n in range(1, 20):
        trip.passed(n, float(n))
    trip.heard(ReportBlock(7, 9, 0, 0, 0, 0, last_sr=11, delay=0), 20.0)
    assert trip.round_trip_ms == 0
    trip.heard(ReportBlock(7, 9, 0, 0, 0, 0, last_sr=12, delay=0), 20.0)
    assert trip.round_trip_ms == 8000


def test_a_time_that_is_sent_again_counts_from_its_latest_sending():
    trip = RoundTrip()
    for at in (1.0, 2.0):
        trip.passed(5, at)
    trip.heard(ReportBlock(7, 9, 0, 0, 0, 0, last_sr=5, delay=0), 2.5)
    assert trip.round_trip_ms == 500
