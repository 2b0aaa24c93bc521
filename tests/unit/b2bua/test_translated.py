"""RFC 6044: its own examples, and what a peer's policy makes of them."""
# RFC: 5806, 6044, 7044

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.b2bua.forwarded import forwarding_fields
from sbc.b2bua.identity import Parties
from sbc.b2bua.translated import diversions_of, history_of
from sbc.core.limits import HISTORY_VALUES
from sbc.policy.model import HeaderRules, Peer, Target
from sbc.sip.headers.identity import parse_diversions, parse_history

DIVERSIONS = (
    "<sip:+13@x>;reason=unconditional;counter=1;privacy=off",
    "<sip:+12@x>;reason=user-busy;counter=1;privacy=full",
    "<sip:+11@x>;reason=no-answer;counter=1;privacy=off",
)


def _history(diversions=DIVERSIONS, called="+19"):
    return [
        (entry.number, entry.index, entry.cause, entry.is_private)
        for entry in history_of(parse_diversions(diversions), called)
    ]


def test_the_first_example_of_the_rfc():  # §7.1
    assert _history() == [
        ("+11", "1", None, False),
        ("+12", "1.1", 408, True),
        ("+13", "1.1.1", 486, False),
        ("+19", "1.1.1.1", 302, False),
    ]


def test_the_second_example_of_the_rfc():  # §7.2
    history = parse_history(
        [
            "<sip:+11@x?Privacy=history>;index=1",
            "<sip:+12@x;cause=302?Privacy=none>;index=1.1",
            "<sip:+13@x;cause=486>;index=1.1.1",
        ]
    )
    told = [(each.number, each.reason, each.counter, each.privacy) for each in diversions_of(history)]
    assert told == [("+12", "user-busy", 1, "off"), ("+11", "unconditional", 1, "full")]
    assert {each.privacy for each in diversions_of(history, hides=True)} == {"full"}


def test_a_counter_makes_placeholders():  # §5, note 4
    assert _history(["<sip:+12@x>;reason=user-busy;counter=3"]) == [
        ("", "1", None, False),
        ("", "1.1", 404, False),
        ("+12", "1.1.1", 404, False),
        ("+19", "1.1.1.1", 486, False),
    ]


def test_an_entry_that_nobody_diverted_makes_no_diversion():  # §7.3: the proxies of the path
    history = parse_history(["<sip:p1@x>;index=1", "<sip:+12@x>;index=1.1", "<sip:+13@x;cause=408>;index=1.1.1;mp=1.1"])
    assert [each.number for each in diversions_of(history)] == ["+12"]
    assert diversions_of(parse_history(["<sip:+12@x;cause=302>;index=1"])) == ()


@given(
    st.lists(
        st.tuples(st.integers(10, 99), st.sampled_from(["user-busy", "no-answer", "unconditional", "deflection"])),
        min_size=1,
        max_size=8,
    )
)
def test_there_and_back_again(said):
    diversions = parse_diversions([f"<sip:+{number}@x>;reason={reason};counter=1" for number, reason in said])
    back = diversions_of(history_of(diversions, "+1"))
    assert [(each.number, each.reason) for each in back] == [(each.number, each.reason) for each in diversions]


# BOUND: HISTORY_VALUES
@given(st.lists(st.integers(0, 99), max_size=10))
def test_a_history_is_bounded(counters):
    history = history_of(parse_diversions([f"<sip:+12@x>;counter={n}" for n in counters]), "+1")
    assert len(history) <= HISTORY_VALUES
    assert parse_history([entry.printed("sip:+1@h") for entry in history]) != () or not history


def _told(forwarded, *, diversions=(), history=(), did=""):
    peer = Peer("carrier", "trunk", "outside", (), headers=HeaderRules(forwarded=forwarded))
    parties = Parties(
        "+14155550101", "+1212", "", 70, diversions=parse_diversions(diversions), history=parse_history(history)
    )
    target = Target(peer, "+14155559999", "", 180.0, called_e164="+14155559999", diverted_from=did)
    return forwarding_fields(target, parties, "host", lambda number: number)


DIVERSION = ("Diversion", "<sip:+12@host>;reason=user-busy")
MADE = [
    ("History-Info", "<sip:+12@host>;index=1"),
    ("History-Info", "<sip:+14155550101@host;cause=486>;index=1.1;mp=1"),
]


@pytest.mark.parametrize(
    ("forwarded", "fields"),
    [("as-received", [DIVERSION]), ("diversion", [DIVERSION]), ("history-info", MADE), ("both", [DIVERSION, *MADE])],
)
def test_a_peer_is_told_of_a_diversion_in_the_way_that_it_knows(forwarded, fields):
    assert _told(forwarded, diversions=["<sip:+12@x>;reason=user-busy"]) == fields


def test_a_peer_that_knows_diversion_is_told_of_a_history():
    history = ["<sip:+12@x>;index=1", "<sip:+13@x;cause=302>;index=1.1;mp=1"]
    diversion = ("Diversion", "<sip:+12@host>;reason=unconditional;counter=1;privacy=off")
    assert _told("diversion", history=history) == [diversion]
    assert _told("both", history=history)[0] == diversion
    assert [name for name, _ in _told("as-received", history=history)] == ["History-Info", "History-Info"]


def test_where_both_came_neither_is_made():
    fields = _told("both", diversions=["<sip:+12@x>"], history=["<sip:+13@x>;index=1"])
    assert fields == [("Diversion", "<sip:+12@host>"), ("History-Info", "<sip:+13@host>;index=1")]


def test_a_disaster_plan_is_told_of_in_the_way_that_the_peer_knows():
    assert [name for name, _ in _told("diversion", did="+14155550101")] == ["Diversion"]
    assert [value for _, value in _told("history-info", did="+14155550101", diversions=["<sip:+12@x>"])] == [
        "<sip:+12@host>;index=1",
        "<sip:+14155550101@host;cause=404>;index=1.1;mp=1",
        "<sip:+14155559999@host;cause=404>;index=1.1.1;mp=1.1",
    ]
