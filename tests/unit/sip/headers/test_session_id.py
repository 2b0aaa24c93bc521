"""Session-ID (RFC 7989 §5), of the old kind too (§11)."""
# RFC: 7989

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.sip.headers.session_id import NIL, SessionId, parse_session_id

A = "ab30317f1a784dc48ff824d0d3715d86"
B = "47755a9de7794ba387653f2099600ef2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"{A};remote={B}", SessionId(A, B)),
        (f"{A};remote={NIL}", SessionId(A, NIL)),
        (f"{NIL};remote={A}", SessionId(NIL, A)),
        (f" {A} ;\tremote = {B} ; x=y", SessionId(A, B)),
        (f"{A.upper()};REMOTE={B.upper()}", SessionId(A, B)),
        (A, SessionId(A)),
        (f"{A};x=y", SessionId(A)),
        (f"{A};remote", SessionId(A)),
        (f"{A};remote={B[:-1]}", None),
        (f"{A};remote={B}0", None),
        (f'{A};remote="{B}"', None),
        (f"{A};remote={A};remote={B}", None),
        (f"{A[:-1]};remote={B}", None),
        (f"{A}0", None),
        (A.replace("a", "g"), None),
        (A.replace("0", "٠"), None),
        (f"{A},{B}", None),
        (f"{A};", None),
        ("", None),
    ],
)
def test_a_session_id_is_read_or_is_not_there(text, value):
    assert parse_session_id(text) == value


_UUIDS = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.builds(SessionId, _UUIDS, st.none() | _UUIDS))
def test_what_is_printed_is_read_the_same(value):
    assert parse_session_id(str(value)) == value


@given(st.text('0af;=remot" ,', max_size=80))
def test_garbage_never_raises(text):
    parse_session_id(text)
