"""Challenges of ours, and what we make of the answers."""

import base64
import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core import limits
from sbc.core.secret import Secret
from sbc.policy.model import Auth
from sbc.sip.auth import server as module
from sbc.sip.auth.client import Authenticator
from sbc.sip.auth.digest import Terms, digest_response
from sbc.sip.auth.server import Accepted, Challenged, DigestServer, username_of
from sbc.sip.headers.credentials import digests_in, parse_auth
from sbc.sip.message import Request, Response
from sbc.testing.build import request
from sbc.testing.seeds import seeded_ids

NOW = 5000.0
URI = "sip:+14155550100@10.0.0.1"
OFFICE = {"office": Auth("office", Secret("s3cret"))}
ALL = ("sha-512-256", "sha-256", "md5")
PLAIN = request("INVITE", uri=URI)


def server(**options):
    return DigestServer("sbc.example", b"0123456789abcdef", seeded_ids(), **options)


def challenged(one, asked=PLAIN, accounts=OFFICE, algorithms=("md5",), now=NOW):
    verdict = one.check(asked, accounts, algorithms, now)
    assert isinstance(verdict, Challenged)
    return [value for _, text in verdict.fields for value in parse_auth(text)]


def nonce_of(one, now=NOW):
    return challenged(one, now=now)[0].value("nonce")


def signed(nonce, *, user="office", password="s3cret", method="INVITE", digest_uri=URI, at=URI, count=1, **changes):
    """A request with credentials for this nonce, made by hand; `changes` are of the text, after the hashing."""
    terms = Terms(method, digest_uri, "sbc.example", nonce, "md5", qop="auth", nc=f"{count:08x}", cnonce="c1")
    params = {
        "username": f'"{user}"', "realm": '"sbc.example"', "nonce": f'"{nonce}"', "uri": f'"{digest_uri}"',
        "response": f'"{digest_response(terms, user, password)}"', "algorithm": "MD5", "cnonce": '"c1"',
        "qop": "auth", "nc": terms.nc,
    } | changes  # fmt: skip
    text = "Digest " + ", ".join(f"{name}={value}" for name, value in params.items() if value is not None)
    return request(method, uri=at, fields=(("Authorization", text),))


def is_stale(values):
    return [value.value("stale") for value in values] == ["true"]


def test_no_credentials_no_entry_but_a_challenge():
    (value,) = challenged(server())
    assert {name: value.raw(name) for name in ("realm", "algorithm", "qop", "stale")} == {
        "realm": '"sbc.example"', "algorithm": "MD5", "qop": '"auth"', "stale": None,
    }  # fmt: skip


def test_a_challenge_for_each_algorithm_in_order():
    values = challenged(server(), algorithms=ALL)
    assert [value.value("algorithm") for value in values] == ["SHA-512-256", "SHA-256", "MD5"]
    assert len({value.value("nonce") for value in values}) == 1


def test_every_challenge_has_a_nonce_of_its_own():
    one = server()
    assert nonce_of(one) != nonce_of(one)


def test_the_right_password_is_accepted():
    one = server()
    assert one.check(signed(nonce_of(one)), OFFICE, ("md5",), NOW + 1) == Accepted("office")


@pytest.mark.parametrize(
    "changes",
    [
        {"password": "wrong"}, {"user": "nobody"}, {"response": '""'}, {"response": "é"}, {"response": None},
        {"method": "REGISTER", "at": "sip:x@y"}, {"realm": '"elsewhere"'}, {"cnonce": '""'}, {"cnonce": None},
        {"nc": "0000000g"}, {"nc": "000000001"}, {"nc": None}, {"qop": "auth-int"}, {"qop": '""'},
        {"algorithm": "SHA-256"}, {"algorithm": "MD5-sess"}, {"algorithm": "AKAv1-MD5"}, {"username": '""'},
        {"digest_uri": "sip:other@10.0.0.1"}, {"uri": None}, {"username*": "UTF-8''office", "username": None},
        {"userhash": "true", "user": "0" * 32},
    ],
    ids=str,
)  # fmt: skip
def test_anything_wrong_is_challenged_anew_without_stale(changes):
    one = server()
    assert not is_stale(challenged(one, signed(nonce_of(one), **changes), now=NOW + 1))


# BOUND: SERVER_NONCE_SECONDS
def test_an_old_nonce_is_stale_and_a_young_one_is_not():
    one = server()
    nonce = nonce_of(one)
    asked = signed(nonce)
    assert is_stale(challenged(one, asked, now=NOW + limits.SERVER_NONCE_SECONDS + 0.01))
    assert one.check(asked, OFFICE, ("md5",), NOW + limits.SERVER_NONCE_SECONDS) == Accepted("office")


def test_an_old_nonce_with_a_wrong_password_is_not_called_stale():
    one = server()
    assert not is_stale(challenged(one, signed(nonce_of(one), password="no"), now=NOW + 100))


@pytest.mark.parametrize("nonce", ["", "x", "0" * 60, "é" * 60, "f" * 12 + "0" * 48, "0" * 8000])
def test_a_nonce_that_is_not_ours_is_stale_at_best(nonce):
    one = server()
    assert is_stale(challenged(one, signed(nonce)))
    assert not is_stale(challenged(one, signed(nonce, password="no")))


def test_a_nonce_of_another_secret_or_realm_is_not_ours():
    other = DigestServer("sbc.example", b"another secret!!", seeded_ids())
    elsewhere = DigestServer("else.example", b"0123456789abcdef", seeded_ids())
    for stranger in (other, elsewhere):
        assert is_stale(challenged(server(), signed(nonce_of(stranger))))


def test_a_nonce_cannot_be_made_younger():
    one = server()
    nonce = nonce_of(one)
    raw = base64.urlsafe_b64decode(f"{nonce}==")
    later = (int.from_bytes(raw[:6], "big") + 90_000).to_bytes(6, "big") + raw[6:]
    later = base64.urlsafe_b64encode(later).decode().rstrip("=")
    assert is_stale(challenged(one, signed(later), now=NOW + 90))


def test_a_count_seen_before_is_a_replay_also_where_counts_arrive_out_of_order():
    one = server()
    nonce = nonce_of(one)
    for nc in (1, 2, 5, 4, 3, 70, 8):
        assert one.check(signed(nonce, count=nc), OFFICE, ("md5",), NOW) == Accepted("office")
        assert is_stale(challenged(one, signed(nonce, count=nc)))
    assert is_stale(challenged(one, signed(nonce, count=6)))  # too far behind the highest to be known
    assert is_stale(challenged(one, signed(nonce, count=0)))


@given(st.lists(st.integers(1, 200), max_size=60))
def test_no_count_is_ever_accepted_twice(counts):
    one = server()
    nonce = nonce_of(one)
    accepted = [nc for nc in counts if isinstance(one.check(signed(nonce, count=nc), OFFICE, ("md5",), NOW), Accepted)]
    assert len(accepted) == len(set(accepted))
    highest = 0
    for nc in counts:  # whatever is new and not far behind is accepted
        if highest - nc < 64:
            assert nc in accepted
        highest = max(highest, nc)


def test_without_qop_a_nonce_is_good_once():
    one = server()
    nonce = nonce_of(one)

    def plain():
        terms = Terms("INVITE", URI, "sbc.example", nonce)
        response = digest_response(terms, "office", "s3cret")
        return signed(nonce, qop=None, nc=None, cnonce=None, response=f'"{response}"')

    assert one.check(plain(), OFFICE, ("md5",), NOW) == Accepted("office")
    assert is_stale(challenged(one, plain()))
    assert is_stale(challenged(one, signed(nonce)))


# BOUND: SERVER_NONCES
def test_memory_is_bounded_and_what_was_forgotten_cannot_be_replayed(monkeypatch):
    monkeypatch.setattr(module, "SERVER_NONCES", 4)
    one = server()
    nonces = [nonce_of(one, NOW + n) for n in range(8)]
    for nonce in nonces:
        assert one.check(signed(nonce), OFFICE, ("md5",), NOW + 8) == Accepted("office")
    assert len(one._used) == 4
    for nonce in nonces:
        assert is_stale(challenged(one, signed(nonce), now=NOW + 8))
    newest = nonce_of(one, NOW + 9)
    assert one.check(signed(newest), OFFICE, ("md5",), NOW + 9) == Accepted("office")


# BOUND: SERVER_NONCE_SECONDS
def test_used_nonces_are_forgotten_when_they_have_expired():
    one = server()
    one.check(signed(nonce_of(one)), OFFICE, ("md5",), NOW)
    later = NOW + 2 * limits.SERVER_NONCE_SECONDS
    one.check(signed(nonce_of(one, later)), OFFICE, ("md5",), later)
    assert len(one._used) == 1


def test_wrong_passwords_leave_nothing_behind():
    one = server()
    for n in range(50):
        one.check(signed(nonce_of(one), password=f"p{n}"), OFFICE, ("md5",), NOW)
    assert not one._used


@pytest.mark.parametrize(
    "uri",
    [
        URI, "sip:+14155550100@sbc.example", "sips:+14155550100@10.0.0.1:5061", f"{URI}:5070;transport=udp",
        "tel:+1-415-555-0100", "sip:%2B14155550100@10.0.0.1", "sip:+14155550100;phone-context=x@10.0.0.1",
    ],
)  # fmt: skip
def test_the_digest_uri_may_name_us_otherwise_but_not_another_user(uri):
    one = server()
    assert one.check(signed(nonce_of(one), digest_uri=uri), OFFICE, ("md5",), NOW) == Accepted("office")


@pytest.mark.parametrize("uri", ["sip:+14155550101@10.0.0.1", "sip:10.0.0.1", "tel:+14155550101", "x", "", "http://a"])
def test_a_digest_uri_for_another_user_is_refused(uri):
    one = server()
    assert not is_stale(challenged(one, signed(nonce_of(one), digest_uri=uri)))


def test_a_register_names_no_user_in_either_uri():
    one = server()
    asked = signed(nonce_of(one), method="REGISTER", digest_uri="sip:pbx.example", at="sip:10.0.0.1:5060")
    assert one.check(asked, OFFICE, ("md5",), NOW) == Accepted("office")


def test_an_account_without_password_lets_nobody_in():
    one = server()
    accounts = {"office": Auth("office", None)}
    for password in ("", "\x00", "None"):
        assert challenged(one, signed(nonce_of(one), password=password), accounts)


def test_known_and_unknown_users_cost_the_same_hashes_and_get_the_same_answer(monkeypatch):
    counted = []
    for target, name in ((hashlib, "md5"), (hashlib, "sha256"), (hashlib, "new"), (hmac, "digest")):
        real = getattr(target, name)

        def count(*args, _real=real, _name=name, **options):
            counted.append(_name)
            return _real(*args, **options)

        monkeypatch.setattr(target, name, count)
    compared = []
    real_compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(len(b)) or real_compare(a, b))
    one = server()
    seen = set()
    for changes in (
        {"password": "wrong"}, {"user": "nobody"}, {"user": "unset"}, {"response": '"zz"'},
        {"qop": "auth-int"}, {"algorithm": "MD5-sess"}, {"algorithm": "other"}, {"digest_uri": "sip:x@y"},
    ):  # fmt: skip
        asked = signed(nonce_of(one), **changes)
        counted.clear()
        compared.clear()
        verdict = one.check(asked, OFFICE | {"unset": Auth("unset", None)}, ("md5",), NOW)
        answer = re.sub('nonce="[^"]*"', "", str(verdict))
        seen.add((tuple(counted), tuple(compared), answer))
    assert len(seen) == 1, seen


def test_the_name_of_the_claimed_user_can_be_read_unverified():
    assert username_of(PLAIN, "sbc.example") is None
    assert username_of(signed("n"), "sbc.example") == "office"
    assert username_of(signed("n"), "elsewhere") is None


names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


@given(names, names, names, st.permutations(ALL), st.sampled_from(["INVITE", "REGISTER", "BYE"]))
def test_our_client_answers_what_our_server_asks(username, password, realm, algorithms, method):
    one = DigestServer(realm, b"0123456789abcdef", seeded_ids())
    accounts = {username: Auth(username, Secret(password))}
    asked = Request(method, URI, (("CSeq", f"1 {method}"),))
    verdict = one.check(asked, accounts, tuple(algorithms), NOW)
    again = Authenticator(username, password, seeded_ids(1)).answer(Response(401, "", verdict.fields), asked, 0)
    assert one.check(again, accounts, tuple(algorithms), NOW) == Accepted(username)
    assert digests_in(again, "Authorization")[0].value("algorithm").lower() == algorithms[0]
    assert isinstance(one.check(again, accounts, tuple(algorithms), NOW), Challenged)


@given(st.text(max_size=80))
def test_garbage_never_raises(text):
    for value in (text, f"Digest {text}", f'Digest realm="sbc.example", nonce="{text}", response={text}'):
        asked = Request("INVITE", URI, (("Authorization", value),))
        assert isinstance(server().check(asked, OFFICE, ALL, NOW), Challenged)


def test_whom_a_nonce_was_sent_to_is_known_though_it_is_good_from_anywhere():
    one = server()
    given = one.check(signed("x"), OFFICE, ("md5",), NOW, source="192.0.2.1")
    nonce = given.fields[0][1].partition('nonce="')[2].partition('"')[0]
    answer = signed(nonce, password="wrong")
    assert one.was_sent_to(answer, "192.0.2.1", NOW + 1)
    assert not one.was_sent_to(answer, "192.0.2.2", NOW + 1)
    assert not one.was_sent_to(answer, "192.0.2.1", NOW + limits.SERVER_NONCE_SECONDS + 1)
    assert one.check(signed(nonce), OFFICE, ("md5",), NOW, source="192.0.2.2") == Accepted("office")


def test_a_nonce_of_nobody_was_sent_to_nobody():
    assert not server().was_sent_to(signed("A" * 30), "192.0.2.1", NOW)
    assert not server().was_sent_to(signed("no nonce"), "192.0.2.1", NOW)
