"""Small records of TLS are counted, however the stream is cut."""

import pytest

from sbc.core import limits
from sbc.runtime.tls_records import RecordWatch


def record(octets):
    return b"\x17\x03\x03" + octets.to_bytes(2, "big") + b"x" * octets


def allowed(stream, size):
    watch = RecordWatch(0.0)
    return all(watch.allows(stream[at : at + size], 0.0) for at in range(0, len(stream), size))


# BOUND: SMALL_RECORDS
@pytest.mark.parametrize("size", [1, 3, 7, 27, 1_000, 100_000])
def test_so_many_small_records_are_taken_at_once_and_any_number_of_others(size):
    mixed = (record(17) + record(500) + record(16_000)) * limits.SMALL_RECORDS
    assert allowed(mixed, size)
    assert not allowed(mixed + record(63), size)
    assert allowed(mixed + record(64) * 100, size)


# BOUND: SMALL_RECORDS_PER_SECOND
def test_keep_alives_go_on_for_ever():
    watch = RecordWatch(0.0)
    assert all(watch.allows(record(21), n / limits.SMALL_RECORDS_PER_SECOND) for n in range(10_000))
    assert not all(watch.allows(record(21) * 4, 5_000.0 + n / limits.SMALL_RECORDS_PER_SECOND) for n in range(100))
