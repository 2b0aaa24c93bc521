"""Challenges and credentials as text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.sip.headers.credentials import AuthValue, digests_in, parse_auth
from sbc.sip.message import Response
from sbc.sip.scan import quoted


def one(text):
    (value,) = parse_auth(text)
    return value


def test_a_plain_challenge_is_read_quoted_or_not():
    value = one('Digest realm="a.example", nonce="n1", algorithm=MD5, stale=TRUE, qop="auth,auth-int", nc=00000001')
    assert value.is_digest
    assert [value.value(name) for name in ("realm", "nonce", "algorithm", "stale", "qop", "nc", "opaque")] == [
        "a.example", "n1", "MD5", "TRUE", "auth,auth-int", "00000001", None,
    ]  # fmt: skip


def test_values_are_kept_verbatim_and_read_without_escapes():
    value = one(r'Digest realm="a \"b\" \c", nonce="x,y=z"')
    assert value.raw("realm") == r'"a \"b\" \c"'
    assert value.value("realm") == 'a "b" c'
    assert value.value("nonce") == "x,y=z"
    assert str(value) == r'Digest realm="a \"b\" \c", nonce="x,y=z"'


def test_names_and_scheme_may_be_in_any_case_and_blanks_anywhere():
    value = one('  DIGEST\tREALM = "r" ,\tNonce="n",, OPAQUE="" , ')
    assert value.is_digest
    assert value.params == (("realm", '"r"'), ("nonce", '"n"'), ("opaque", '""'))


def test_two_challenges_in_one_field_are_two():
    first, second = parse_auth('Digest realm="r", nonce="1", algorithm=SHA-256, Digest realm="r", nonce="2"')
    assert first.value("algorithm") == "SHA-256"
    assert (second.value("nonce"), second.value("algorithm")) == ("2", None)


def test_only_digest_counts_in_the_order_of_the_fields():
    fields = (
        ("WWW-Authenticate", "Negotiate"),
        ("WWW-Authenticate", "Basic dXNlcjpwYXNz=="),
        ("WWW-Authenticate", 'Basic realm="r"'),
        ("WWW-Authenticate", 'Digest realm="r", nonce="1"'),
        ("Proxy-Authenticate", 'Digest realm="r", nonce="p"'),
        ("WWW-Authenticate", 'Digest realm="r", nonce="2"'),
    )
    values = digests_in(Response(401, "", fields), "WWW-Authenticate")
    assert [value.value("nonce") for value in values] == ["1", "2"]


@pytest.mark.parametrize(
    "text",
    [
        "", "Digest", "Digest ", "Negotiate", 'realm="r"', 'Digest realm="r', 'Digest realm="r\\"',
        "Digest realm", "Digest =x", 'Digest realm="r" nonce="n"', 'Digest realm="a", realm="b"', "Digest realm=a b",
        'Digest realm="a"x, nonce="n"', "Digest \x00=1", ",", "é=1",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_no_challenge(text):
    assert parse_auth(text) == []


def test_a_parameter_said_twice_alike_counts_once():
    assert one('Digest realm="a", realm="a"').params == (("realm", '"a"'),)


@pytest.mark.parametrize("piece", ['"', ",", "a ", "a=", 'a="\\', "a,", "=", 'Digest a="', "a=b c"])
def test_reading_takes_time_in_proportion_to_length(piece):
    text = "Digest " + piece * 200_000
    started = time.perf_counter()
    parse_auth(text)
    assert time.perf_counter() - started < 2.0


@given(st.text(max_size=60))
def test_garbage_never_raises(text):
    parse_auth(text)
    parse_auth(f"Digest {text}")
    parse_auth(f'Digest realm="{text}')


tokens = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.!%*+`'~", min_size=1, max_size=8)
values = st.one_of(tokens, st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20).map(quoted))


@given(tokens, st.dictionaries(tokens, values, min_size=1, max_size=6))
def test_what_is_printed_is_read_again(scheme, params):
    value = AuthValue(scheme, tuple(params.items()))
    assert parse_auth(str(value)) == [value]
