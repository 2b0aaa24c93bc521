"""Phones that challenge each other: the kit's own digest, and what it complains about."""

import hashlib

import pytest

from sbc.testing.build import request
from sbc.testing.challenger import Challenger, uncalled_for
from sbc.testing.digest import bare, digest_of, params_of
from sbc.testing.net import Network
from sbc.testing.phone import Phone
from sbc.testing.seeds import seeded_ids

ALICE, BOB = "192.0.2.1:5060", "192.0.2.2:5060"


def phones():
    net, ids = Network(), seeded_ids()
    return net, Phone(net, "alice", ALICE, ids, through=BOB), Phone(net, "bob", BOB, ids, through=ALICE)


def is_over(net, *phones):
    net.run(100.0)
    assert [phone.agent.complaints for phone in phones] == [[]] * len(phones)
    assert all(phone.agent.is_idle for phone in phones)


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256", ("SHA-512-256", "MD5")])
def test_every_request_of_a_call_is_challenged_and_answered(status, algorithm):
    net, alice, bob = phones()
    door = bob.challenges("alice", "s3cret", algorithm=algorithm, status=status)
    alice.has_credentials("alice", "s3cret")
    alice.invites("bob")
    bob.answers()
    alice.reinvites()
    alice.hangs_up()
    assert alice.got(status, 200, status, 200)
    assert bob.got("INVITE", "ACK", "INVITE", "INVITE", "ACK", "BYE", "BYE")
    assert door.accepted == door.challenged == ["INVITE", "INVITE", "BYE"]
    is_over(net, alice, bob)


def test_without_credentials_a_call_is_refused():
    net, alice, bob = phones()
    bob.challenges("alice", "s3cret")
    alice.invites("bob")
    assert alice.call.status == 401
    assert bob.agent.parties == []
    is_over(net, alice, bob)


def test_a_wrong_password_is_tried_once():
    net, alice, bob = phones()
    door = bob.challenges("alice", "s3cret")
    alice.has_credentials("alice", "other")
    alice.invites("bob")
    assert (alice.call.status, len(door.tries), door.accepted) == (401, 1, [])
    is_over(net, alice, bob)


def test_a_stale_nonce_is_followed_by_another_try():
    net, alice, bob = phones()
    door = bob.challenges("alice", "s3cret", stale=True)
    alice.has_credentials("alice", "s3cret")
    alice.invites("bob")
    bob.answers()
    assert len(door.tries) == 2
    alice.hangs_up()
    is_over(net, alice, bob)


def test_a_door_that_is_never_content_lets_nobody_in():
    net, alice, bob = phones()
    door = bob.challenges("alice", "s3cret", fresh=True)
    alice.has_credentials("alice", "s3cret")
    alice.invites("bob")
    assert (alice.call.status, len(door.tries)) == (401, 1)
    is_over(net, alice, bob)


def test_only_the_methods_named_are_challenged():
    net, alice, bob = phones()
    door = bob.challenges("alice", "s3cret", methods=["BYE"])
    alice.has_credentials("alice", "s3cret")
    alice.invites("bob")
    bob.answers()
    alice.hangs_up()
    assert door.challenged == ["BYE"]
    is_over(net, alice, bob)


def test_requests_outside_of_a_dialog_too():
    net, alice, bob = phones()
    bob.challenges("alice", "s3cret")
    alice.has_credentials("alice", "s3cret")
    alice.asks("OPTIONS")
    assert alice.heard == ["401 OPTIONS", "200 OPTIONS"]
    is_over(net, alice, bob)


# --- the door alone ---------------------------------------------------------------------------------------------------

URI = "sip:bob@192.0.2.2"


def door(**options):
    return Challenger("alice", "s3cret", seeded_ids(), realm="bob.example", **options)


def asked(text="", *, cseq=1, method="INVITE", header="Authorization"):
    return request(method, uri=URI, cseq=cseq, fields=((header, text),) if text else ())


def answer(challenged, *, nc=1, nonce=None, password="s3cret", uri=URI, **changes):
    ((_, text),) = challenged
    params = {name: bare(value) for name, value in params_of(text).items()}
    nonce = nonce or params["nonce"]
    made = {"realm": "bob.example", "nonce": nonce, "uri": uri, "qop": "auth", "nc": f"{nc:08x}", "cnonce": "c1"}
    response = digest_of(made | {"algorithm": "MD5"}, "alice", password, asked())
    shown = {
        "username": '"alice"', "realm": '"bob.example"', "nonce": f'"{nonce}"', "uri": f'"{uri}"',
        "response": f'"{response}"', "algorithm": "MD5", "opaque": f'"{params["opaque"]}"',
        "qop": "auth", "nc": made["nc"], "cnonce": '"c1"',
    } | changes  # fmt: skip
    return "Digest " + ", ".join(f"{name}={value}" for name, value in shown.items() if value is not None)


def test_right_credentials_pass_without_complaint():
    one = door()
    text = answer(one.judge(asked()))
    assert one.judge(asked(text, cseq=2)) is None
    assert one.complaints == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"qop": '"auth"'}, "quotes"), ({"algorithm": '"MD5"'}, "quotes"), ({"uri": "sip:eve@192.0.2.2"}, "eve"),
        ({"opaque": None}, "opaque"), ({"opaque": '"x"'}, "opaque"), ({"algorithm": "SHA-256"}, "algorithm"),
        ({"nc": 2}, "nc"), ({"cnonce": None}, "cnonce"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_credentials_is_said(changes, complaint):
    one = door()
    text = answer(one.judge(asked()), **changes)
    one.judge(asked(text, cseq=2))
    assert complaint in one.complaints[0]


def test_a_nonce_of_nobody_is_refused_and_a_used_count_complained_about():
    one = door()
    challenged = one.judge(asked())
    assert one.judge(asked(answer(challenged, nonce="made-up"), cseq=2)) is not None
    text = answer(challenged)
    assert one.judge(asked(text, cseq=3)) is None
    one.judge(asked(text, cseq=4))
    assert "nc is 00000001 in use 2" in one.complaints[0]


def test_a_number_that_does_not_rise_is_complained_about():
    one = door()
    one.judge(asked(answer(one.judge(asked()))))
    assert "CSeq 1 after 1" in one.complaints[0]


def test_an_ack_must_repeat_the_credentials_of_its_invite():
    one = door()
    text = answer(one.judge(asked()))
    one.judge(asked(text, cseq=2))
    one.judge_ack(asked(text, cseq=2, method="ACK"))
    assert one.complaints == []
    one.judge_ack(asked(cseq=2, method="ACK"))
    assert "not that of its INVITE" in one.complaints[0]


def test_credentials_that_nobody_asked_for_and_open_passwords_are_complained_about():
    one = door()
    assert uncalled_for([one], asked('Digest realm="bob.example"')) == []
    assert "other" in uncalled_for([one], asked('Digest realm="other"'))[0]
    assert uncalled_for([], asked('Digest realm="bob.example"', header="Proxy-Authorization"))
    assert "password" in uncalled_for([one], asked("Basic alice:s3cret"))[-1]


def test_the_kits_arithmetic_is_that_of_the_rfc():
    """RFC 7616 §3.9.1."""
    params = {
        "realm": "http-auth@example.org", "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "uri": "/dir/index.html", "qop": "auth", "nc": "00000001", "algorithm": "SHA-256",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    }  # fmt: skip
    get = type(asked())("GET", "/dir/index.html", ())
    expected = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    assert digest_of(params, "Mufasa", "Circle of Life", get) == expected
    plain = digest_of({"realm": "r", "nonce": "n", "uri": "u"}, "a", "b", get)
    ha1, ha2 = hashlib.md5(b"a:r:b").hexdigest(), hashlib.md5(b"GET:u").hexdigest()
    assert plain == hashlib.md5(f"{ha1}:n:{ha2}".encode()).hexdigest()
