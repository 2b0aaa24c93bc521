"""The arithmetic, by the vectors of the RFCs."""

import hashlib

import pytest

from sbc.sip.auth.digest import Terms, algorithm_of, digest_response, octets

HTTP = Terms(
    "GET", "/dir/index.html", "http-auth@example.org", "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    qop="auth", nc="00000001", cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
)  # fmt: skip
JASON = ("Jäsøn Doe", "Secret, or not?")
DOE = Terms(
    "GET", "/doe.json", "api@example.org", "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
    algorithm="sha-512-256", qop="auth", nc="00000001", cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
)  # fmt: skip


def changed(terms, **changes):
    return Terms(**({name: getattr(terms, name) for name in terms.__struct_fields__} | changes))


def test_rfc_7616_example_with_md5():
    assert digest_response(HTTP, "Mufasa", "Circle of Life") == "8ca523f5e9506fed4657c9700eebdbec"


def test_rfc_7616_example_with_sha_256():
    terms = changed(HTTP, algorithm="sha-256")
    expected = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    assert digest_response(terms, "Mufasa", "Circle of Life") == expected


def test_rfc_7616_example_with_sha_512_256_as_corrected():
    """The RFC's own value is SHA-512 cut to 256 bits, which is another function (erratum 4897)."""

    def cut(text):
        return hashlib.sha512(text.encode()).hexdigest()[:64]

    ha1, ha2 = cut(f"{JASON[0]}:{DOE.realm}:{JASON[1]}"), cut("GET:/doe.json")
    printed = "ae66e67d6b427bd3f120414a82e4acff38e8ecd9101d6c861229025f607a79dd"
    assert cut(f"{ha1}:{DOE.nonce}:{DOE.nc}:{DOE.cnonce}:auth:{ha2}") == printed
    expected = "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert digest_response(DOE, *JASON) == expected


RFC_2617 = Terms(
    "GET", "/dir/index.html", "testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    qop="auth", nc="00000001", cnonce="0a4f113b",
)  # fmt: skip


def test_rfc_2617_example():
    assert digest_response(RFC_2617, "Mufasa", "Circle Of Life") == "6629fae49393a05397450978507c4ef1"


def test_rfc_2069_form_has_neither_count_nor_qop():
    """Erratum 749 of RFC 2069, whose own example has a wrong digest."""
    terms = Terms("GET", "/dir/index.html", "testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", nc="1")
    assert digest_response(terms, "Mufasa", "CircleOfLife") == "1949323746fe6a43ef61f9606e7febea"


def test_auth_int_hashes_the_body_and_an_empty_one_too():
    whole = changed(RFC_2617, qop="auth-int")
    with_body = changed(whole, body=b"v=0\r\n")
    ha1 = hashlib.md5(b"Mufasa:testrealm@host.com:Circle Of Life").hexdigest()
    for terms in (whole, with_body):
        body_hash = hashlib.md5(terms.body).hexdigest()
        ha2 = hashlib.md5(f"GET:/dir/index.html:{body_hash}".encode()).hexdigest()
        expected = hashlib.md5(f"{ha1}:{terms.nonce}:00000001:0a4f113b:auth-int:{ha2}".encode()).hexdigest()
        assert digest_response(terms, "Mufasa", "Circle Of Life") == expected


def test_a_session_hashes_the_key_with_both_nonces():
    terms = changed(RFC_2617, session=True)
    inner = hashlib.md5(b"Mufasa:testrealm@host.com:Circle Of Life").hexdigest()
    ha1 = hashlib.md5(f"{inner}:{terms.nonce}:0a4f113b".encode()).hexdigest()
    ha2 = hashlib.md5(b"GET:/dir/index.html").hexdigest()
    expected = hashlib.md5(f"{ha1}:{terms.nonce}:00000001:0a4f113b:auth:{ha2}".encode()).hexdigest()
    assert digest_response(terms, "Mufasa", "Circle Of Life") == expected


@pytest.mark.parametrize(
    ("token", "known"),
    [
        (None, ("md5", False)), ("MD5", ("md5", False)), ("md5-SESS", ("md5", True)), ("SHA-256", ("sha-256", False)),
        ("sha-512-256", ("sha-512-256", False)), ("SHA-512-256-sess", ("sha-512-256", True)),
        ("AKAv1-MD5", None), ("SHA-1", None), ("", None), ("-sess", None),
    ],
)  # fmt: skip
def test_algorithms_are_known_by_their_tokens(token, known):
    assert algorithm_of(token) == known


def test_octets_that_are_no_utf8_are_hashed_as_they_came():
    assert octets(b"caf\xe9".decode("utf-8", "surrogateescape")) == b"caf\xe9"
