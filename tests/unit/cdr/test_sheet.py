"""CSV of call records: RFC 4180, nothing in it that a spreadsheet runs, and all of it can be had back."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.cdr import sheet
from sbc.cdr.format import cdr_object, cdr_row

MEDIA = (
    '{"ingress":[{"codec":"PCMA","packets":100,"lost":1,"jitter_ms":1.0,"jitter_max_ms":5.0,"mos":4.1},'
    '{"codec":"T38","packets":7,"lost":null,"jitter_ms":null,"mos":null}],"egress":[],"one_way":"egress"}'
)


def shown(record, **changes):
    return cdr_object(cdr_row(record("r1", **changes)), [("r1", 1, "carrier-a", "s", "1", "t", None, 486, "busy", "x")])


def read(lines):
    return list(csv.DictReader(io.StringIO("".join(lines), newline="")))


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1+1",
        "-1",
        "@SUM(A1)",
        "+49\t30",
        "+",
        "++49",
        "'quoted",
        "  =1",
        "\uff1d1+1",
        "\uff0b1+1",
        "\uff0d1",
        "\uff20SUM(A1)",
    ],
)
def test_a_cell_that_a_spreadsheet_would_run_begins_with_an_apostrophe(text):
    assert sheet.defused(text).startswith("'")


@pytest.mark.parametrize("text", ["+4930123456", "110", "office", "a=b", "", "sip:x@y"])
def test_a_telephone_number_and_plain_text_stay_as_they_are(text):
    assert sheet.defused(text) == text


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\t=1", "\\t=1"),
        ("a\x00b", "a\\x00b"),
        ("a\r\nb", "a\\r\\nb"),
        ("\u202eevil", "\\u202eevil"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_control_and_invisible_characters_are_written_as_escapes(text, safe):
    assert sheet.defused(text) == safe


def test_no_cell_begins_where_another_separator_is_used():
    assert sheet.defused('a;=1+1;b; "@x') == 'a\\x3b=1+1;b\\x3b "@x'
    assert sheet.defused("a;\uff1d1") == "a\\x3b\uff1d1"


@given(st.text())
def test_nothing_begins_as_a_formula_and_nothing_invisible_is_left(text):
    found = sheet.defused(text)

    assert found.isprintable()
    assert not found.startswith(("=", "-", "@", "\t", "\r"))
    assert not found.startswith("+") or found[1:].isdigit()


@given(st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=";")))
def test_one_apostrophe_taken_away_gives_the_text_again(text):
    assert sheet.defused(text).removeprefix("'") == text or not text.startswith(("'", "=", "+", "-", "@"))
    assert sheet.defused(text) == text or sheet.defused(text)[1:] == text


def test_a_call_is_a_line_with_its_media_flattened(record):
    (row,) = read(sheet.calls([shown(record, media=MEDIA)]))

    assert (row["ref"], row["caller"], row["emergency"]) == ("r1", "+14155550100", "0")
    assert [row[f"ingress_{name}"] for name in ("codec", "packets", "lost", "jitter_max_ms", "mos")] == [
        "PCMA T38", "107", "1", "5.0", "4.1",
    ]  # fmt: skip
    assert (row["egress_packets"], row["one_way"]) == ("", "egress")


@pytest.mark.parametrize("media", [None, "no json", "[]", '{"ingress":[1],"egress":{}}'])
def test_media_that_is_none_is_empty_cells(media, record):
    (row,) = read(sheet.calls([shown(record, media=media)]))

    assert row["ingress_packets"] == ""


def test_a_line_per_attempt(record):
    (row,) = read(sheet.attempts([shown(record)]))

    assert (row["ref"], row["n"], row["peer"], row["sip_status"]) == ("r1", "1", "carrier-a", "486")


def test_lines_end_as_rfc_4180_has_it_and_cells_are_quoted_where_they_must_be(record):
    header, line = sheet.calls([shown(record, caller='a,"b"')])

    assert header.startswith("ref,ingress,egress,")
    assert header.endswith("\r\n")
    assert ',"a,""b""",' in line


def test_raw_leaves_every_cell_as_it_is(record):
    (row,) = read(sheet.calls([shown(record, caller="=1\r\n\x07")], raw=True))

    assert row["caller"] == "=1\r\n\x07"


def test_no_record_is_a_header():
    assert len(list(sheet.calls([]))) == 1
