"""P-Asserted-Identity, Privacy, Diversion and History-Info: read leniently, printed strictly."""
# RFC: 3326

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core import limits
from sbc.sip.headers.identity import (
    DIVERSION_REASONS,
    NOTHING,
    Diversion,
    HistoryEntry,
    identity_of,
    number_of,
    parse_asserted,
    parse_diversions,
    parse_history,
    parse_privacy,
    privacy_text,
)
from sbc.sip.message import Request
from sbc.sip.uri import SipUri, TelUri, parse_uri


def _request(*fields):
    return Request("INVITE", "sip:x@y", fields)


def test_a_request_without_any_of_it_says_nothing():
    assert identity_of(_request(("From", "<sip:a@b>"), ("Subject", "Privacy"))) is NOTHING


def test_all_of_it_is_read_from_one_request():
    said = identity_of(
        _request(
            ("P-Asserted-Identity", '"Ann" <sip:+14155550100@x>'),
            ("P-Asserted-Identity", "tel:+14155550101"),
            ("P-Preferred-Identity", "<sip:+14155550102@x>"),
            ("Privacy", "id; critical"),
            ("Diversion", "<sip:+14155550103@x>;reason=user-busy;counter=2;privacy=full"),
            ("History-Info", "<sip:+14155550104@x>;index=1, <sip:+14155550105@x;cause=486>;index=1.1;mp=1"),
        )
    )
    assert [number_of(address.uri) for address in said.asserted] == ["+14155550100", "+14155550101"]
    assert [number_of(address.uri) for address in said.preferred] == ["+14155550102"]
    assert said.privacy == {"id", "critical"}
    assert [(d.number, d.reason, d.counter, d.privacy) for d in said.diversions] == [
        ("+14155550103", "user-busy", 2, "full")
    ]
    assert [(h.number, h.index, h.target, h.cause) for h in said.history] == [
        ("+14155550104", "1", None, None),
        ("+14155550105", "1.1", ("mp", "1"), 486),
    ]


# --- P-Asserted-Identity ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "uris"),
    [
        (["<sip:1@x>"], ["sip:1@x"]),
        (["sip:1@x"], ["sip:1@x"]),
        (["<sip:1@x>, <tel:+12>"], ["sip:1@x", "tel:+12"]),
        (["<tel:+12>", "<sips:1@x>"], ["tel:+12", "sips:1@x"]),
        (["<sip:1@x>", "<sip:2@x>"], ["sip:1@x"]),
        (["<<>", "<sip:2@x>"], ["sip:2@x"]),
        (["<http://x>", "<tel:+12>"], ["tel:+12"]),
        (['"Smith, Ann" <sip:1@x>'], ["sip:1@x"]),
        ([""], []),
        (["<sip:1@x", ","], []),
    ],
)
def test_one_sip_and_one_tel_identity_count(values, uris):
    assert [str(address.uri) for address in parse_asserted(values)] == uris


# --- Privacy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "tokens"),
    [
        (["id"], {"id"}),
        (["ID;User"], {"id", "user"}),
        (["header ; session;critical"], {"header", "session", "critical"}),
        (["id,header"], {"id", "header"}),
        (["id", "user"], {"id", "user"}),
        (["none"], {"none"}),
        ([";;"], set()),
        (["<x>; id"], {"id"}),
    ],
)
def test_privacy_is_a_set_of_tokens(values, tokens):
    assert parse_privacy(values) == tokens


def test_privacy_is_printed_in_one_order_and_without_what_nobody_knows():
    assert privacy_text(frozenset(("critical", "id", "user", "pbx.internal"))) == "user;id;critical"
    assert privacy_text(frozenset()) == ""


# --- Diversion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("<sip:1@x>;reason=no-answer", "<sip:1@x>;reason=no-answer"),
        ('<sip:1@x>;reason="user-busy";counter=1', "<sip:1@x>;reason=user-busy;counter=1"),
        ('"Ann" <tel:+1234>;counter=07;limit=3;screen=yes', "<tel:+1234>;counter=7;limit=3;screen=yes"),
        ("sip:1@x;reason=unconditional", "<sip:1@x>;reason=unconditional"),
        ("<sip:1@x>;reason=at-pbx.internal", "<sip:1@x>;reason=unknown"),
        ("<sip:1@x>;counter=100;privacy=pbx.internal;screen=perhaps", "<sip:1@x>"),
        ("<sip:1@x?Subject=secret>;reason=away", "<sip:1@x>;reason=away"),
    ],
)
def test_a_diversion_keeps_what_the_rfc_names(value, printed):
    (diversion,) = parse_diversions([value])
    assert str(diversion) == printed


def test_a_diversion_that_cannot_be_read_hides_no_other():
    found = parse_diversions(["<sip:1@x>;counter=1;counter=2, <sip:2@x>", "<http://x>", "<sip:3@x>;;", "<sip:4@x>"])
    assert [diversion.number for diversion in found] == ["2", "4"]


# BOUND: DIVERSION_VALUES
def test_only_so_many_diversions_are_read():
    values = [", ".join(["<sip:1@x>"] * 7)] * 5
    assert len(parse_diversions(values)) == limits.DIVERSION_VALUES


# --- History-Info -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("<sip:1@x>;index=1", "<sip:1@x>;index=1"),
        ("<sip:1@x>;index=1.2.13;rc=1.2", "<sip:1@x>;index=1.2.13;rc=1.2"),
        ("<sip:1@x;cause=302;user=phone>;index=1.1;np=1", "<sip:1@x;user=phone;cause=302>;index=1.1;np=1"),
        ("<tel:+123;cause=486>;index=1.1;mp=1", "<tel:+123;cause=486>;index=1.1;mp=1"),
        (
            "<sip:UserB@example.com?Privacy=history&Reason=SIP%3Bcause%3D486>;index=1.2;mp=1.1",
            "<sip:UserB@example.com?Privacy=history&Reason=SIP%3Bcause%3D486>;index=1.2;mp=1.1",
        ),
        (
            "<sip:1@x?Privacy=none?Reason=SIP%3Bcause%3D302%3Btext%3D%22at%20pbx%22>;index=1;foo=bar",
            "<sip:1@x?Reason=SIP%3Bcause%3D302>;index=1",
        ),
        ("<sip:1@x?Reason=Q.850%3Bcause%3D17&Subject=s>;index=1", "<sip:1@x?Reason=Q.850%3Bcause%3D17>;index=1"),
        ("<sip:1@x;cause=4711>;index=1;mp=x", "<sip:1@x>;index=1"),
    ],
)
def test_a_history_entry_keeps_place_causes_and_privacy(value, printed):
    (entry,) = parse_history([value])
    assert str(entry) == printed


@pytest.mark.parametrize("index", ["", ";index", ";index=", ";index=1.", ";index=a", ";index=" + "1." * 40 + "1"])
def test_an_entry_that_has_no_place_is_left_out(index):
    assert [entry.index for entry in parse_history([f"<sip:1@x>{index}, <sip:2@x>;index=1"])] == ["1"]


# BOUND: HISTORY_VALUES
def test_only_so_many_entries_are_read():
    assert len(parse_history(["<sip:1@x>;index=1"] * 100)) == limits.HISTORY_VALUES


# --- both -------------------------------------------------------------------------------------------------------------

_NUMBERS = st.text("0123456789", min_size=1, max_size=15).map(lambda digits: "+" + digits)
_URIS = st.one_of(
    _NUMBERS.map(lambda number: SipUri("sip", number, None, "example.com", None)),
    _NUMBERS.map(TelUri),
)
_INDEXES = st.lists(st.integers(0, 99), min_size=1, max_size=5).map(lambda parts: ".".join(map(str, parts)))


@given(
    st.builds(
        Diversion,
        _URIS,
        st.sampled_from(["", *sorted(DIVERSION_REASONS)]),
        st.none() | st.integers(0, 99),
        st.none() | st.integers(0, 99),
        st.sampled_from(["", "full", "name", "uri", "off"]),
        st.sampled_from(["", "yes", "no"]),
    )
)
def test_what_is_printed_of_a_diversion_is_read_the_same(diversion):
    assert parse_diversions([str(diversion)]) == (diversion,)


@given(
    st.builds(
        HistoryEntry,
        _URIS.filter(lambda uri: isinstance(uri, SipUri)),
        _INDEXES,
        st.none() | st.tuples(st.sampled_from(["rc", "mp", "np"]), _INDEXES),
        st.none() | st.integers(100, 999),
        st.none() | st.tuples(st.sampled_from(["SIP", "Q.850"]), st.integers(1, 699)),
        st.booleans(),
    )
)
def test_what_is_printed_of_a_history_entry_is_read_the_same(entry):
    assert parse_history([str(entry)]) == (entry,)


@given(st.lists(st.text('<>;,=?&%"\\ sip:tel+1@x.counterindexmprcSIPcause', max_size=60), max_size=4))
def test_garbage_never_raises(values):
    for name in ("P-Asserted-Identity", "P-Preferred-Identity", "Privacy", "Diversion", "History-Info"):
        identity_of(_request(*[(name, value) for value in values]))


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("sip:+14155550100;npdi;rn=+12125550100@x;user=phone", "+14155550100"),
        ("tel:+1-415-555-0100;phone-context=x", "+14155550100"),
        ("sip:%2B1@x", "+1"),
        ("sip:x", ""),
        ("mailto:x@y", ""),
    ],
)
def test_the_number_of_a_uri(uri, number):
    assert number_of(parse_uri(uri)) == number
