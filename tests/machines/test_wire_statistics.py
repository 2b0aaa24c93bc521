"""What `media.wire.EndCount` promises of loss, order, doubles and rates, whoever keeps it (see `worker_subjects`)."""
# RFC: 3550

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sbc.media import wire

from .worker_subjects import Fake, InMemory, MemoryService, Subject, at_carrier, counts, from_pbx, put, rtp, stream


def numbers(worker: Subject) -> tuple[int, int, int]:
    count = counts(worker)[0].ingress
    return count.lost, count.reordered, count.duplicates


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([1, 2, 3], (0, 0, 0)),
        ([1, 3], (1, 0, 0)),
        ([1, 3, 2], (0, 1, 0)),
        ([1, 3, 2, 2], (0, 1, 1)),
        ([1, 2, 2, 3], (0, 0, 1)),
        ([1, 2, 1, 3], (0, 0, 1)),
        ([65_534, 65_535, 0, 1], (0, 0, 0)),
        ([65_534, 1, 65_535], (1, 1, 0)),
        ([1, 3001], (2999, 0, 0)),
        ([1, 20_000, 20_001, 20_002], (0, 0, 0)),
        ([1, 20_000, 2, 3], (0, 0, 0)),
        ([100, 30, 101], (0, 0, 0)),
        ([100, 164, 101], (62, 1, 0)),
        ([100, 30, 31, 32], (0, 0, 0)),
    ],
    ids=str,
)
def test_numbers_tell_what_is_lost_late_and_doubled(
    in_memory: InMemory, sequences: Sequence[int], expected: tuple[int, int, int]
) -> None:
    put(in_memory, stream(in_memory))
    for sequence in sequences:
        assert from_pbx(in_memory, rtp(sequence)) == at_carrier(in_memory, rtp(sequence))
    assert numbers(in_memory) == expected
    assert counts(in_memory)[0].ingress.received == len(sequences)


def test_they_are_told_by_the_process_too(worker: Subject) -> None:
    put(worker, stream(worker))
    for sequence in (1, 2, 5, 4, 5, 6):
        from_pbx(worker, rtp(sequence))
    assert numbers(worker) == (1, 1, 1)


def test_a_new_ssrc_begins_anew_and_what_was_counted_stays(worker: Subject) -> None:
    put(worker, stream(worker))
    for data in (rtp(1), rtp(3), rtp(3), rtp(500, ssrc=8), rtp(502, ssrc=8)):
        from_pbx(worker, data)
    assert numbers(worker) == (2, 0, 1)


def test_packets_that_were_held_until_the_lock_are_counted_as_the_others(worker: Subject) -> None:
    put(worker, stream(worker))
    for sequence in (1, 2, 3, 4, 6):
        from_pbx(worker, rtp(sequence), n=2)
    assert numbers(worker) == (1, 0, 0)


def test_putting_again_keeps_them(worker: Subject) -> None:
    put(worker, stream(worker))
    for sequence in (1, 3):
        from_pbx(worker, rtp(sequence))
    put(worker, stream(worker), generation=2)
    assert from_pbx(worker, rtp(5)) == at_carrier(worker, rtp(5))
    assert numbers(worker) == (2, 0, 0)


def test_both_ends_have_their_own(worker: Subject) -> None:
    put(worker, stream(worker))
    for sequence in (1, 3):
        from_pbx(worker, rtp(sequence))
    assert counts(worker)[0].egress.lost == 0


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 60, 63, 64, 65, 3000, 3001, 40_000]), st.booleans())))
def test_the_fake_and_the_real_worker_count_alike(steps: list[tuple[int, bool]]) -> None:
    fake, real = Fake(), MemoryService()
    for worker in (fake, real):
        put(worker, stream(worker))
    sequence = 65_500
    for step, goes_back in steps:
        sequence = (sequence - step if goes_back else sequence + step) % 65_536
        for worker in (fake, real):
            from_pbx(worker, rtp(sequence))
    assert numbers(fake) == numbers(real)


# --- packet rate ------------------------------------------------------------------------------------------------------


def test_what_is_beyond_the_packet_rate_is_dropped_and_counted(in_memory: InMemory) -> None:
    worker = in_memory
    worker.wait(10)
    put(worker, replace(stream(worker), packets_per_second=5))
    heard = [from_pbx(worker, rtp(i)) for i in range(8)]
    assert heard == [at_carrier(worker, rtp(i)) for i in range(5)] + [[]] * 3
    count = counts(worker)[0].ingress
    assert (count.received, count.excess, count.dropped, count.foreign) == (5, 3, 0, 0)
    worker.wait(1.5)
    assert from_pbx(worker, rtp(8)) == at_carrier(worker, rtp(8))


def test_zero_is_no_limit(in_memory: InMemory) -> None:
    put(in_memory, stream(in_memory))
    for i in range(2000):
        from_pbx(in_memory, rtp(i))
    assert counts(in_memory)[0].ingress.received == 2000


def test_a_recoded_packet_has_the_other_number(worker: Subject) -> None:
    recoding = wire.Transcoding("ingress", 8, "PCMA", 0, "PCMU")
    put(worker, replace(stream(worker), transcodings=(recoding,)))
    ((_, _, data),) = from_pbx(worker, rtp(1))
    assert (data[1], data[2:12], len(data)) == (0, rtp(1)[2:12], 172)
