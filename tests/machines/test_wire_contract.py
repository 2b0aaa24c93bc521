"""What `media.wire` promises of relaying, digits, sessions and refusals, whoever keeps it (see `worker_subjects`)."""

import pytest
from msgspec.structs import replace

from sbc.media import wire
from sbc.media.worker.service import Service
from sbc.testing.media import FakeWorker

from .worker_subjects import (
    CARRIER,
    INSIDE,
    OUTSIDE,
    PBX,
    RTCP,
    RTP,
    STUN,
    InMemory,
    MemoryService,
    Subject,
    at_carrier,
    at_pbx,
    counts,
    from_carrier,
    from_pbx,
    put,
    refused,
    remote,
    rtp,
    stream,
)

# --- relaying ---------------------------------------------------------------------------------------------------------


def test_a_put_session_relays_rtp_both_ways_out_of_the_other_ends_port(worker: Subject) -> None:
    assert put(worker, stream(worker)) == []
    assert from_pbx(worker) == at_carrier(worker, RTP)
    assert from_carrier(worker) == at_pbx(worker, RTP)


def test_rtcp_takes_the_odd_ports(worker: Subject) -> None:
    put(worker, stream(worker))
    assert from_pbx(worker, RTCP, 1) == at_carrier(worker, RTCP, 1)
    assert from_carrier(worker, RTCP, 1) == at_pbx(worker, RTCP, 1)
    (count,) = counts(worker)
    assert (count.ingress.rtcp_received, count.ingress.rtcp_sent, count.ingress.received) == (1, 1, 0)


def test_a_side_that_wants_no_rtcp_gets_none(worker: Subject) -> None:
    both = stream(worker)
    egress = wire.End(both.egress.local, both.egress.port, remote(worker, CARRIER, rtcp=0))
    put(worker, wire.Stream(both.ingress, egress))
    assert from_pbx(worker, RTCP, 1) == []
    assert counts(worker)[0].ingress.dropped == 1
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_packets_and_octets_are_counted_at_both_ends(worker: Subject) -> None:
    put(worker, stream(worker))
    for sequence in range(3):
        from_pbx(worker, rtp(sequence))
    from_carrier(worker)
    (count,) = counts(worker)
    assert _packets(count.ingress) == (3, 516, 1, 172, 0, 0, 0)
    assert _packets(count.egress) == (1, 172, 3, 516, 0, 0, 0)


def _packets(end: wire.EndCount) -> tuple[int, ...]:
    return (
        end.received,
        end.received_octets,
        end.sent,
        end.sent_octets,
        end.rtcp_received,
        end.rtcp_sent,
        end.dropped + end.foreign,
    )


def test_an_end_without_remote_gets_nothing_and_lets_nobody_in(worker: Subject) -> None:
    both = stream(worker)
    early = wire.Stream(both.ingress, wire.End(OUTSIDE, worker.outside[0], None))
    put(worker, early)
    assert from_pbx(worker) == []
    assert from_carrier(worker) == []
    (count,) = counts(worker)
    assert (count.ingress.dropped, count.egress.dropped) == (1, 1)
    put(worker, both, generation=2)
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_each_stream_of_a_session_has_its_own_ports(worker: Subject) -> None:
    put(worker, stream(worker, 0), stream(worker, 1))
    assert from_pbx(worker, i=1) == at_carrier(worker, RTP, i=1)
    assert [count.ingress.received for count in counts(worker)] == [0, 1]


def test_an_idle_port_relays_nothing(worker: Subject) -> None:
    put(worker, stream(worker, 0))
    assert from_pbx(worker, i=1) == []


# --- what is relayed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [STUN, b"", b"\x80", RTP[:11], bytes([0xC0]) + RTP[1:], bytes([0x40]) + RTP[1:], bytes([20]) + RTP[1:]]
)
def test_what_is_not_rtp_is_dropped_and_counted(worker: Subject, data: bytes) -> None:
    put(worker, stream(worker))
    assert from_pbx(worker, data) == []
    count = counts(worker)[0].ingress
    assert (count.received, count.dropped, count.foreign, count.source) == (0, 1, 0, "")


def test_rtcp_has_a_header_of_its_own_length(worker: Subject) -> None:
    put(worker, stream(worker))
    empty_receiver_report = bytes([0x80, 201, 0, 1]) + bytes(4)
    assert from_pbx(worker, empty_receiver_report, 1) == at_carrier(worker, empty_receiver_report, 1)
    assert from_pbx(worker, empty_receiver_report[:7], 1) == []


@pytest.mark.parametrize("data", [b"x", b"\x00\x01t38", STUN])
def test_an_opaque_stream_relays_anything(worker: Subject, data: bytes) -> None:
    put(worker, stream(worker, rtp=False))
    assert from_pbx(worker, data) == at_carrier(worker, data)
    assert counts(worker)[0].ingress.received_octets == len(data)


# --- payload types and digits ----------------------------------------------------------------------------------------


def telling(worker: Subject, *report: wire.SideName) -> wire.Stream:
    """The PBX numbers telephone-event 101, the carrier 96; digits of `report` are told."""
    both = stream(worker)
    types = ((101, 96),), ((96, 101),), (101, 96)
    return wire.Stream(both.ingress, both.egress, True, *types, report_digits=report)


def digit(n: int, *, started: int, is_over: bool = False, payload_type: int = 101) -> bytes:
    head = bytes([0x80, payload_type, 0, n]) + started.to_bytes(4) + b"ssrc"
    return head + bytes([5, 0x80 * is_over + 10, 0x03, 0x20])


def test_payload_types_are_rewritten_each_way_and_others_pass(worker: Subject) -> None:
    put(worker, telling(worker))
    assert from_pbx(worker, digit(1, started=800)) == at_carrier(worker, digit(1, started=800, payload_type=96))
    marked = bytes([0x80, 0x80 | 96, 0, 1]) + bytes(168)
    assert from_carrier(worker, marked) == at_pbx(worker, bytes([0x80, 0x80 | 101, 0, 1]) + bytes(168))
    assert from_pbx(worker, RTP) == at_carrier(worker, RTP)


def test_digits_are_counted_once_at_both_ends(worker: Subject) -> None:
    put(worker, telling(worker))
    for started in (800, 9600):
        for n in (1, 2, 3, 4):
            from_pbx(worker, digit(n, started=started, is_over=n > 1))
    (count,) = counts(worker)
    assert (count.ingress.digits_received, count.egress.digits_sent, count.ingress.received) == (2, 2, 8)
    assert (count.egress.digits_received, count.ingress.digits_sent) == (0, 0)


def test_told_digits_do_not_cross_and_are_told_once(in_memory: InMemory) -> None:  # the process: loopback/test_digits
    worker = in_memory
    put(worker, telling(worker, "ingress"))
    for n in (1, 2, 3, 4):
        assert from_pbx(worker, digit(n, started=800, is_over=n > 1)) == []
    assert worker.news() == [wire.DigitHeard("a", 0, "ingress", "5", 100)]
    assert from_pbx(worker, digit(5, started=9600, is_over=True)) == []
    assert from_carrier(worker, digit(1, started=800, payload_type=96)) == at_pbx(worker, digit(1, started=800))
    (count,) = counts(worker)
    assert (count.ingress.digits_received, count.egress.digits_sent, count.ingress.received) == (2, 0, 0)
    assert (count.egress.digits_received, count.ingress.digits_sent, count.ingress.dropped) == (1, 1, 0)


def test_a_digit_to_play_is_counted_where_it_can_be_told(worker: Subject) -> None:
    put(worker, replace(telling(worker), plays_digits=True))
    assert worker.say(wire.PlayDigit("a", 0, "egress", "#", 100)) == []
    assert worker.say(wire.PlayDigit("nobody", 0, "egress", "#", 100)) == []
    assert counts(worker)[0].egress.digits_sent == 1
    put(worker, stream(worker), generation=2)
    assert worker.say(wire.PlayDigit("a", 0, "egress", "#", 100)) == []
    assert counts(worker)[0].egress.digits_sent == 1


@pytest.mark.parametrize(("key", "n"), [("x", 0), ("", 0), ("12", 0), ("1", 1), ("1", -1)])
def test_a_digit_or_a_stream_that_does_not_exist_isrefused(worker: Subject, key: str, n: int) -> None:
    put(worker, telling(worker))
    assert refused(worker.say(wire.PlayDigit("a", n, "egress", key, 100)), "a")


def test_a_payload_type_that_cannot_be_isrefused(worker: Subject) -> None:
    both = stream(worker)
    assert refused(put(worker, wire.Stream(both.ingress, both.egress, events=(128, 101))), "a")
    assert refused(put(worker, wire.Stream(both.ingress, both.egress, ingress_to_egress=((8, -1),))), "a")
    assert refused(put(worker, wire.Stream(both.ingress, both.egress, event_rates=(8000, 0))), "a")


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_putting_again_keeps_the_counters(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker)
    put(worker, stream(worker))
    put(worker, stream(worker), generation=2)
    from_pbx(worker)
    assert counts(worker)[0].ingress.received == 2


def test_an_older_generation_changes_nothing(worker: Subject) -> None:
    put(worker, stream(worker), generation=5)
    assert put(worker, generation=4) == []
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_a_new_remote_is_sent_to_and_the_end_keeps_its_counters(worker: Subject) -> None:
    both = stream(worker)
    put(worker, both)
    from_pbx(worker)
    moved = wire.End(OUTSIDE, worker.outside[0], remote(worker, CARRIER, 4))
    put(worker, wire.Stream(both.ingress, moved), generation=2)
    assert from_pbx(worker) == at_carrier(worker, RTP, 4)
    assert counts(worker)[0].egress.sent == 2


def test_a_new_port_begins_at_zero_and_the_old_one_is_silent(worker: Subject) -> None:
    first, second = stream(worker, 0), stream(worker, 1)
    put(worker, first)
    from_pbx(worker)
    put(worker, wire.Stream(first.ingress, second.egress), generation=2)
    assert from_pbx(worker) == at_carrier(worker, RTP, i=1)
    assert from_carrier(worker) == []
    (count,) = counts(worker)
    assert (count.ingress.received, count.egress.sent) == (2, 1)


def test_a_stream_that_goes_and_comes_keeps_its_counters(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker)
    put(worker, generation=2)
    assert from_pbx(worker) == []
    put(worker, stream(worker), generation=3)
    from_pbx(worker)
    assert counts(worker)[0].ingress.received == 2


def test_a_port_moves_to_the_session_that_names_it_last(worker: Subject) -> None:
    put(worker, stream(worker, 0), ref="a")
    taking = wire.Stream(stream(worker, 0).ingress, stream(worker, 1).egress)
    put(worker, taking, ref="b")
    assert from_pbx(worker) == at_carrier(worker, RTP, i=1)
    assert from_carrier(worker) == []
    assert counts(worker, "a")[0].egress.dropped == 1
    worker.say(wire.DeleteSession("a"))
    assert from_pbx(worker) == at_carrier(worker, RTP, i=1)
    assert counts(worker, "b")[0].ingress.received == 2


def test_a_port_that_was_let_go_serves_the_next_session(worker: Subject) -> None:
    put(worker, stream(worker), ref="a")
    worker.say(wire.DeleteSession("a"))
    put(worker, stream(worker), ref="b")
    assert from_carrier(worker) == at_pbx(worker, RTP)
    assert counts(worker, "b")[0].egress.received == 1


def test_deletion_answers_with_the_counters_and_ends_the_relay(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker)
    (ended,) = worker.say(wire.DeleteSession("a"))
    assert isinstance(ended, wire.SessionEnded)
    assert (ended.ref, ended.streams[0].ingress.received) == ("a", 1)
    assert from_pbx(worker) == []
    assert worker.say(wire.DeleteSession("a")) == [wire.SessionEnded("a", ())]


def test_a_query_about_everything_reports_every_session_and_says_which_report_is_last(worker: Subject) -> None:
    expected = {f"empty-{i}" for i in range(300)}
    for ref in expected:
        put(worker, ref=ref)
    put(worker, stream(worker), generation=7)
    reports = [reply for reply in worker.say(wire.Query()) if isinstance(reply, wire.Report)]
    assert [report.last for report in reports] == [False] * (len(reports) - 1) + [True]
    sessions = [session for report in reports for session in report.sessions]
    assert {session.ref for session in sessions} == expected | {"a"}
    assert [session.generation for session in sessions if session.ref == "a"] == [7]
    assert all(len(wire.encode(report)) <= 65536 for report in reports)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_port_that_is_not_ours_is_refused_and_nothing_changes(worker: Subject) -> None:
    both = stream(worker)
    put(worker, both)
    wrong = wire.Stream(both.ingress, wire.End(OUTSIDE, 2, both.egress.remote))
    assert refused(put(worker, wrong, generation=2), "a")
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_a_port_named_twice_isrefused(worker: Subject) -> None:
    both = stream(worker)
    assert refused(put(worker, wire.Stream(both.ingress, both.ingress)), "a")


@pytest.mark.parametrize(
    "wrong",
    [wire.Remote("pbx.example", 4000, 0), wire.Remote("::1", 4000, 0), wire.Remote(PBX, 0, 0), wire.Remote("", 1, 0)],
)
def test_a_remote_that_cannot_be_sent_to_isrefused(worker: Subject, wrong: wire.Remote) -> None:
    both = stream(worker)
    assert refused(put(worker, wire.Stream(wire.End(INSIDE, worker.inside[0], wrong), both.egress)), "a")


def test_a_session_needs_a_name(worker: Subject) -> None:
    assert refused(put(worker, stream(worker), ref=""), "")


def test_nonsense_is_refused_and_the_worker_lives_on() -> None:
    for receive in (
        Service(MemoryService(), lambda: 0.0).receive,
        lambda data: map(wire.decode_reply, FakeWorker().receive(data)),
    ):
        for nonsense in (b"", b"\xff", b"\x80", wire.encode(wire.Running(1, 1))):
            assert [type(reply) for reply in receive(nonsense)] == [wire.Refused]
