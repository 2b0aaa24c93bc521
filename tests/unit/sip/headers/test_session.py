"""Session-Expires and Min-SE (RFC 4028 §4, §5): read leniently, printed strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.sip.headers.session import LARGEST_DELTA, SessionExpires, min_se_of, parse_session_expires, session_expires_of
from sbc.sip.message import Request


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1800", SessionExpires(1800)),
        ("1800;refresher=uac", SessionExpires(1800, "uac")),
        ("1800 ; refresher = UAS ; x=y", SessionExpires(1800, "uas")),
        ('1800;refresher="uas"', SessionExpires(1800, "uas")),
        ("1800;refresher", SessionExpires(1800)),
        ("1800;refresher=proxy", SessionExpires(1800)),
        ("0", SessionExpires(0)),
        ("00090", SessionExpires(90)),
        ("4294967296", SessionExpires(LARGEST_DELTA)),
        ("9" * 8000, SessionExpires(LARGEST_DELTA)),
        ("0" * 8000 + "90", SessionExpires(90)),
        ("1800;refresher=uac;refresher=uas", None),
        ("1800;", None),
        ("1800;;", None),
        ("-1", None),
        ("1800.5", None),
        ("1800, 90", None),
        ("٣", None),
        ("", None),
        (";refresher=uac", None),
    ],
)
def test_an_interval_is_read_or_is_not_there(text, value):
    assert parse_session_expires(text) == value


@given(st.builds(SessionExpires, st.integers(0, LARGEST_DELTA), st.sampled_from([None, "uac", "uas"])))
def test_what_is_printed_of_an_interval_is_read_the_same(value):
    assert parse_session_expires(str(value)) == value


@given(st.text('0123456789;=refshuac" \t,', max_size=60))
def test_garbage_never_raises(text):
    parse_session_expires(text)
    min_se_of(Request("INVITE", "sip:x@y", (("Min-SE", text),)))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("120;x=y", 120), ("5", 5), ("9" * 40, LARGEST_DELTA), ("x", None), ("", None)]
)
def test_min_se_is_read_as_it_stands(text, seconds):
    assert min_se_of(Request("INVITE", "sip:x@y", (("Min-SE", text),))) == seconds


def test_what_is_absent_is_none():
    request = Request("INVITE", "sip:x@y", ())
    assert min_se_of(request) is None
    assert session_expires_of(request) is None
