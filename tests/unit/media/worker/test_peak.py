"""What has been of late."""

from sbc.media.worker.peak import Peak


def test_the_most_is_told_for_sixteen_seconds_of_reports_and_then_no_more():
    peak = Peak()
    assert peak.tell() == 0
    for value in (3, 7, 5):
        peak.note(value)
    assert [peak.tell() for _ in range(9)] == [7] * 8 + [0]


def test_what_is_less_is_told_when_what_was_more_is_long_ago():
    peak = Peak()
    peak.note(9)
    peak.tell()
    peak.note(4)
    assert [peak.tell() for _ in range(9)] == [9] * 7 + [4, 0]
