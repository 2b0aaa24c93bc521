"""The report against a naive one: what counts, and how many call paths were held at once."""

import datetime as dt
import math
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.cdr import report as reporting
from sbc.cdr.record import AttemptRecord
from sbc.cdr.report import Leg, leg_of, make_report
from sbc.cdr.store import CdrReader, CdrWriter

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR = 60_000, 3_600_000
DAY = 24 * HOUR


def at(text):
    return round(dt.datetime.fromisoformat(text).timestamp() * 1000)


NOON = at("2025-01-31T12:00:00Z")


def leg(start=NOON, end=NOON + MINUTE, peer="t", direction="outbound", **changes):
    fields = {
        "answered_at": start,
        "billable_ms": end - start,
        "emergency": False,
        "disaster": False,
        "held": True,
        "counts": True,
    }
    return Leg(peer=peer, direction=direction, started_at=start, ended_at=end, **(fields | changes))


def report(*legs, since=NOON - DAY, until=NOON + DAY, zone=UTC, **more):
    return make_report(sorted(legs, key=lambda one: one.started_at), since, until, zone, **more)


def row(*legs, **more):
    (found,) = report(*legs, **more).rows
    return found


# --- what counts ------------------------------------------------------------------------------------------------------


def test_calls_and_answered_ones_make_the_answer_seizure_ratio():
    found = row(leg(), leg(answered_at=None, billable_ms=0), leg(answered_at=None, billable_ms=0))

    assert (found.calls, found.answered, found.asr_percent) == (3, 1, 33.3)


def test_minutes_are_each_calls_seconds_rounded_up_and_summed():
    found = row(leg(billable_ms=60_001), leg(billable_ms=1), leg(billable_ms=0))

    assert found.minutes == round((61 + 1) / 60, 2)
    assert found.minutes_started == 2 + 1
    assert found.acd_seconds == 20.0


def test_without_an_answer_there_is_no_average():
    found = row(leg(answered_at=None, billable_ms=0))

    assert (found.asr_percent, found.acd_seconds, found.minutes) == (0.0, None, 0.0)


def test_a_call_stands_on_the_day_of_its_answer_and_one_without_on_that_of_its_beginning():
    midnight = at("2025-02-01T00:00:00Z")
    answered = leg(midnight - 5_000, midnight + MINUTE, answered_at=midnight + 3_000)
    refused = leg(midnight - 5_000, midnight + MINUTE, answered_at=None)

    rows = report(answered, refused).rows

    assert [(one.day, one.calls, one.answered) for one in rows] == [("2025-01-31", 1, 0), ("2025-02-01", 1, 1)]


def test_a_call_of_before_is_not_counted_but_its_path_is_held():
    found = row(leg(NOON - MINUTE, NOON + MINUTE), since=NOON)

    assert (found.calls, found.peak_paths, found.peak_at) == (0, 1, "2025-01-31T12:00:00.000Z")


def test_a_leg_that_another_one_counts_for_holds_its_path_all_the_same():
    found = row(leg(answered_at=None, counts=False), leg())

    assert (found.calls, found.answered, found.peak_paths) == (1, 1, 2)


def test_emergencies_and_disasters_are_counted():
    found = row(leg(emergency=True), leg(disaster=True), leg(disaster=True))

    assert (found.emergency, found.disaster) == (1, 2)


def test_pbxs_are_left_out_by_name():
    assert [one.trunk for one in report(leg(), leg(peer="pbx"), without={"pbx"}).rows] == ["t"]


def test_totals_have_both_directions_and_their_sum():
    found = report(leg(direction="inbound"), leg(), leg(NOON + HOUR, NOON + HOUR + MINUTE))

    assert [(one.direction, one.calls, one.peak_paths, one.trunk_peak_paths) for one in found.totals] == [
        ("inbound", 1, 1, 2),
        ("outbound", 2, 1, 2),
        ("both", 3, 2, 2),
    ]
    assert {one.day for one in found.totals} == {None}


def test_no_call_is_no_row():
    assert (report().rows, report().totals) == ([], [])


def test_a_report_has_a_bound(monkeypatch):
    monkeypatch.setattr(reporting, "ROWS", 2)

    with pytest.raises(ValueError, match="ask for less time"):
        report(*(leg(peer=f"t{n}") for n in range(3)))


# --- call paths -------------------------------------------------------------------------------------------------------


def test_one_that_ends_in_the_moment_another_begins_makes_room_for_it():
    assert row(leg(NOON, NOON + 1), leg(NOON + 1, NOON + 2)).peak_paths == 1


def test_one_that_ends_as_the_time_begins_holds_nothing_in_it():
    (found,) = report(leg(NOON - HOUR, NOON + HOUR), leg(NOON - HOUR, NOON), since=NOON, until=NOON + DAY).rows
    assert (found.peak_paths, found.busy_hour_paths) == (1, 1)


def test_what_was_refused_at_the_door_holds_no_path():
    assert row(leg(held=False)).peak_paths == 0


def test_a_trunks_peak_is_of_both_directions_at_once():
    rows = report(leg(direction="inbound"), leg(), leg(NOON + HOUR, NOON + HOUR + 1)).rows

    peaks = [(one.direction, one.peak_paths, one.trunk_peak_paths) for one in rows]
    assert peaks == [("inbound", 1, 2), ("outbound", 1, 2)]


def test_a_path_that_is_held_over_midnight_is_held_on_both_days():
    midnight = at("2025-02-01T00:00:00Z")

    rows = report(leg(midnight - MINUTE, midnight + MINUTE, answered_at=None)).rows

    assert [(one.day, one.peak_paths, one.calls) for one in rows] == [("2025-01-31", 1, 1), ("2025-02-01", 1, 0)]
    assert rows[1].peak_at == "2025-02-01T00:00:00.000Z"


def test_the_busy_hour_has_the_most_traffic_not_the_highest_peak():
    short = [leg(NOON, NOON + 1_000) for _ in range(5)]
    long = leg(NOON + HOUR, NOON + 2 * HOUR)

    found = row(*short, long)

    assert (found.peak_paths, found.peak_at) == (5, "2025-01-31T12:00:00.000Z")
    assert (found.busy_hour, found.busy_hour_paths) == ("2025-01-31T13:00:00.000Z", 1)


# --- days of a time zone ----------------------------------------------------------------------------------------------


def test_days_are_those_of_the_zone():
    late = at("2025-01-31T23:30:00Z")

    assert row(leg(late, late + 1)).day == "2025-01-31"
    assert row(leg(late, late + 1), zone=BERLIN).day == "2025-02-01"


def test_the_day_on_which_the_clock_is_put_back_has_25_hours_and_two_of_one_name():
    day = at("2025-10-26T00:00:00+02:00")
    legs = [leg(day + n * HOUR, day + n * HOUR + 1) for n in range(25)]

    found = row(*legs, since=day, until=day + 25 * HOUR, zone=BERLIN)
    again = row(*legs, leg(day + 3 * HOUR, day + 3 * HOUR + 1), since=day, until=day + 25 * HOUR, zone=BERLIN)

    assert (found.day, found.calls) == ("2025-10-26", 25)
    assert again.busy_hour == "2025-10-26T01:00:00.000Z"  # the second 02:00


def test_the_day_on_which_the_clock_is_put_forward_has_23_hours():
    day = at("2025-03-30T00:00:00+01:00")

    rows = report(
        *(leg(day + n * HOUR, day + n * HOUR + 1) for n in range(24)), since=day, until=day + DAY, zone=BERLIN
    )

    assert [(one.day, one.calls) for one in rows.rows] == [("2025-03-30", 23), ("2025-03-31", 1)]


# --- against a naive one ----------------------------------------------------------------------------------------------

ZONES = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Santiago", "America/St_Johns"]
AROUND_CHANGES = [
    at(f"2025-{day}T00:00:00Z") for day in ("03-30", "04-05", "04-06", "09-07", "10-05", "10-26", "11-02")
]
QUARTER = 15 * MINUTE


@st.composite
def some_legs(draw):
    base = draw(st.sampled_from(AROUND_CHANGES))
    moments = st.integers(-100, 200).map(lambda n: base + n * QUARTER) | st.integers(base - DAY, base + 2 * DAY)
    legs = []
    for _ in range(draw(st.integers(0, 12))):
        start = draw(moments)
        length = draw(st.sampled_from([0, 1, QUARTER, HOUR, DAY]) | st.integers(0, DAY))
        answered = draw(st.none() | st.integers(0, length))
        legs.append(
            leg(
                start,
                start + length,
                peer=draw(st.sampled_from("ab")),
                direction=draw(st.sampled_from(["inbound", "outbound"])),
                answered_at=None if answered is None else start + answered,
                billable_ms=0 if answered is None else length - answered,
                held=draw(st.booleans()),
                counts=draw(st.booleans()),
            )
        )
    since = draw(moments)
    return legs, since, since + draw(st.integers(1, 3 * DAY)), ZoneInfo(draw(st.sampled_from(ZONES)))


def day_of(moment, zone):
    return dt.datetime.fromtimestamp(moment / 1000, zone).date().isoformat()


def naive_peaks(legs, since, until, zone):
    """By day. What is held can only become more where a leg begins, where the time begins, and where a day does."""
    midnights = {m for m in range(since - since % QUARTER, until, QUARTER) if day_of(m, zone) != day_of(m - 1, zone)}
    moments = {since} | {one.started_at for one in legs} | midnights
    peaks = {}
    for moment in sorted(m for m in moments if since <= m < until):
        paths = sum(one.started_at <= moment < one.ended_at for one in legs)
        day = day_of(moment, zone)
        if paths > peaks.get(day, (0, 0))[0]:
            peaks[day] = (paths, moment)
    return peaks


@given(some_legs())
def test_peaks_and_counts_are_those_of_a_naive_report(drawn):
    legs, since, until, zone = drawn
    found = report(*legs, since=since, until=until, zone=zone)

    for peer, direction in {(one.peer, one.direction) for one in legs}:
        mine = [one for one in legs if (one.peer, one.direction) == (peer, direction)]
        rows = {one.day: one for one in found.rows if (one.trunk, one.direction) == (peer, direction)}
        counted = {}
        for one in mine:
            moment = one.started_at if one.answered_at is None else one.answered_at
            if one.counts and since <= moment < until:
                counted.setdefault(day_of(moment, zone), []).append(one)
        for day, ours in counted.items():
            answered = [one for one in ours if one.answered_at is not None]
            seconds = [math.ceil(one.billable_ms / 1000) for one in answered]
            assert (rows[day].calls, rows[day].answered) == (len(ours), len(answered))
            assert rows[day].minutes == round(sum(seconds) / 60, 2)
            assert rows[day].minutes_started == sum(math.ceil(one / 60) for one in seconds)
        held = [one for one in mine if one.held]
        # One that ends as it begins, or as the time does, was held for that moment: the naive one does not see it.
        if all(one.ended_at > max(one.started_at, since) or one.ended_at < since for one in held):
            peaks = naive_peaks(held, since, until, zone)
            shown = {day: (one.peak_paths, at(one.peak_at)) for day, one in rows.items() if one.peak_paths}
            assert shown == peaks
    for before, after in pairwise(found.rows):
        assert (before.day, before.trunk, before.direction) < (after.day, after.trunk, after.direction)


# --- from the store ---------------------------------------------------------------------------------------------------


def legs_of(folder, *records, trunk=None):
    with CdrWriter.open(folder) as writer:
        writer.write(records)
    with CdrReader.open(folder) as reader:
        return list(reader.legs(0.0, 4e9, trunk))


def test_the_answered_attempt_holds_its_path_until_the_call_ends_and_the_others_until_their_own_end(
    tmp_path, record, epoch
):
    attempts = (
        AttemptRecord(1, "carrier-a", "s1", "1", epoch, epoch + 4, None, "no_reply", "x"),
        AttemptRecord(2, "carrier-a", "s2", "1", epoch + 4, epoch + 5, 503, "failed", "x"),
        AttemptRecord(3, "carrier-b", "s3", "1", epoch + 5, epoch + 6, 200, "normal", "x"),
    )
    legs = legs_of(tmp_path, record("r", egress="carrier-b", attempts=attempts))
    start = round(epoch * 1000)

    assert [
        (one.peer, one.direction, one.started_at - start, one.ended_at - start, one.billable_ms, one.counts)
        for one in legs
    ] == [
        ("carrier-a", "outbound", 0, 4_000, 0, False),
        ("office", "inbound", 0, 65_500, 60_250, True),
        ("carrier-a", "outbound", 4_000, 5_000, 0, True),
        ("carrier-b", "outbound", 5_000, 65_500, 60_250, True),
    ]


def test_a_call_through_one_trunk_in_and_out_counts_on_both_directions(tmp_path, record):
    found = legs_of(tmp_path, record("r", ingress="carrier-a"), trunk="carrier-a")

    assert [one.direction for one in found] == ["inbound", "outbound"]


def test_a_call_that_was_refused_at_the_door_is_no_held_path(tmp_path, record):
    refused = record("r", egress=None, answered_at=None, billable_ms=0, attempts=(), cause="paths_full")

    assert [one.held for one in legs_of(tmp_path, refused)] == [False]


def test_a_call_that_a_telephone_took_over_without_an_attempt_is_held(tmp_path, record):
    assert [one.held for one in legs_of(tmp_path, record("r", egress=None, attempts=()))] == [True]


@pytest.mark.parametrize("wrong", [{2: "yesterday"}, {3: None}, {5: "x"}])
def test_a_row_that_makes_no_sense_is_left_out(wrong):
    row = ["t", "inbound", "2025-01-31T12:00:00.000Z", "2025-01-31T12:00:01.000Z", None, 0, 0, 0, 1, 1]
    assert leg_of(row) is not None
    for place, value in wrong.items():
        row[place] = value

    assert leg_of(row) is None


def test_a_clock_that_was_set_back_makes_no_call_end_before_it_began():
    row = ["t", "inbound", "2025-01-31T12:00:00.000Z", "2025-01-31T11:00:00.000Z", None, 0, 0, 0, 1, 1]

    assert leg_of(row).ended_at == leg_of(row).started_at == NOON
