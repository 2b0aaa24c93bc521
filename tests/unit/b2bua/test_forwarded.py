"""Diversion and History-Info of a forwarded call, told to trunks and to PBXs."""
# RFC: 5806, 6044, 7044

import pytest

from sbc.b2bua.forwarded import forwarding_fields
from sbc.b2bua.identity import Parties
from sbc.policy.model import Peer, Target
from sbc.sip.headers.identity import parse_diversions, parse_history

TRUNK = Peer("carrier", "trunk", "outside", ())
PBX = Peer("office", "pbx", "inside", ())
DID, MOBILE = "+14155550101", "+14155559999"


def _told(peer, *, diversions=(), history=(), did="", called=MOBILE, called_e164=None, privacy=()):
    parties = Parties(
        called,
        "+12125550123",
        "",
        70,
        privacy=frozenset(privacy),
        diversions=parse_diversions(diversions),
        history=parse_history(history),
    )
    target = Target(peer, called, "", 180.0, called_e164=called_e164 or called, diverted_from=did)
    fields = forwarding_fields(target, parties, "host", lambda number: number.removeprefix("+1"))
    return [value for name, value in fields if name == "Diversion"], [v for n, v in fields if n == "History-Info"]


def test_the_latest_diversion_stays_on_top():
    told, history = _told(TRUNK, diversions=["<sip:+12@x>;reason=away", "<sip:+13@x>;reason=user-busy;counter=1"])
    assert told == ["<sip:2@host>;reason=away", "<sip:3@host>;reason=user-busy;counter=1"]
    assert not history


@pytest.mark.parametrize(
    ("diversions", "told"),
    [
        (["<sip:bob@x>"], []),
        (["<sip:x>"], []),
        (["<sip:bob@x>;counter=3", "<sip:+12@x>"], ["<sip:2@host>;counter=4"]),
        (["<sip:+12@x>;counter=2", "<sip:bob@x>", "<sip:+13@x>"], ["<sip:2@host>;counter=2", "<sip:3@host>;counter=2"]),
        (["<sip:+12@x>;counter=60", "<sip:bob@x>;counter=60"], ["<sip:2@host>;counter=99"]),
        (["<sip:1001@x>;reason=follow-me"], ["<sip:1001@host>;reason=follow-me"]),
    ],
)
def test_a_trunk_hears_no_names_but_how_often_the_call_was_sent_on(diversions, told):
    assert _told(TRUNK, diversions=diversions)[0] == told


def test_a_pbx_hears_names_but_not_who_wants_to_stay_hidden():
    diversions = ["<sip:bob@x>;reason=away;privacy=name", "<sip:+12@x>;reason=user-busy;privacy=full"]
    assert _told(PBX, diversions=diversions)[0] == [
        "<sip:bob@host>;reason=away;privacy=name",
        "<sip:anonymous@anonymous.invalid>;reason=user-busy;privacy=full",
    ]


def test_a_trunk_keeps_the_secret_of_who_wants_to_stay_hidden():
    assert _told(TRUNK, diversions=["<sip:+12@x>;privacy=full"])[0] == ["<sip:2@host>;privacy=full"]


HISTORY = ["<sip:+12@x>;index=1", "<sip:+13@x;cause=302>;index=1.1;mp=1"]


def test_a_history_keeps_its_places():
    assert _told(TRUNK, history=HISTORY)[1] == ["<sip:2@host>;index=1", "<sip:3@host;cause=302>;index=1.1;mp=1"]


@pytest.mark.parametrize("privacy", ["history", "header"])
@pytest.mark.parametrize("peer", [TRUNK, PBX])
def test_a_private_history_tells_how_but_not_who(peer, privacy):
    assert _told(peer, history=HISTORY, privacy=[privacy])[1] == [
        "<sip:anonymous@anonymous.invalid>;index=1",
        "<sip:anonymous@anonymous.invalid;cause=302>;index=1.1;mp=1",
    ]


def test_an_entry_may_be_private_alone():
    history = ["<sip:+12@x?Privacy=history>;index=1", "<sip:bob@x>;index=1.1", "<sip:+14@x>;index=1.1.1;rc=1.1"]
    assert _told(TRUNK, history=history)[1] == [
        "<sip:anonymous@anonymous.invalid>;index=1",
        "<sip:anonymous@anonymous.invalid>;index=1.1",
        "<sip:4@host>;index=1.1.1;rc=1.1",
    ]


def test_a_disaster_plan_tells_of_itself_in_both_ways():
    told, history = _told(TRUNK, did=DID)
    assert told == ["<sip:4155550101@host>;reason=out-of-service;counter=1"]
    assert history == ["<sip:4155550101@host>;index=1", "<sip:+14155559999@host;cause=404>;index=1.1;mp=1"]


def test_a_disaster_plan_comes_after_what_happened_before():
    told, history = _told(TRUNK, did=DID, diversions=["<sip:+12@x>;counter=2", "<sip:bob@x>"], history=HISTORY)
    assert told == ["<sip:4155550101@host>;reason=out-of-service;counter=1", "<sip:2@host>;counter=3"]
    assert history == [
        "<sip:2@host>;index=1",
        "<sip:3@host;cause=302>;index=1.1;mp=1",
        "<sip:4155550101@host>;index=1.1.0.1",
        "<sip:+14155559999@host;cause=404>;index=1.1.0.1.1;mp=1.1.0.1",
    ]


def test_a_history_that_ends_with_the_did_is_continued_from_there():
    assert _told(TRUNK, did=DID, history=["<sip:4155550101@x>;index=1"])[1] == [
        "<sip:4155550101@host>;index=1",
        "<sip:+14155559999@host;cause=404>;index=1.1;mp=1",
    ]


def test_all_that_went_before_counts_where_nobody_of_it_is_named():
    assert _told(TRUNK, did=DID, diversions=["<sip:bob@x>;counter=4"])[0] == [
        "<sip:4155550101@host>;reason=out-of-service;counter=5"
    ]


def test_a_number_that_stays_the_same_was_not_diverted():
    assert _told(PBX, did=DID, called="0101", called_e164=DID) == ([], [])
