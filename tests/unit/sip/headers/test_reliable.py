"""RSeq and RAck (RFC 3262 §7): what can be read is read, and what is printed is read the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.sip.headers.reliable import RAck, parse_rack, rseq_of
from sbc.sip.message import Response


@pytest.mark.parametrize(
    ("text", "rack"),
    [
        ("776656 1 INVITE", RAck(776656, 1, "INVITE")),
        ("1\t  2 \tINVITE", RAck(1, 2, "INVITE")),
        ("1 2 invite", RAck(1, 2, "invite")),
        ("0 2 INVITE", RAck(0, 2, "INVITE")),
        ("4294967295 2147483647 INVITE", RAck(2**32 - 1, 2**31 - 1, "INVITE")),
        ("4294967296 1 INVITE", None),
        ("1 4294967296 INVITE", None),
        ("1 INVITE", None),
        ("1 2", None),
        ("-1 2 INVITE", None),
        ("1 2 INVITE x", None),
        ("٣ 2 INVITE", None),
        ("", None),
        ("9" * 8000 + " 2 INVITE", None),
    ],
)
def test_rack_is_read_or_is_not_there(text, rack):
    assert parse_rack(text) == rack


@given(st.builds(RAck, st.integers(1, 2**32 - 1), st.integers(0, 2**31 - 1), st.sampled_from(["INVITE", "X-y.1"])))
def test_what_is_printed_of_a_rack_is_read_the_same(rack):
    assert parse_rack(str(rack)) == rack


@pytest.mark.parametrize(
    ("value", "rseq"),
    [
        ("988789", 988789), ("1", 1), ("0", 0), ("4294967295", 2**32 - 1), ("4294967296", None), ("9" * 8000, None),
        ("-1", None), ("1.5", None), ("", None), ("1 2", None), ("²", None),
    ],
)  # fmt: skip
def test_rseq_is_a_number_of_32_bits(value, rseq):
    assert rseq_of(Response(183, "x", (("RSeq", value),))) == rseq


def test_a_response_without_rseq_has_none():
    assert rseq_of(Response(183, "x", ())) is None
