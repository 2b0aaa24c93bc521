"""What the metrics tell of all calls: a stream counts by what is known of it, and lost packets never become fewer."""

import pytest

from sbc.b2bua.totals import Totals


def test_a_stream_counts_once_in_each_figure_that_is_known_of_it():
    totals = Totals()
    totals.add_stream({"codec": "PCMU", "packets": 50, "mos": 4.4, "jitter_ms": 1.5, "round_trip_ms": 60.0})
    totals.add_stream({"codec": "opus", "packets": 50, "mos": None, "jitter_ms": 2.5})
    totals.add_stream({"codec": "t38", "packets": 9, "mos": None, "jitter_ms": None})
    mos, jitter, round_trip = totals.mos.value(), totals.jitter.value(), totals.round_trip.value()
    assert (mos.count, mos.total) == (1, pytest.approx(4.4))
    assert (jitter.count, jitter.total) == (2, pytest.approx(0.004))
    assert (round_trip.count, round_trip.total) == (1, pytest.approx(0.06))


def test_a_packet_that_was_only_late_is_taken_from_what_is_lost_next():
    totals = Totals()
    seen = []
    for more in (3, -2, 1, 4):
        totals.add_lost(more)
        seen.append(totals.lost)
    assert seen == [3, 3, 3, 6]
