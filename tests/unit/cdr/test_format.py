"""The outside look of call records: times, rows and objects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS, attempt_row, cdr_object, cdr_row, parse_time, time_text
from sbc.cdr.record import AttemptRecord, CallRecord


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_738_314_000.123, "2025-01-31T09:00:00.123Z"),
        (1_738_314_000.1239, "2025-01-31T09:00:00.124Z"),
        (1_738_313_999.9999, "2025-01-31T09:00:00.000Z"),
    ],
)
def test_times_are_utc_text_rounded_to_the_millisecond(seconds, text):
    assert time_text(seconds) == text


@given(st.integers(min_value=0, max_value=250_000_000_000_000))
def test_a_printed_time_reads_back_to_the_same_millisecond(milliseconds):
    assert round(parse_time(time_text(milliseconds / 1000)) * 1000) == milliseconds


@given(*[st.integers(min_value=-60_000_000_000_000, max_value=4_000_000_000_000)] * 2)
def test_printed_times_sort_like_the_times(one, other):
    assert (time_text(one / 1000) < time_text(other / 1000)) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-31T09:00:00Z",
        "2025-01-31T09:00:00",
        " 2025-01-31 09:00 ",
        "2025-01-31T10:00:00+01:00",
        "2025-01-31T10:00:00 01:00",  # a + that a query string lost
        "20250131T090000Z",
    ],
)
def test_iso_8601_times_are_read_and_are_utc_without_an_offset(text):
    assert parse_time(text) == 1_738_314_000.0


@pytest.mark.parametrize("text", ["", "yesterday", "2025-13-01", "0001-01-01T00:00:00+23:59", "9" * 10_000, "12:00"])
def test_what_is_no_time_is_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match="expected 2025-01-31 or 2025-01-31T09:00:00Z") as caught:
        parse_time(text)
    assert len(str(caught.value)) < 200


def test_a_row_has_the_values_of_its_columns(record):
    call = record("r1", emergency=True)

    shown = dict(zip(CDR_COLUMNS, cdr_row(call), strict=True))

    for column in CDR_COLUMNS:
        value = getattr(call, column)
        if column.endswith("_at"):
            value = None if value is None else time_text(value)
        assert shown[column] == value
    assert shown["emergency"] == 1
    assert shown["disaster"] == 0


def test_an_attempts_row_has_the_values_of_its_columns():
    attempt = AttemptRecord(2, "carrier-b", "sip:b", "4155", 1.5, None, None, "no_reply", "id")

    assert dict(zip(ATTEMPT_COLUMNS, attempt_row("r1", attempt), strict=True)) == {
        "ref": "r1",
        "n": 2,
        "peer": "carrier-b",
        "server": "sip:b",
        "called_as_sent": "4155",
        "started_at": "1970-01-01T00:00:01.500Z",
        "ended_at": None,
        "sip_status": None,
        "cause": "no_reply",
        "call_id": "id",
    }


def test_columns_cover_every_field_of_the_records():
    assert set(CDR_COLUMNS) == set(CallRecord.__struct_fields__) - {"attempts"}
    assert set(ATTEMPT_COLUMNS) == set(AttemptRecord.__struct_fields__) | {"ref"}


def test_an_object_shows_media_as_data_and_attempts_without_the_ref(record):
    call = record("r1", media='{"ingress": [{"codec": "PCMU"}], "egress": []}')

    shown = cdr_object(cdr_row(call), [attempt_row("r1", attempt) for attempt in call.attempts])

    assert shown["media"] == {"ingress": [{"codec": "PCMU"}], "egress": []}
    assert [attempt["n"] for attempt in shown["attempts"]] == [1]
    assert "ref" not in shown["attempts"][0]


def test_media_that_is_no_json_is_shown_as_it_is(record):
    assert cdr_object(cdr_row(record("r1", media="{")))["media"] == "{"
    assert cdr_object(cdr_row(record("r1", media=None)))["media"] is None
