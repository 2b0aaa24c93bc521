"""The time of a report, from what people write."""

import datetime as dt

import pytest

from sbc.cdr.span import span_of, zone_of

NOW = dt.datetime(2025, 1, 31, 12, tzinfo=dt.UTC).timestamp()


def shown(since=None, until=None, timezone=None):
    span = span_of(since, until, timezone, NOW)
    return [dt.datetime.fromtimestamp(one / 1000, dt.UTC).isoformat() for one in (span.since, span.until)]


def test_without_a_time_it_is_the_last_seven_days_with_today():
    assert shown() == ["2025-01-25T00:00:00+00:00", "2025-01-31T12:00:00+00:00"]
    assert shown(timezone="Europe/Berlin")[0] == "2025-01-24T23:00:00+00:00"


def test_a_date_begins_at_its_midnight_in_the_zone():
    assert shown("2025-07-01", "2025-08-01", "Europe/Berlin") == [
        "2025-06-30T22:00:00+00:00",
        "2025-07-31T22:00:00+00:00",
    ]


def test_a_time_may_name_its_own_offset_even_if_its_plus_became_a_space():
    assert shown("2025-01-01T00:00:00+02:00") == shown("2025-01-01T00:00:00 02:00")


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": "yesterday"},
        {"since": "0001-01-01"},
        {"until": "9999-12-31"},
        {"since": "2025-01-02", "until": "2025-01-01"},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"timezone": "/etc/localtime"},
        {"timezone": "Europe"},
        {"timezone": "a" * 5000},
        {"timezone": "UTC\x00"},
    ],
)
def test_what_is_no_time_or_zone_is_said_in_one_short_sentence(wrong):
    with pytest.raises(ValueError, match=r"^[^\n]{1,200}$"):
        span_of(wrong.get("since"), wrong.get("until"), wrong.get("timezone"), NOW)


def test_zones_are_those_of_the_machine():
    assert str(zone_of("Europe/Berlin")) == "Europe/Berlin"
