"""Which header fields cross, and that none of them tells of its own side."""
# RFC: 3326, 4579, 6086, 7433

import timeit
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sbc.b2bua.headers import _DEFAULTS, Crossing, contact_params, crossing
from sbc.core.limits import CROSSING_FIELDS, CROSSING_VALUE_CHARACTERS, SUBJECT_CHARACTERS
from sbc.policy.model import HeaderRules, Peer, Register, Server
from sbc.sip.headers.reason import q850_of
from sbc.sip.message import Request, Response

PBX = Peer("office", "pbx", "inside", (Server("pbx.corp.example", 5060),))
BRANCH = Peer("branch", "pbx", "inside", ())
TRUNK = Peer("carrier", "trunk", "outside", (Server("sip.carrier.example"),), domain="carrier.example")

OWN = (
    ("Via", "SIP/2.0/UDP edge7.corp.example:5060;branch=z9hG4bK1;rport"),
    ("Max-Forwards", "70"),
    ("From", '"Bob" <sip:101@phones.inner.example>;tag=a'),
    ("To", "<sip:+14155550100@sbc.corp.example>"),
    ("Call-ID", "abc@calls.office.example"),
    ("CSeq", "1 INVITE"),
    ("Contact", "<sip:101@10.0.0.30:5060>"),
    ("Allow", "INVITE, ACK"),
    ("Supported", "timer, 100rel"),
    ("User-Agent", "Phone/1"),
    ("Session-Expires", "1800"),
    ("Content-Type", "application/sdp"),
    ("Content-Length", "200"),
)


def _crossed(*fields, from_=PBX, to=TRUNK, method="INVITE"):
    request = Request(method, "sip:+14155550100@sbc.corp.example", (*OWN, *fields))
    return Crossing(from_, to).request_fields(request, method)


def _answered(*fields, status=180, from_=TRUNK, to=PBX):
    return Crossing(from_, to).response_fields(Response(status, "", (*OWN, *fields)))


def test_of_a_plain_invite_nothing_crosses():
    assert _crossed() == ()
    assert _answered() == ()


# BOUND: SUBJECT_CHARACTERS
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("Subject", " Your order ", "Your order"),
        ("Subject", "x" * 500, "x" * SUBJECT_CHARACTERS),
        ("Subject", "see 10.1.2.3", None),
        ("Subject", "ask pbx.corp.example", None),
        ("Subject", "ask DB9.CORP.EXAMPLE", None),
        ("Subject", "ask desk.local", None),
        ("Subject", "", None),
        ("Priority", "Urgent", "urgent"),
        ("Priority", "psap-callback", None),
        ("Accept-Language", "da, en-gb;q=0.8, en ;q=0.7, <x>", "da, en-gb;q=0.8, en;q=0.7"),
        ("Accept-Language", "<x>", None),
        ("Alert-Info", "<urn:alert:source:internal>", "<urn:alert:source:internal>"),
        ("Alert-Info", "<http://music.corp.example/ring.wav>", None),
        ("Alert-Info", "<http://elsewhere.example/ring.wav>;info=alert-autoanswer", None),
        ("User-to-User", '"56A390";encoding=hex;purpose=foo;x=1', "56A390;encoding=hex;purpose=foo"),
        ("User-to-User", "00" * 1000 + ";encoding=hex", None),
        ("P-Early-Media", "supported, x", "supported"),
        ("Recv-Info", "foo, bar;x=1", "foo, bar"),
        ("Recv-Info", "", ""),
        ("Accept-Contact", "*;audio;require", "*;audio;require"),
        ("Accept-Contact", '*;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"', None),
        ("Organization", "Acme", None),
        ("Call-Info", "<http://x.example/me.png>;purpose=icon", None),
        ("Call-Info", "<sip:x>;answer-after=0", None),
        ("Reply-To", "<sip:x@y.example>", None),
        ("In-Reply-To", "abc@def", None),
        ("Warning", '399 x "y"', None),
        ("Reason", "Q.850;cause=16", None),  # reason_fields makes it
        ("X-Anything", "1", None),
        ("Answer-Mode", "Auto", None),
    ],
)
def test_a_field_crosses_in_our_words_or_stays_behind(name, value, told):
    assert _crossed((name, value)) == (() if told is None else ((name, told),))


def test_a_field_crosses_where_its_rfc_has_it():
    assert _crossed(("Info-Package", "foo"), ("Subject", "x"), method="INFO") == (("Info-Package", "foo"),)
    assert _crossed(("Subject", "x"), method="BYE") == ()
    assert _crossed(("User-to-User", "ab"), method="BYE") == (("User-to-User", "ab"),)
    assert _answered(("User-to-User", "ab"), ("Subject", "x")) == (("User-to-User", "ab"),)
    assert _answered(("User-to-User", "ab"), status=100) == ()


def test_a_user_who_asks_for_privacy_says_nothing_about_himself():
    fields = (("Subject", "x"), ("Organization", "y"), ("Priority", "urgent"), ("Privacy", "id; User"))
    open_ = replace(PBX, headers=HeaderRules(passed=("Organization",)))
    assert _crossed(*fields, from_=open_) == (("Priority", "urgent"),)
    assert len(_crossed(*fields[:3], ("Privacy", "id"), from_=open_)) == 3


def test_a_telephone_answers_by_itself_only_among_ones_own():
    assert _crossed(("Answer-Mode", "auto;require"), to=BRANCH) == (("Answer-Mode", "Auto;require"),)
    assert _crossed(("Answer-Mode", "Auto"), from_=TRUNK, to=PBX) == ()


def test_what_a_peer_may_not_use_it_is_not_told_of():
    mute = replace(TRUNK, methods=TRUNK.methods - {"INFO"})
    assert _crossed(("Recv-Info", "foo"), to=mute) == ()
    assert _answered(("P-Early-Media", "sendrecv")) == (("P-Early-Media", "sendrecv"),)
    assert _answered(("P-Early-Media", "sendrecv"), to=replace(PBX, early_media="ringback")) == ()


def test_a_policy_passes_more():
    open_ = replace(PBX, headers=HeaderRules(passed=("X-*", "Alert-Info", "Call-Info")))
    fields = (
        ("X-Customer", "acme"),
        ("X-Host", "10.0.0.9"),
        ("Call-Info", "<https://a.example/x>"),
        ("Y", "1"),
    )
    assert _crossed(*fields, from_=open_) == (("X-Customer", "acme"), ("Call-Info", "<https://a.example/x>"))
    assert _crossed(("Alert-Info", "<http://acme.example/r>"), from_=open_) == (
        ("Alert-Info", "<http://acme.example/r>"),
    )
    assert _answered(("X-Customer", "acme"), from_=open_, to=TRUNK) == (("X-Customer", "acme"),)
    assert _crossed(("X-Customer", "acme"), from_=TRUNK, to=open_) == ()


@pytest.mark.parametrize("name", ["Via", "Contact", "Call-ID", "Warning", "Session-ID", "Diversion", "Route"])
def test_no_policy_passes_a_secured_name(name):
    open_ = replace(PBX, headers=HeaderRules(passed=(name, f"{name[:2]}*")))
    crossed = _crossed((name, "secret"), from_=open_)
    assert crossed == ()


def test_a_policy_keeps_fields_from_a_peer():
    quiet = replace(TRUNK, headers=HeaderRules(removed=("Subject", "X-*", "Reason")))
    open_ = replace(PBX, headers=HeaderRules(passed=("X-A",)))
    assert _crossed(("Subject", "x"), ("X-A", "1"), ("Priority", "urgent"), from_=open_, to=quiet) == (
        ("Priority", "urgent"),
    )
    between = Crossing(PBX, quiet)
    assert between.reason_fields(16) == ()
    assert between.without_removed((("Subject", "x"), ("To", "y"))) == (("To", "y"),)


def test_a_policy_adds_fields_to_both_kinds_of_messages():
    rich = replace(TRUNK, headers=HeaderRules(added=(("X-Us", "1"), ("User-Agent", "A"), ("Server", "B"))))
    assert _crossed(to=rich) == (("X-Us", "1"), ("User-Agent", "A"))
    assert _crossed(("Subject", "x"), to=rich)[0] == ("Subject", "x")
    assert _answered(to=rich) == (("X-Us", "1"), ("Server", "B"))


def test_it_is_compiled_once_until_a_peer_changes():
    assert crossing(PBX, TRUNK) is crossing(PBX, TRUNK)
    assert crossing(PBX, TRUNK) is not crossing(PBX, replace(TRUNK, headers=HeaderRules(removed=("Subject",))))


# BOUND: CROSSING_FIELDS, CROSSING_VALUE_CHARACTERS
def test_what_crosses_is_bounded():
    open_ = replace(PBX, headers=HeaderRules(passed=("X-*",)))
    assert len(_crossed(*[(f"X-{i}", "1") for i in range(200)], from_=open_)) == CROSSING_FIELDS
    assert _crossed(("X-A", "a" * (CROSSING_VALUE_CHARACTERS + 1)), from_=open_) == ()


def test_the_domain_that_a_trunk_is_known_by_stays_behind():
    registered = replace(TRUNK, domain=None, register=Register("1", "acme.carrier2.example"))
    assert _answered(("User-to-User", "acme.carrier2.example"), from_=registered) == ()
    assert _answered(("User-to-User", "carrier.example"), from_=TRUNK) == ()


def test_reason_is_relayed_and_made_where_there_is_none():
    between = Crossing(PBX, TRUNK)
    assert between.reason_fields(16) == (("Reason", "Q.850;cause=16"),)
    bye = Request("BYE", "sip:x@y", (("Reason", 'Q.850;cause=41;text="pbx.corp.example died"'),))
    assert between.reason_fields(16, bye) == (("Reason", "Q.850;cause=41"),)
    cancel = Request("CANCEL", "sip:x@y", (("Reason", 'SIP;cause=200;text="x", SIP;cause=600, X;cause=1, SIP'),))
    assert between.reason_fields(26, cancel) == (
        ("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),
        ("Reason", "Q.850;cause=26"),
    )
    made = Request("BYE", "sip:x@y", between.reason_fields(26, cancel))
    assert q850_of(made) == 26
    odd = Response(486, "", (("Reason", "Q.850;cause=999, SIP;cause=9, Q.850"),))
    assert between.reason_fields(17, odd) == (("Reason", "Q.850;cause=17"),)


@pytest.mark.parametrize(
    ("contact", "params"),
    [
        ("<sip:a@10.0.0.1>;isfocus;q=0.5", (("isfocus", None),)),
        ('<sip:a@10.0.0.1>;audio;methods="INVITE";+sip.instance="<urn:uuid:1>"', (("audio", None),)),
        ('<sip:a@h.example>;video="h.example"', ()),
        ("<sip:a@10.0.0.1>", ()),
        ("*", ()),
    ],
)
def test_our_contact_says_what_kind_of_end_is_there(contact, params):
    assert contact_params(Response(200, "", (("Contact", contact),)), HeaderRules()) == params


def test_which_features_cross_is_up_to_the_policy():
    message = Response(200, "", (("Contact", "<sip:a@b>;isfocus;+x.y;+sip.instance=1"),))
    assert contact_params(message, HeaderRules(features=())) == ()
    assert contact_params(message, HeaderRules(features=("+x.y", "+sip.instance"))) == (("+x.y", None),)


INNER = ("10.0.0.30", "2001:db8::7", "pbx7.corp.example", "CALLS.office.example", "phones.inner.example", "nas.local")
NAMES = (
    "Subject", "Priority", "Accept-Language", "Alert-Info", "User-to-User", "P-Early-Media", "Recv-Info",
    "Accept-Contact", "Reject-Contact", "Call-Info", "Organization", "X-A", "Reply-To", "Warning", "Via", "Reason",
)  # fmt: skip
SHAPES = (
    "{}", "<sip:{}>", "x@{}", '"{}"', '*;audio="{}"', "urn:alert:{}", "{}:5060, en", "a.{}", "https://{}/x", "en, {}",
    "supported, {}", "ab;purpose={}", "foo, {};x={}", "x\\{}", "%20{}",
)  # fmt: skip
noise = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=20)
soup = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(SHAPES), st.sampled_from(INNER), noise), max_size=12)


@given(soup, st.booleans())
def test_nothing_of_the_inner_hosts_is_in_what_crosses(fields, upper):
    open_ = replace(PBX, headers=HeaderRules(passed=("X-*", "Organization", "Call-Info", "Reply-To")))
    built = tuple(
        (name, more + shape.replace("{}", host.upper() if upper else host)) for name, shape, host, more in fields
    )
    for crossed in (_crossed(*built, from_=open_), _answered(*built, from_=open_, to=TRUNK)):
        text = " ".join(value for _, value in crossed).lower()
        assert not any(host.lower() in text for host in INNER)


def test_a_plain_invite_costs_next_to_nothing():
    request = Request("INVITE", "sip:x@y", OWN)
    seconds = min(timeit.repeat(lambda: crossing(PBX, TRUNK).request_fields(request, "INVITE"), number=2000, repeat=5))
    assert seconds / 2000 < 20e-6  # about half a microsecond; the rest is room for a busy machine


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text(max_size=60)), max_size=6))
def test_no_value_makes_it_raise(fields):
    open_ = replace(PBX, headers=HeaderRules(passed=("X-*",)))
    _crossed(*fields, ("Subject", "\udc80%20\udcff"), from_=open_)
    _answered(*fields, from_=open_, to=TRUNK)


def test_the_page_for_operators_lists_every_field_that_crosses():
    page = (Path(__file__).parents[3] / "docs/explanation/crossing.md").read_text()
    table = page.partition("## Header fields")[2].partition("\n\nCaller ID")[0]
    assert [name for name in _DEFAULTS if name not in table] == []
