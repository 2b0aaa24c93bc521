from hypothesis import given
from hypothesis import strategies as st

from sbc.core.histogram import Histogram


def test_a_bucket_has_all_that_is_not_above_its_bound():
    sizes = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 7.0):
        sizes.add(value)
    assert sizes.value().buckets == ((1.0, 2), (2.0, 4))
    assert (sizes.value().count, sizes.value().total) == (5, 12.0)


def test_nothing_counted():
    assert Histogram((1.0,)).value().buckets == ((1.0, 0),)


@given(st.lists(st.floats(0, 10)))
def test_buckets_rise_to_the_count(values):
    sizes = Histogram((1.0, 3.0, 10.0))
    for value in values:
        sizes.add(value)
    counts = [count for _, count in sizes.value().buckets]
    assert counts == sorted(counts)
    assert counts[-1] == sizes.value().count == len(values)
