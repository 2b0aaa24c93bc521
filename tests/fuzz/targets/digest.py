"""Challenges and credentials: nobody gets in by chance, and what we answer a challenge with can be read."""

from sbc.policy.model import Auth
from sbc.sip.auth.client import Authenticator
from sbc.sip.auth.server import Accepted, DigestServer, username_of
from sbc.sip.headers.credentials import parse_auth
from sbc.sip.message import Request, Response
from sbc.sip.serialize import serialize
from sbc.testing.seeds import seeded_ids

INSTRUMENTED = ("sbc.sip.auth", "sbc.sip.headers.credentials", "sbc.sip.scan")
ACCEPTS = ()
CREDENTIALS = (
    b'Digest username="office", realm="hq", nonce="000000000000000000000000000000000000000000000000000000000000", '
    b'uri="sip:1@10.0.0.1", qop=auth, nc=00000001, cnonce="c", response="0123456789abcdef0123456789abcdef"'
)
SEEDS = (
    CREDENTIALS,
    b'Digest realm="hq", nonce="n,\\"o\\"", algorithm=MD5, qop="auth,auth-int", opaque="5", stale=false',
    b'Basic QQ==, Digest realm=x, nonce=y, algorithm=SHA-256-sess, Digest realm="z", nonce=""',
)
WORDS = (
    b"Digest ",
    b"realm=",
    b"nonce=",
    b'qop="auth"',
    b"stale=true",
    b"algorithm=",
    b"SHA-256",
    b"MD5-sess",
    b"uri=",
    b"nc=",
    b"response=",
)
FIELDS = (
    ("From", "<sip:a@b>;tag=1"), ("To", "<sip:c@d>"), ("Call-ID", "x"), ("CSeq", "1 INVITE"), ("Max-Forwards", "70"),
)  # fmt: skip


def check(data):
    text = data.decode("utf-8", "surrogateescape")
    if "\r" in text or "\n" in text:
        return  # cannot be within a field
    for value in parse_auth(text):
        assert [str(one) for one in parse_auth(str(value))] == [str(value)]
    request = Request("INVITE", "sip:1@10.0.0.1", (*FIELDS, ("Authorization", text)))
    server = DigestServer("hq", b"0123456789abcdef", seeded_ids())
    username_of(request, "hq")
    assert not isinstance(server.check(request, {"office": _account()}, ("md5", "sha-256"), 1.0), Accepted)
    for status, header in ((401, "WWW-Authenticate"), (407, "Proxy-Authenticate")):
        response = Response(status, "X", (*FIELDS, ("Via", "SIP/2.0/UDP a;branch=z9hG4bK1"), (header, text)))
        client = Authenticator("acme", "s3cret", seeded_ids())
        again = client.answer(response, Request("INVITE", "sip:1@10.0.0.1", FIELDS), 0)
        if again is not None:
            assert b"s3cret" not in serialize(again)


def _account():
    return Auth("office", _Password())


class _Password:
    text = "0ff1ce"
