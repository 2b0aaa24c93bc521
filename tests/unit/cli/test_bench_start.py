"""How soon a call's start is on the disk: what `sbc bench journal` makes of the times that it has measured."""

import pytest

from sbc.cli.bench_start import StartCost, cost_of, lines_of


def test_of_what_was_measured_the_median_the_most_and_how_many_fsyncs_that_is():
    cost = cost_of([0.010, 0.051, 0.016, 0.012, 0.050], [0.004, 0.002, 0.009, 0.004])
    assert cost == StartCost(0.016, 0.051, 0.004, 0.009, pytest.approx(4.0), 0.8, 5)


def test_it_is_said_in_milliseconds_beside_what_an_fsync_takes():
    head, *lines = lines_of(StartCost(0.016, 0.039, 0.004, 0.009, 4.0, 0.998, 500), 100.0)
    assert "500 calls at 100/s" in head
    assert [line.split() for line in lines] == [
        ["safe,", "median", "16.0", "ms", "4.0", "times", "an", "fsync", "there"],
        ["safe,", "most", "39.0", "ms", "99.8%", "within", "50", "ms,", "the", "aim"],
        ["an", "fsync", "4.0", "ms", "most", "9.0", "ms"],
    ]
