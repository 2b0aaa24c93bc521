"""Answers to challenges: which are given, with what in them, and when there is none."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core import limits
from sbc.sip.auth.client import Authenticator, credentials_of
from sbc.sip.headers.credentials import digests_in
from sbc.sip.headers.cseq import LARGEST_CSEQ
from sbc.sip.message import Request
from sbc.testing.build import request, response_to
from sbc.testing.seeds import seeded_ids

WWW, PROXY = "WWW-Authenticate", "Proxy-Authenticate"
INVITE = request("INVITE", sdp=True, cseq=7, fields=(("User-Agent", "x"),))


def client(username="acme", password="s3cret"):
    return Authenticator(username, password, seeded_ids())


def challenge(*challenges, status=401, header=WWW, to=INVITE):
    return response_to(to, status, fields=tuple([(header, text) for text in challenges]))


def digest(realm="carrier.example", nonce="n1", algorithm="MD5", qop='"auth"', **more):
    params = {"realm": f'"{realm}"', "nonce": f'"{nonce}"', "algorithm": algorithm, "qop": qop} | more
    return "Digest " + ", ".join(f"{name}={value}" for name, value in params.items() if value is not None)


def sent(again, header="Authorization"):
    (value,) = digests_in(again, header)
    return value


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def test_the_request_goes_again_with_credentials_and_the_next_number():
    again = client().answer(challenge(digest(opaque='"o,p"')), INVITE, 0)
    assert again.cseq.number == 8
    assert again.cseq.method == "INVITE"
    assert again.body == INVITE.body
    assert [f for f in again.fields if f[0] not in ("CSeq", "Authorization")] == [
        f for f in INVITE.fields if f[0] != "CSeq"
    ]
    value = sent(again)
    cnonce = value.value("cnonce")
    expected = md5(f"{md5('acme:carrier.example:s3cret')}:n1:00000001:{cnonce}:auth:{md5(f'INVITE:{INVITE.uri_text}')}")
    assert len(cnonce) >= 16
    assert dict(value.params) == {
        "username": '"acme"', "realm": '"carrier.example"', "nonce": '"n1"', "uri": f'"{INVITE.uri_text}"',
        "response": f'"{expected}"', "algorithm": "MD5", "opaque": '"o,p"', "qop": "auth", "nc": "00000001",
        "cnonce": f'"{cnonce}"',
    }  # fmt: skip


def test_a_407_is_answered_to_the_proxy():
    again = client().answer(challenge(digest(), status=407, header=PROXY), INVITE, 0)
    assert sent(again, "Proxy-Authorization").value("realm") == "carrier.example"
    assert again.header("Authorization") is None


def test_without_qop_the_form_is_that_of_rfc_2069():
    value = sent(client().answer(challenge(digest(qop=None, algorithm=None)), INVITE, 0))
    assert {"qop", "nc", "cnonce", "algorithm"}.isdisjoint(dict(value.params))
    ha2 = md5(f"INVITE:{INVITE.uri_text}")
    assert value.value("response") == md5(f"{md5('acme:carrier.example:s3cret')}:n1:{ha2}")


def test_auth_int_is_used_only_where_nothing_else_is_offered():
    both = sent(client().answer(challenge(digest(qop='"auth-int, auth"')), INVITE, 0))
    alone = sent(client().answer(challenge(digest(qop='"auth-int"')), INVITE, 0))
    assert both.value("qop") == "auth"
    assert alone.value("qop") == "auth-int"
    ha2 = md5(f"INVITE:{INVITE.uri_text}:{hashlib.md5(INVITE.body).hexdigest()}")
    cnonce = alone.value("cnonce")
    expected = md5(f"{md5('acme:carrier.example:s3cret')}:n1:00000001:{cnonce}:auth-int:{ha2}")
    assert alone.value("response") == expected


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (("MD5", "SHA-256"), "MD5"),
        (("SHA-512-256", "SHA-256", "MD5"), "SHA-512-256"),
        (("AKAv2-MD5", "SHA-256", "MD5"), "SHA-256"),
        (("SHA-3", "md5-sess"), "md5-sess"),
    ],
)
def test_of_several_challenges_the_topmost_that_we_know_is_taken(offered, taken):
    again = client().answer(challenge(*[digest(algorithm=a) for a in offered]), INVITE, 0)
    assert sent(again).value("algorithm") == taken


@pytest.mark.parametrize(
    "text",
    [
        digest(algorithm="AKAv1-MD5"), digest(qop='"other"'), digest(realm="", nonce="").replace('nonce="", ', ""),
        digest(algorithm="MD5-sess", qop=None), 'Basic realm="x"', "Digest", "", "Negotiate", 'Digest realm="r',
        'Digest nonce="n"',
    ],
)  # fmt: skip
def test_what_we_cannot_answer_is_not_tried_again(text):
    assert client().answer(challenge(text), INVITE, 0) is None


def test_a_challenge_without_any_header_is_not_tried_again():
    assert client().answer(challenge(), INVITE, 0) is None


def test_rejected_credentials_are_not_sent_again():
    one = client()
    again = one.answer(challenge(digest()), INVITE, 0)
    assert one.answer(challenge(digest(nonce="n2"), to=again), again, 1) is None
    assert one.answer(challenge(digest(nonce="n2", stale="false"), to=again), again, 1) is None


def test_a_stale_nonce_is_tried_once_more_and_no_further():
    one = client()
    again = one.answer(challenge(digest(stale="true")), INVITE, 0)
    third = one.answer(challenge(digest(nonce="n2", stale="TRUE"), to=again), again, 1)
    assert third.cseq.number == 9
    assert sent(third).value("nonce") == "n2"
    assert one.answer(challenge(digest(nonce="n3", stale="true"), to=third), third, 2) is None


def test_a_401_after_a_407_keeps_the_credentials_for_the_proxy_and_counts_their_nonce():
    one = client()
    again = one.answer(challenge(digest(realm="proxy", nonce="p"), status=407, header=PROXY), INVITE, 0)
    third = one.answer(challenge(digest(nonce="n1"), to=again), again, 1)
    proxy, server = sent(third, "Proxy-Authorization"), sent(third)
    assert (proxy.value("realm"), proxy.value("nc")) == ("proxy", "00000002")
    assert (server.value("realm"), server.value("nc")) == ("carrier.example", "00000001")
    ha2 = md5(f"INVITE:{INVITE.uri_text}")
    expected = md5(f"{md5('acme:proxy:s3cret')}:p:00000002:{proxy.value('cnonce')}:auth:{ha2}")
    assert proxy.value("response") == expected


def test_a_session_keeps_its_first_cnonce():
    one = client()
    first = digest(realm="proxy", nonce="p", algorithm="MD5-sess")
    again = one.answer(challenge(first, status=407, header=PROXY), INVITE, 0)
    third = one.answer(challenge(digest(nonce="n1"), to=again), again, 1)
    proxies = [sent(message, "Proxy-Authorization") for message in (again, third)]
    assert proxies[0].value("cnonce") == proxies[1].value("cnonce")


def test_two_realms_in_one_response_are_both_answered():
    again = client().answer(challenge(digest(realm="a"), digest(realm="b"), digest(realm="a", nonce="2")), INVITE, 0)
    assert [(v.value("realm"), v.value("nonce")) for v in digests_in(again, "Authorization")] == [
        ("a", "n1"), ("b", "n1"),
    ]  # fmt: skip


# BOUND: CREDENTIALS_PER_REQUEST
def test_realms_beyond_the_bound_are_left():
    many = challenge(*[digest(realm=f"r{n}") for n in range(50)])
    assert len(client().answer(many, INVITE, 0).headers("Authorization")) == limits.CREDENTIALS_PER_REQUEST


def test_a_nonce_that_comes_again_is_counted():
    one = client()
    counts = [sent(one.answer(challenge(digest()), INVITE, 0)).value("nc") for _ in range(3)]
    assert counts == ["00000001", "00000002", "00000003"]


# BOUND: CLIENT_NONCES
def test_memory_of_nonces_is_bounded():
    one = client()
    for n in range(3 * limits.CLIENT_NONCES):
        one.answer(challenge(digest(nonce=f"n{n}")), INVITE, 0)
    assert len(one._counts) == limits.CLIENT_NONCES


def test_cnonces_differ_and_are_never_the_servers_choice():
    one = client()
    found = {sent(one.answer(challenge(digest(cnonce='"theirs"')), INVITE, 0)).value("cnonce") for _ in range(3)}
    assert len(found) == 3
    assert "theirs" not in found


def test_realm_nonce_and_opaque_go_back_as_they_came():
    text = r'Digest realm="a \"b\" \c", nonce="x\y", opaque="", qop="auth"'
    value = sent(client().answer(challenge(text), INVITE, 0))
    assert [value.raw(name) for name in ("realm", "nonce", "opaque")] == [r'"a \"b\" \c"', r'"x\y"', '""']
    cnonce = value.value("cnonce")
    ha1 = md5('acme:a "b" c:s3cret')
    assert value.value("response") == md5(f"{ha1}:xy:00000001:{cnonce}:auth:{md5(f'INVITE:{INVITE.uri_text}')}")


def test_unquoted_realm_and_nonce_are_understood_and_quoted_by_us():
    value = sent(client().answer(challenge("Digest realm=r, nonce=n"), INVITE, 0))
    assert (value.raw("realm"), value.raw("nonce")) == ('"r"', '"n"')


def test_a_user_name_with_quotes_is_escaped():
    value = sent(client(username='a"b\\c').answer(challenge(digest()), INVITE, 0))
    assert value.raw("username") == r'"a\"b\\c"'


def test_the_last_number_is_not_exceeded():
    last = request("INVITE", cseq=LARGEST_CSEQ)
    assert client().answer(challenge(digest(), to=last), last, 0) is None


def test_an_ack_repeats_the_credentials_of_its_invite():
    again = client().answer(challenge(digest(), status=407, header=PROXY), INVITE, 0)
    assert credentials_of(again) == (("Proxy-Authorization", again.header("Proxy-Authorization")),)
    assert credentials_of(INVITE) == ()


@given(st.lists(st.text(max_size=60) | st.text(max_size=40).map("Digest realm=r, nonce=n, {}".format), max_size=4))
def test_garbage_never_raises(texts):
    response = response_to(INVITE, 401)
    fields = (*response.fields, *[(header, text) for text in texts for header in (WWW, PROXY)])
    bad = type(response)(401, "", fields)
    again = client().answer(bad, INVITE, 0)
    assert again is None or isinstance(again, Request)


# BOUND: CHALLENGES_PER_RESPONSE
def test_a_challenge_behind_many_that_cannot_be_answered_is_not_looked_at():
    odd = [digest(algorithm="ROT13", realm=f"r{n}") for n in range(limits.CHALLENGES_PER_RESPONSE)]
    assert client().answer(challenge(*odd[1:], digest()), INVITE, 0) is not None
    assert client().answer(challenge(*odd, digest()), INVITE, 0) is None
