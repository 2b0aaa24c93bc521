"""URIs: read, printed, compared (RFC 3261 §19.1, RFC 3966)."""

import pytest

from sbc.core.limits import URI_OCTETS
from sbc.sip.errors import ParseError
from sbc.sip.uri import OtherUri, SipUri, TelUri, parse_uri


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@example.com",
        "sip:example.com",
        "sips:alice:secretword@example.com;transport=tcp",
        "sip:+1-212-555-1212:1234@gateway.com;user=phone",
        "sip:alice;day=tuesday@atlanta.com",
        "sip:alice@192.0.2.4:5080;lr",
        "sip:alice@[2001:db8::9:1]:5070;maddr=[2001:db8::1]",
        "sip:user;par=u%40example.net@example.com",
        "sip:%00%00@host5.example.com",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com",
        "sip:carol@chicago.com?Subject=next%20meeting&x=",
        "sip:host_with_underscore",
        "tel:+14155550100",
        "tel:911",
        "tel:7042;phone-context=example.com",
        "urn:service:sos",
        "http://example.com/a?b=c",
    ],
)
def test_a_canonical_uri_is_printed_as_it_was_read(text):
    assert str(parse_uri(text)) == text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("SIP:Alice@EXAMPLE.com;LR;Transport=TCP", "sip:Alice@example.com;lr;transport=TCP"),
        ("sip:[2001:DB8:0::1]", "sip:[2001:db8::1]"),
        ("sip:[::ffff:192.0.2.1]", "sip:192.0.2.1"),
        ("sip:*67#123@example.com", "sip:*67%23123@example.com"),
        ("sip:a@b;lr;lr", "sip:a@b;lr"),
        ("tel:+1-415-(555).0100", "tel:+14155550100"),
    ],
)
def test_an_odd_uri_is_repaired(text, canonical):
    assert str(parse_uri(text)) == canonical
    assert str(parse_uri(canonical)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "", "sip", "sip:", "sip:@", "sip:a@", "sip:@b", "sip:a@b@c", "sip:a b@c", "sip:a@b c", "sip:a%@b", "sip:a%4@b",
        "sip:a@b:", "sip:a@b:0", "sip:a@b:65536", "sip:a@b:123456", "sip:a@[::1", "sip:a@[::g]", "sip:a@::1",
        "sip:a@[]", "sip:a@b;", "sip:a@b;;c", "sip:a@b;=c", "sip:a@b;x=1;x=2", "sip:a@b?", "sip:a@b;x=<y>", 'sip:"a"@b',
        "sip:é@b", "sip:a@ſ", "sip:\u212a", "<sip:a@b>", "tel:", "tel:-", "tel:+", "tel:+1;", "tel:xyz", "1a:b",
        "a b:c", "x:", "*",
    ],
)  # fmt: skip
def test_what_is_no_uri_is_refused(text):
    with pytest.raises(ParseError):
        parse_uri(text)


# BOUND: URI_OCTETS
def test_a_uri_has_a_largest_length():
    assert isinstance(parse_uri("sip:" + "a" * (URI_OCTETS - 6) + "@b"), SipUri)
    with pytest.raises(ParseError) as caught:
        parse_uri("sip:" + "a" * (URI_OCTETS - 5) + "@b")
    assert caught.value.status == 414


def test_the_parts_of_a_sip_uri():
    uri = parse_uri("sips:b%6fb;x=1:pw@[2001:db8::1]:5071;transport=TLS;lr?a=b")
    assert isinstance(uri, SipUri)
    assert (uri.scheme, uri.user, uri.user_text, uri.password) == ("sips", "b%6fb;x=1", "bob;x=1", "pw")
    assert (uri.host, uri.port, uri.transport, uri.headers) == ("2001:db8::1", 5071, "tls", "a=b")
    assert uri.params == (("transport", "TLS"), ("lr", None))


def test_other_schemes_are_kept():
    assert parse_uri("ISBN:2983792873") == OtherUri("isbn", "ISBN:2983792873")
    assert isinstance(parse_uri("tel:+1"), TelUri)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a%3bb@c", "sip:a%3Bb@c"),
        ("tel:+1-415-5550100;ext=1;x=Y", "tel:+14155550100;X=y;ext=1"),
    ],
)
def test_equivalent_uris(one, other):
    assert parse_uri(one).equals(parse_uri(other))
    assert parse_uri(other).equals(parse_uri(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b", "sips:a@b"),
        ("sip:a@b", "sip:b"),
        ("sip:a:pw@b", "sip:a@b"),
        ("sip:a@b;maddr=c", "sip:a@b"),
        ("sip:a;b@c", "sip:a%3Bb@c"),
        ("sip:%00@a", "sip:%00%00@a"),
        ("tel:+1", "tel:1"),
        ("tel:+1", "sip:+1@b;user=phone"),
        ("sip:+1@b;user=phone", "tel:+1"),
    ],
)
def test_uris_that_are_not_equivalent(one, other):
    assert not parse_uri(one).equals(parse_uri(other))
    assert not parse_uri(other).equals(parse_uri(one))
