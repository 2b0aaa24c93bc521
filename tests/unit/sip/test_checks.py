"""What every request is asked first, in the order of RFC 3261 §8.2: method, URI, extensions, body."""

import pytest

from sbc.policy.model import TALK_METHODS
from sbc.sip.checks import ACCEPT, Refusal, allow_field, refusal_of
from sbc.sip.parse import parse_message

from .messages import request as octets


def refused(*extra, method="INVITE", uri="sip:bob@example.net", methods=TALK_METHODS, reliable=True, **changes):
    changes.setdefault("CSeq", f"1 {method}")
    message = parse_message(octets(*extra, line=f"{method} {uri} SIP/2.0", **changes), stream=False)
    return refusal_of(message, methods, reliable=reliable)


@pytest.mark.parametrize("method", ["INVITE", "BYE", "OPTIONS", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY"])
def test_what_the_peer_may_use_may_go_on(method):
    assert refused(method=method) is None


@pytest.mark.parametrize("method", ["REGISTER", "MESSAGE", "SUBSCRIBE", "PUBLISH"])
def test_known_methods_that_the_peer_may_not_use_get_405_with_allow(method):
    assert refused(method=method) == Refusal(405, (allow_field(TALK_METHODS),))


def test_allow_names_what_the_peer_may_use_in_one_order():
    assert allow_field(frozenset({"OPTIONS", "MESSAGE", "INVITE", "REGISTER"})) == ("Allow", "INVITE, OPTIONS, MESSAGE")


def test_a_method_that_the_policy_gives_the_peer_is_served():
    assert refused(method="MESSAGE", methods=frozenset({"MESSAGE"})) is None
    assert refused(method="INVITE", methods=frozenset({"MESSAGE"})) == Refusal(405, (("Allow", "MESSAGE"),))


@pytest.mark.parametrize("extension", ["100rel", "timer", "replaces", "TIMER"])
def test_extensions_that_we_understand_may_be_required(extension):
    assert refused(f"Require: {extension}") is None


def test_100rel_may_not_be_required_where_the_policy_has_it_off():
    assert refused("Require: 100rel", reliable=False) == Refusal(420, (("Unsupported", "100rel"),))


@pytest.mark.parametrize("method", ["invite", "FOO", "RE%47IST%45R"])
def test_unknown_methods_get_501_and_case_matters(method):
    assert refused(method=method).status == 501


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("sip:a@b", None),
        ("tel:+14155550100", None),
        ("http://example.com", 416),
        ("urn:service:sos", 416),
        ("nobodyKnowsThisScheme:totallyopaquecontent", 416),
    ],
)
def test_only_schemes_that_we_speak(uri, status):
    refusal = refused(uri=uri)
    assert (refusal and refusal.status) == status


def test_unsupported_names_every_extension_that_was_required():
    refusal = refused("Require: gruu, timer", "Proxy-Require: foo", "Require: bar")
    assert refusal == Refusal(420, (("Unsupported", "gruu, bar, foo"),))


def test_require_does_not_apply_to_cancel():
    assert refused("Require: 100rel", method="CANCEL") is None


def test_supported_and_an_empty_require_are_no_demands():
    assert refused("Supported: 100rel, timer", "Require: ") is None


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"Content_Type": "text/plain"}, Refusal(415, (ACCEPT,))),
        ({"Content_Type": None}, Refusal(415, (ACCEPT,))),
        ({"Content_Type": "multipart/mixed;boundary=x"}, Refusal(400)),
        (
            {
                "Content_Type": "multipart/mixed;boundary=x",
                "body": b"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--x--\r\n",
                "Content_Length": "52",
            },
            None,
        ),
        ({"Content_Type": "Application / SDP ; x=y"}, None),
        ({"Content_Encoding": "gzip"}, Refusal(415, (("Accept-Encoding", "identity"),))),
        ({"Content_Encoding": "Identity"}, None),
        ({"Content_Type": "text/plain", "body": b"", "Content_Length": "0"}, None),
    ],
)
def test_a_body_must_be_sdp_as_it_is(changes, refusal):
    body = changes.get("body", b"v=0\r\n")
    changes = {name: value for name, value in changes.items() if name != "body"}
    assert refused(body=body, **changes) == refusal


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/sdp", None),
        ("text/html, application/SDP;level=1", None),
        ("application/*", None),
        ("*/*", None),
        ("text/nobodyKnowsThis", 406),
        ("", 406),
    ],
)
def test_a_caller_that_does_not_take_sdp_cannot_be_answered(accept, status):
    refusal = refused(f"Accept: {accept}")
    assert (refusal and refusal.status) == status


@pytest.mark.parametrize("contact", [None, "<tel:+14155550100>"])
def test_a_caller_that_does_not_say_where_it_is_reached_is_heard_all_the_same(contact):
    assert refused(Contact=contact) is None
