"""Event and Subscription-State (RFC 6665 §8.2.1, §8.2.3): read leniently, printed strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.sip.headers.event import Event, SubscriptionState, parse_event, parse_subscription_state
from sbc.sip.headers.session import LARGEST_DELTA


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("message-summary", Event("message-summary")),
        ("Foo", Event("Foo")),
        ("presence.winfo", Event("presence.winfo")),
        ("refer;id=93809824", Event("refer", (), "93809824")),
        (" refer ; id = 7 ; a=b ; c", Event("refer", (("a", "b"), ("c", None)), "7")),
        ('dialog;call-id="a@b"', Event("dialog", (("call-id", '"a@b"'),))),
        ("foo;id", Event("foo")),
        ("foo;id=<1>", None),
        ('foo;id="1 2"', None),
        ("foo;id=1;id=2", None),
        ("foo;;", None),
        ("foo bar", None),
        ("foo, bar", None),
        (".foo", None),
        ("foo.", None),
        ("foo" + ".x" * 20, None),
        ("x" * 257, None),
        (";id=1", None),
        ("", None),
    ],
)
def test_an_event_is_read_or_is_not_there(text, event):
    assert parse_event(text) == event


def test_an_id_is_printed_first():
    assert str(Event("refer", (("a", "b"),), "7")) == "refer;id=7;a=b"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("active", SubscriptionState("active")),
        ("Active ; Expires=3600", SubscriptionState("active", 3600)),
        ("terminated;reason=NoResource", SubscriptionState("terminated", None, "noresource")),
        ("terminated;reason=probation;retry-after=30", SubscriptionState("terminated", None, "probation", 30)),
        ('terminated;reason="timeout"', SubscriptionState("terminated", None, "timeout")),
        ("pending;expires=9999999999999;x=y", SubscriptionState("pending", LARGEST_DELTA)),
        ("active;expires=" + "9" * 5000, SubscriptionState("active", LARGEST_DELTA)),
        ("active;expires=soon;retry-after=-1", SubscriptionState("active")),
        ('terminated;reason="no reason"', SubscriptionState("terminated")),
        ("waiting", SubscriptionState("waiting")),
        ("active;expires=1;expires=2", None),
        ("active;;", None),
        ("not active", None),
        ("", None),
        (";expires=1", None),
    ],
)
def test_a_subscription_state_is_read_or_is_not_there(text, state):
    assert parse_subscription_state(text) == state


def test_a_subscription_state_is_printed_whole():
    assert str(SubscriptionState("terminated", 0, "probation", 30)) == (
        "terminated;reason=probation;expires=0;retry-after=30"
    )


_TOKENS = st.text("abcxyz019-!%*_+`'~", min_size=1, max_size=12)
_SECONDS = st.none() | st.integers(0, LARGEST_DELTA)


@given(
    st.builds(
        Event,
        st.lists(_TOKENS, min_size=1, max_size=3).map(".".join),
        st.dictionaries(_TOKENS.filter(lambda name: name != "id"), st.none() | _TOKENS, max_size=3).map(
            lambda params: tuple(params.items())
        ),
        st.none() | _TOKENS,
    )
)
def test_what_is_printed_of_an_event_is_read_the_same(event):
    assert parse_event(str(event)) == event


@given(st.builds(SubscriptionState, _TOKENS, _SECONDS, st.none() | _TOKENS, _SECONDS))
def test_what_is_printed_of_a_state_is_read_the_same(state):
    assert parse_subscription_state(str(state)) == state


@given(st.text('abc;=,." \\<id>expirs0²', max_size=60))
def test_garbage_never_raises(text):
    parse_event(text)
    parse_subscription_state(text)
