"""Bodies of several parts, taken apart and put together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core import limits
from sbc.sip.errors import ParseError
from sbc.sip.multipart import SDP, Part, is_multipart, join, parts_of, session_of, with_session

MIXED = "multipart/mixed;boundary=b1"
LOCATION = Part((("Content-Type", "application/pidf+xml"), ("Content-ID", "<alice@example.com>")), b"<presence/>")
DESCRIPTION = Part((("Content-Type", SDP),), b"v=0\r\n")


def _body(*parts, boundary=b"b1"):
    return b"".join([b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts]) + b"--" + boundary + b"--\r\n"


def test_parts_have_their_own_fields_and_octets():
    body = _body(b"Content-Type: application/sdp\r\n\r\nv=0\r\n", b"content-type: text/plain\r\n\r\n--b\r\nx")
    assert parts_of(body, MIXED) == (
        Part((("Content-Type", "application/sdp"),), b"v=0\r\n"),
        Part((("Content-Type", "text/plain"),), b"--b\r\nx"),
    )


def test_what_stands_before_the_first_and_after_the_last_part_is_no_part():
    body = b"This is MIME.\r\n" + _body(b"\r\nx") + b"the end\r\n--b1\r\nnot a part"
    assert parts_of(body, MIXED) == (Part((), b"x"),)


@pytest.mark.parametrize(
    "content_type",
    [
        'Multipart/Mixed; boundary="b1"',
        "multipart/mixed;charset=utf-8; boundary=b1",
        "multipart / related;type=application/sdp;boundary=b1",
    ],
)
def test_the_boundary_is_found(content_type):
    assert is_multipart(content_type)
    assert len(parts_of(_body(b"\r\nx"), content_type)) == 1


def test_a_boundary_line_may_be_padded_and_a_field_folded():
    body = b"--b1 \t\r\nContent-Type: application/sdp;\r\n x=y\r\n\r\nv=0\r\n--b1--"
    (part,) = parts_of(body, MIXED)
    assert part.fields == (("Content-Type", "application/sdp; x=y"),)
    assert part.content_type == SDP


def test_parts_within_a_part_stay_whole():
    inner = b"Content-Type: multipart/alternative;boundary=c\r\n\r\n" + _body(b"\r\nx", b"\r\ny", boundary=b"c")
    parts = parts_of(_body(inner, b"\r\nz"), MIXED)
    assert [part.content_type for part in parts] == ["multipart/alternative", "text/plain"]
    assert parts[0].body.count(b"--c") == 3


def test_any_other_body_is_one_part():
    assert parts_of(b"v=0\r\n", SDP) == (DESCRIPTION,)
    assert not is_multipart(SDP)
    assert not is_multipart(None)


# BOUND: BODY_PARTS, BODY_PART_HEADER_OCTETS
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/mixed", _body(b"\r\nx")),
        ("multipart/mixed;boundary=", _body(b"\r\nx")),
        ('multipart/mixed;boundary="b1 "', _body(b"\r\nx")),
        ("multipart/mixed;boundary=" + "b" * 71, _body(b"\r\nx")),
        ("multipart/mixed;boundary=b1;boundary=b2", _body(b"\r\nx")),
        (MIXED, b""),
        (MIXED, b"--b1\r\n\r\nx"),
        (MIXED, _body(b"no colon\r\n\r\nx")),
        (MIXED, _body(b"Bad Name: y\r\n\r\nx")),
        (MIXED, b"--b1x\r\n\r\ny\r\n--b1--"),
        (MIXED, _body(b"X: " + b"y" * limits.BODY_PART_HEADER_OCTETS + b"\r\n\r\nx")),
        (MIXED, _body(*[b"\r\nx"] * (limits.BODY_PARTS + 2))),
    ],
)
def test_what_is_not_what_it_says_is_refused(content_type, body):
    with pytest.raises(ParseError):
        parts_of(body, content_type)


# BOUND: BODY_PARTS
def test_as_many_parts_as_are_allowed_are_read():
    assert len(parts_of(_body(*[b"\r\nx"] * limits.BODY_PARTS), MIXED)) == limits.BODY_PARTS


def test_a_session_description_is_found_and_exchanged_for_ours():
    parts = (LOCATION, DESCRIPTION)
    assert session_of(parts) == b"v=0\r\n"
    assert with_session(parts, b"v=0\r\no=sbc\r\n") == (LOCATION, Part((("Content-Type", SDP),), b"v=0\r\no=sbc\r\n"))


def test_a_session_description_is_added_where_there_is_none():
    assert session_of((LOCATION,)) == b""
    assert with_session((LOCATION,), b"v=0\r\n") == (DESCRIPTION, LOCATION)


def test_a_description_that_is_merely_carried_along_is_not_the_session():
    carried = Part((("Content-Type", SDP), ("Content-Disposition", "attachment; handling=optional")), b"v=1\r\n")
    assert session_of((carried, DESCRIPTION)) == b"v=0\r\n"


@given(
    st.lists(st.binary(max_size=200).filter(lambda octets: b"--0f0f" not in octets), min_size=1, max_size=5),
)
def test_what_is_joined_comes_apart_the_same(bodies):
    parts = tuple(Part((("Content-Type", "application/octet-stream"),), body) for body in bodies)
    content_type, body = join(parts, "0f0f")
    assert parts_of(body, content_type) == parts


@given(st.binary(max_size=300))
def test_no_octets_do_more_than_be_refused(octets):
    for body in (octets, b"--b1\r\n" + octets, _body(octets)):
        try:
            parts_of(body, MIXED)
        except ParseError:
            continue
