"""Refer-To (RFC 3515), Replaces (RFC 3891) and Referred-By (RFC 3892): read leniently, printed strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.limits import REFER_HEADERS
from sbc.sip.headers.transfer import (
    ReferredBy,
    ReferTo,
    Replaces,
    parse_refer_to,
    parse_referred_by,
    parse_replaces,
)
from sbc.sip.uri import SipUri, TelUri

BOB = SipUri("sip", "bob", None, "example.net", None)

# --- Replaces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # the examples of RFC 3891 §6.1
        ("98732@example.com;from-tag=r33th4x0r;to-tag=ff87ff", Replaces("98732@example.com", "ff87ff", "r33th4x0r")),
        ("12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only", Replaces("12adf2f34456gs5", "12345", "54321", True)),
        ("87134@171.161.34.23;to-tag=24796;from-tag=0", Replaces("87134@171.161.34.23", "24796", "0")),
        (" a@b ; TO-TAG = 1 ; from-tag=2 ; x=y ; Early-Only", Replaces("a@b", "1", "2", True)),
        ('a<"\\?{}:/>@[::1];to-tag=1;from-tag=2', Replaces('a<"\\?{}:/>@[::1]', "1", "2")),
        ("a;to-tag=1", None),
        ("a;from-tag=1", None),
        ("a;to-tag;from-tag=1", None),
        ("a;to-tag=;from-tag=1", None),
        ('a;to-tag="1";from-tag=1', None),
        ("a;to-tag=1;to-tag=2;from-tag=1", None),
        ("a", None),
        ("a b;to-tag=1;from-tag=2", None),
        ("a@b@c;to-tag=1;from-tag=2", None),
        ("a,b;to-tag=1;from-tag=2", None),
        (";to-tag=1;from-tag=2", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_replaces_names_one_dialog_or_is_not_there(text, value):
    assert parse_replaces(text) == value


def test_in_a_uri_it_is_escaped():
    assert Replaces("12345@192.168.118.3", "12345", "5FFE-3994", True).escaped == (
        "12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994%3Bearly-only"
    )


# --- Refer-To ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # the examples of RFC 3515 §2.1; the second one's Call-ID is broken there
        ("sip:alice@atlanta.example.com", ReferTo(SipUri("sip", "alice", None, "atlanta.example.com", None))),
        (
            "<sip:bob@example.net?Accept-Contact=sip:bobsdesk.example.net&Call-ID%3D55432%40alicepc.example.com>",
            ReferTo(BOB, headers=(("Accept-Contact", "sip:bobsdesk.example.net"),)),
        ),
        (
            "<sip:bob@example.net?Replaces=12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994>",
            ReferTo(BOB, replaces=Replaces("12345@192.168.118.3", "12345", "5FFE-3994")),
        ),
        ("<sip:bob@example.net;method=SUBSCRIBE>", ReferTo(BOB, "SUBSCRIBE")),
        ("sip:bob@example.net?replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2", ReferTo(BOB, replaces=Replaces("a", "1", "2"))),
        ('"Bob" <sip:bob@example.net;method=INVITE>;x=y', ReferTo(BOB)),
        ("<sip:bob@example.net;user=phone;method=BYE;lr>",
         ReferTo(SipUri("sip", "bob", None, "example.net", None, (("user", "phone"), ("lr", None))), "BYE")),
        ("<sips:bob@example.net:5061>", ReferTo(SipUri("sips", "bob", None, "example.net", 5061))),
        ("tel:+1-415-555-0100", ReferTo(TelUri("+14155550100"))),
        ("<tel:+14155550100;ext=5>", ReferTo(TelUri("+14155550100", (("ext", "5"),)))),
        ("<sip:bob@example.net?Subject=a%20b&Priority=urgent>",
         ReferTo(BOB, headers=(("Subject", "a b"), ("Priority", "urgent")))),
        ("<sip:bob@example.net?b=%3Csip:a@b%3E>", None),
        ("<sip:bob@example.net?b=%3Csip:a%40b%3E>", ReferTo(BOB, headers=(("Referred-By", "<sip:a@b>"),))),
        ("<sip:bob@example.net?Subject=a%0D%0AVia:%20x>", None),
        ("<sip:bob@example.net?Subject=%00>", None),
        ("<sip:bob@example.net?Sub%0Aject=a>", None),
        ("<sip:bob@example.net?Replaces=a>", None),
        ("<sip:bob@example.net?Replaces=>", None),
        ("<sip:bob@example.net?Replaces=a%3Bto-tag%3D1%3Bfrom-tag%3D2&REPLACES=b%3Bto-tag%3D1%3Bfrom-tag%3D2>", None),
        ("<sip:bob@example.net;method=a%20b>", None),
        ("<http://example.net>", None),
        ("mailto:bob@example.net", None),
        ("<sip:bob@example.net>, <sip:carol@example.net>", None),
        ("<sip:bob@example.net", None),
        ("<sip:bob@example.net>;;", None),
        ("", None),
        ("<>", None),
        ("<sip:" + "a" * 5000 + "@example.net>", None),
    ],
)  # fmt: skip
def test_a_refer_to_can_be_called_or_is_not_there(text, value):
    assert parse_refer_to(text) == value


# BOUND: REFER_HEADERS
@pytest.mark.parametrize(("count", "is_read"), [(REFER_HEADERS, True), (REFER_HEADERS + 1, False)])
def test_only_so_many_headers_are_read(count, is_read):
    headers = "&".join(f"X-{number}=y" for number in range(count))
    assert (parse_refer_to(f"<sip:bob@example.net?{headers}>") is not None) is is_read


def test_a_refer_to_is_printed_with_what_it_asks_for():
    value = ReferTo(BOB, "SUBSCRIBE", Replaces("a@b", "1", "2"), (("Subject", "a?b & c"),))
    assert str(value) == (
        "<sip:bob@example.net;method=SUBSCRIBE?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&Subject=a%3Fb%20%26%20c>"
    )


# --- Referred-By ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('sip:bob@example.net;cid="2UWQFN309shb3@ref.example"', ReferredBy(BOB, cid="2UWQFN309shb3@ref.example")),
        ('"Bob B" <sip:bob@example.net>', ReferredBy(BOB, "Bob B")),
        ("<sip:bob@example.net?Subject=x>;x=y", ReferredBy(BOB)),
        ("<tel:+14155550100>", ReferredBy(TelUri("+14155550100"))),
        ('<sip:bob@example.net>;cid="<a@b>"', ReferredBy(BOB)),
        ("<sip:bob@example.net>;cid", ReferredBy(BOB)),
        ("<http://example.net>", None),
        ("<sip:bob@example.net>;;", None),
        ("", None),
    ],
)
def test_a_referrer_is_read_or_is_not_there(text, value):
    assert parse_referred_by(text) == value


# --- all --------------------------------------------------------------------------------------------------------------

_TOKENS = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
_WORDS = st.text("abcXYZ019-.!%*_+`'~()<>:\\\"/[]?{}", min_size=1, max_size=12)
_REPLACES = st.builds(
    Replaces, _WORDS | st.tuples(_WORDS, _WORDS).map("@".join), _TOKENS, _TOKENS, st.booleans()
)  # fmt: skip
_SIP = st.text("0123456789abc", min_size=1, max_size=12).map(
    lambda user: SipUri("sip", user, None, "example.com", None)
)
_TEL = st.text("0123456789", min_size=1, max_size=15).map(lambda digits: TelUri("+" + digits))
_VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=20).map(lambda v: v.strip(" \t"))
_HEADERS = st.lists(st.tuples(st.sampled_from(["Subject", "X-Thing", "Require"]), _VALUES), max_size=4).map(tuple)


@given(_REPLACES)
def test_what_is_printed_of_a_replaces_is_read_the_same(value):
    assert parse_replaces(str(value)) == value
    assert parse_refer_to(f"<sip:bob@example.net?Replaces={value.escaped}>") == ReferTo(BOB, replaces=value)


@given(
    st.builds(ReferTo, _SIP, st.sampled_from(["INVITE", "SUBSCRIBE", "a%b`"]), st.none() | _REPLACES, _HEADERS)
    | st.builds(ReferTo, _TEL)
)
def test_what_is_printed_of_a_refer_to_is_read_the_same(value):
    assert parse_refer_to(str(value)) == value


@given(
    st.builds(
        ReferredBy,
        _SIP | _TEL,
        st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), max_size=20),
        st.none() | st.text("abc019-!%*_+'`~", min_size=1, max_size=9).map(lambda atom: f"{atom}@host.example"),
    )
)
def test_what_is_printed_of_a_referrer_is_read_the_same(value):
    assert parse_referred_by(str(value)) == value


@given(st.text('<>;,=?&%"\\ sip:tel+1@x.Replacesto-tagfrom0Acid\r\n', max_size=80))
def test_garbage_never_raises_nor_brings_in_lines(text):
    found = parse_refer_to(text)
    assert found is None or not any("\n" in value or "\r" in value for _, value in found.headers)
    parse_replaces(text)
    parse_referred_by(text)
