"""Who a PBX may say is calling: a table for each mode of `caller_id`."""

import pytest

from sbc.b2bua.caller import CallerRefused, screen, screen_emergency
from sbc.b2bua.identity import ANONYMOUS, Parties, parties_of
from sbc.policy.model import CallerId, Peer
from sbc.sip.message import Request

MAIN, ANN, BOB = "+14155550100", "+14155550101", "+14155550102"  # owned
FOREIGN, OTHER = "+12125550123", "+442079460001"
HIDDEN = '"Anonymous" <sip:anonymous@anonymous.invalid>'


def _owns(number):
    return number.startswith("+141555501")


def _said(from_, **fields):
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    invite = Request("INVITE", "sip:911@10.0.0.1", (("From", f"{from_};tag=1"), *named))
    return parties_of(invite, _pbx())


def _pbx(mode="screen", default=MAIN, on_fail="replace"):
    return Peer("office", "pbx", "inside", (), caller_id=CallerId(mode, default, on_fail))


def _shown(judged):
    """Who is said to call, whether that is hidden, and who is vouched for."""
    assert isinstance(judged, Parties)
    return (judged.caller, judged.is_anonymous, judged.identity)


PAI, PPI, DIV, HIST = "P_Asserted_Identity", "P_Preferred_Identity", "Diversion", "History_Info"

# Alike whatever on_fail says.
PASS_THE_SCREEN = [
    (f"<sip:{ANN}@x>", {}, (ANN, False, ANN)),
    (f"<tel:{ANN}>", {}, (ANN, False, ANN)),
    (f"<sip:{ANN};npdi@x;user=phone>", {}, (ANN, False, ANN)),
    (f"<sip:{ANN}@x>", {PAI: f"<sip:{BOB}@x>"}, (ANN, False, BOB)),
    (f"<sip:{ANN}@x>", {PAI: f"<sip:{FOREIGN}@x>"}, (ANN, False, ANN)),
    (f"<sip:{ANN}@x>", {PAI: f"<sip:{FOREIGN}@x>", PPI: f"<tel:{BOB}>"}, (ANN, False, BOB)),
    (f"<sip:{ANN}@x>", {PAI: f"<sip:{ANN}@x>, <tel:{BOB}>"}, (ANN, False, BOB)),
    ("<sip:201@x>", {PAI: f"<sip:{BOB}@x>"}, (BOB, False, BOB)),
    ("<sip:201@x>", {PPI: f"<sip:{BOB}@x>"}, (BOB, False, BOB)),
    (f"<sip:{FOREIGN}@x>", {PAI: f"<sip:{BOB}@x>"}, (BOB, False, BOB)),
    (f"<sip:{FOREIGN}@x>", {DIV: f"<sip:{BOB}@x>;reason=no-answer"}, (FOREIGN, False, BOB)),
    (f"<sip:{FOREIGN}@x>", {DIV: f"<sip:1001@x>, <sip:{BOB}@x>"}, (FOREIGN, False, BOB)),
    (f"<sip:{FOREIGN}@x>", {DIV: f"<sip:{BOB}@x>, <sip:{ANN}@x>"}, (FOREIGN, False, BOB)),
    (f"<sip:{FOREIGN}@x>", {HIST: f"<sip:{ANN}@x>;index=1, <sip:{OTHER}@x>;index=1.1"}, (FOREIGN, False, ANN)),
    (f"<sip:{FOREIGN}@x>", {HIST: f"<sip:{ANN}@x>;index=1, <sip:{BOB}@x>;index=1.1"}, (FOREIGN, False, BOB)),
    (f"<sip:{FOREIGN}@x>", {DIV: f"<sip:{BOB}@x>", PAI: f"<sip:{ANN}@x>"}, (FOREIGN, False, ANN)),
    (f"<sip:{FOREIGN}@x>", {DIV: f"<sip:{BOB}@x>", PAI: f"<sip:{FOREIGN}@x>"}, (FOREIGN, False, BOB)),
    (HIDDEN, {}, (MAIN, True, MAIN)),
    (HIDDEN, {PAI: f"<sip:{ANN}@x>"}, (ANN, True, ANN)),
    (HIDDEN, {PAI: f"<sip:{ANN}@x>", "Privacy": "id"}, (ANN, True, ANN)),
    (HIDDEN, {PPI: f"<tel:{ANN}>", "Privacy": "user"}, (ANN, True, ANN)),
    (HIDDEN, {DIV: f"<sip:{BOB}@x>"}, (ANONYMOUS, True, BOB)),
    (HIDDEN, {DIV: f"<sip:{BOB}@x>", PAI: f"<sip:{FOREIGN}@x>"}, (ANONYMOUS, True, BOB)),
    (f"<sip:{ANN}@x>", {"Privacy": "id"}, (ANN, True, ANN)),
    (f"<sip:{ANN}@x>", {"Privacy": "user"}, (ANN, True, ANN)),
    (f"<sip:{ANN}@x>", {"Privacy": "header;critical"}, (ANN, True, ANN)),
    (f"<sip:{ANN}@x>", {"Privacy": "session"}, (ANN, False, ANN)),
    (f"<sip:{ANN}@x>", {"Privacy": "none"}, (ANN, False, ANN)),
    (f"<sip:{ANN}@x>", {"Privacy": "none;id"}, (ANN, False, ANN)),
]


@pytest.mark.parametrize("on_fail", ["replace", "reject", "anonymous"])
@pytest.mark.parametrize(("from_", "fields", "shown"), PASS_THE_SCREEN)
def test_a_caller_that_passes_the_screen(on_fail, from_, fields, shown):
    assert _shown(screen(_said(from_, **fields), _pbx(on_fail=on_fail), _owns)) == shown


FAIL_AT_THE_SCREEN = [
    (f'"IRS" <sip:{FOREIGN}@x>', {}, False),
    ("<sip:201@x>", {}, False),
    ("<sip:ann@x>", {}, False),
    ("<sip:x>", {PAI: f"<sip:{FOREIGN}@x>"}, False),
    (f"<sip:{FOREIGN}@x>", {PAI: f"<sip:{OTHER}@x>"}, False),
    (f"<sip:{FOREIGN}@x>", {DIV: f"<sip:{OTHER}@x>;reason=user-busy"}, False),
    (f"<sip:{FOREIGN}@x>", {DIV: "<<>", HIST: "<sip:1@x>"}, False),
    (f"<sip:{FOREIGN}@x>", {"Privacy": "id"}, True),
    (HIDDEN, {PAI: f"<sip:{FOREIGN}@x>"}, True),
]


@pytest.mark.parametrize(("from_", "fields", "hidden"), FAIL_AT_THE_SCREEN)
def test_a_caller_that_fails_is_replaced(from_, fields, hidden):
    judged = screen(_said(from_, **fields), _pbx(), _owns)
    assert _shown(judged) == (MAIN, hidden, MAIN)
    assert judged.display == ""
    assert "no DID of office" in judged.screened


@pytest.mark.parametrize(("from_", "fields", "_hidden"), FAIL_AT_THE_SCREEN)
def test_a_caller_that_fails_is_rejected(from_, fields, _hidden):
    judged = screen(_said(from_, **fields), _pbx(on_fail="reject"), _owns)
    assert isinstance(judged, CallerRefused)
    assert judged.status == 403
    assert "no DID of office" in judged.why


@pytest.mark.parametrize(("from_", "fields", "_hidden"), FAIL_AT_THE_SCREEN)
@pytest.mark.parametrize(("default", "caller"), [(MAIN, MAIN), ("", ANONYMOUS)])
def test_a_caller_that_fails_is_made_anonymous(from_, fields, _hidden, default, caller):
    judged = screen(_said(from_, **fields), _pbx(default=default, on_fail="anonymous"), _owns)
    assert _shown(judged) == (caller, True, default)


def test_no_foreign_number_gets_out_where_there_is_no_default():
    judged = screen(_said(f"<sip:{FOREIGN}@x>"), _pbx(default=""), _owns)
    assert isinstance(judged, CallerRefused)
    assert "no default" in judged.why


@pytest.mark.parametrize(
    ("from_", "fields", "shown"),
    [
        (f"<sip:{ANN}@x>", {}, (ANN, False, ANN)),
        (f"<sip:{FOREIGN}@x>", {}, (FOREIGN, False, MAIN)),
        (f"<sip:{FOREIGN}@x>", {DIV: f"<sip:{BOB}@x>"}, (FOREIGN, False, BOB)),
        (f"<sip:{FOREIGN}@x>", {PAI: f"<sip:{OTHER}@x>"}, (FOREIGN, False, OTHER)),
        (f"<sip:{ANN}@x>", {PPI: f"<sip:{BOB}@x>"}, (ANN, False, BOB)),
        (HIDDEN, {PAI: f"<sip:{OTHER}@x>"}, (OTHER, True, OTHER)),
        (HIDDEN, {}, (MAIN, True, MAIN)),
        (f"<sip:{FOREIGN}@x>", {"Privacy": "id"}, (FOREIGN, True, MAIN)),
    ],
)
def test_pass_takes_a_pbx_at_its_word(from_, fields, shown):
    assert _shown(screen(_said(from_, **fields), _pbx("pass"), _owns)) == shown


def test_pass_without_a_default_vouches_for_nobody_whom_it_does_not_know():
    said = _said(f"<sip:{FOREIGN}@x>")
    assert screen(said, _pbx("pass", default=""), _owns) == said


@pytest.mark.parametrize(
    ("from_", "fields", "hidden"),
    [
        (f'"Acme" <sip:{ANN}@x>', {}, False),
        (f'"Acme" <sip:{FOREIGN}@x>', {PAI: f"<sip:{ANN}@x>", DIV: f"<sip:{BOB}@x>"}, False),
        (f'"Acme" <sip:{ANN}@x>', {"Privacy": "id"}, True),
        (HIDDEN, {}, True),
    ],
)
def test_fixed_shows_the_default_and_keeps_name_and_privacy(from_, fields, hidden):
    said = _said(from_, **fields)
    judged = screen(said, _pbx("fixed"), _owns)
    assert _shown(judged) == (MAIN, hidden, MAIN)
    assert judged.display == said.display


def test_fixed_without_a_number_is_refused():
    assert isinstance(screen(_said(f"<sip:{ANN}@x>"), _pbx("fixed", default=""), _owns), CallerRefused)


@pytest.mark.parametrize(
    ("rules", "from_", "fields", "number"),
    [
        (("screen", MAIN, "reject"), f"<sip:{ANN}@x>", {}, ANN),
        (("screen", MAIN, "reject"), f"<sip:{ANN}@x>", {"Privacy": "id;critical"}, ANN),
        (("screen", MAIN, "reject"), HIDDEN, {PAI: f"<sip:{ANN}@x>", "Privacy": "id"}, ANN),
        (("screen", MAIN, "reject"), HIDDEN, {"Privacy": "user"}, MAIN),
        (("screen", MAIN, "reject"), f"<sip:{FOREIGN}@x>", {}, MAIN),
        (("screen", MAIN, "anonymous"), "<sip:201@x>", {}, MAIN),
        (("screen", "", "replace"), f"<sip:{FOREIGN}@x>", {}, FOREIGN),
        (("screen", "", "reject"), "<sip:201@x>", {}, "201"),
        (("screen", "", "anonymous"), HIDDEN, {PAI: f"<sip:{FOREIGN}@x>"}, FOREIGN),
        (("fixed", MAIN, "replace"), f"<sip:{ANN}@x>", {"Privacy": "id"}, MAIN),
        (("fixed", "", "replace"), f"<sip:{ANN}@x>", {}, ANN),
        (("pass", MAIN, "replace"), f"<sip:{FOREIGN}@x>", {}, FOREIGN),
        (("pass", MAIN, "replace"), "<sip:201@x>", {}, MAIN),
        (("pass", "", "replace"), "<sip:201@x>", {}, "201"),
        (("pass", MAIN, "replace"), HIDDEN, {}, MAIN),
        (("pass", MAIN, "replace"), HIDDEN, {PAI: f"<sip:{OTHER}@x>"}, OTHER),
    ],
)
def test_an_emergency_caller_is_shown_and_can_be_called_back_if_possible(rules, from_, fields, number):
    judged = screen_emergency(_said(from_, **fields), _pbx(*rules), _owns)
    assert _shown(judged) == (number, False, number)
    assert not judged.privacy


def test_an_emergency_caller_of_whom_nothing_is_known_is_let_through():
    assert _shown(screen_emergency(_said(HIDDEN), _pbx(default=""), _owns)) == (ANONYMOUS, False, "")


def test_what_screening_changes_it_says():
    judged = screen(_said("<sip:201@x>", P_Asserted_Identity=f"<sip:{BOB}@x>"), _pbx(), _owns)
    assert judged.screened == f"caller 201 shown as {BOB}, which office asserts and owns"
    assert screen(_said(f"<sip:{ANN}@x>"), _pbx(), _owns).screened == ""
