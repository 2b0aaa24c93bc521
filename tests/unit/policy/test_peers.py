"""What a peer may do in and beside a call: the words, and what holds where the policy says nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.policy.load import Source, parse_policy
from sbc.policy.model import EVENTS, TALK_METHODS, CodecRules, HeaderRules, SessionTimerRules
from sbc.policy.problems import PolicyError


def test_a_pbx_may_move_calls_on_and_a_carrier_may_not(load, well):
    peers = load(well).peers
    assert (peers["office"].transfer, peers["office"].redirect) == ("terminate", "follow")
    assert (peers["carrier-a"].transfer, peers["carrier-a"].redirect) == ("refuse", "refuse")


@pytest.mark.parametrize("name", ["office", "carrier-a"])
def test_all_else_is_the_same_for_both_where_nothing_is_said(load, well, name):
    peer = load(well).peers[name]
    assert (peer.t38, peer.hold, peer.dtmf, peer.early_media, peer.delayed_offer, peer.reliable) == (
        "pass", "pass", "pass", "pass", "pass", "offer",
    )  # fmt: skip
    assert (peer.methods, peer.events) == (TALK_METHODS, EVENTS)
    assert (peer.codecs, peer.headers, peer.session_timer) == (CodecRules(), HeaderRules(), SessionTimerRules())


WORDS = {
    "transfer": ("pass", "terminate", "refuse"),
    "redirect": ("follow", "refuse"),
    "t38": ("pass", "refuse"),
    "hold": ("pass", "inactive"),
    "dtmf": ("pass", "rfc4733", "info"),
    "early_media": ("pass", "ringback"),
    "delayed_offer": ("pass", "convert"),
    "reliable": ("offer", "off"),
}


@pytest.mark.parametrize(("key", "word"), [(key, word) for key, words in WORDS.items() for word in words])
@pytest.mark.parametrize("peer", ["pbxs: {x: {address", "trunks: {x: {servers"])
def test_each_word_reaches_its_value(load, well, peer, key, word):
    policy = load(well, f"{peer}: sip:h, interface: inside, {key}: {word}}}}}")
    assert getattr(policy.peers["x"], key) == word


@pytest.mark.parametrize("key", list(WORDS))
def test_another_word_is_an_error_with_the_choices(errors, well, key):
    choices = " or ".join(WORDS[key])
    assert errors(well, f"trunks:\n  x:\n    interface: outside\n    servers: sip:h\n    {key}: maybe\n") == [
        f"b.yaml:5:{len(key) + 7}: `maybe` is not a choice here; expected {choices}"
    ]


_WORDS = st.sampled_from(
    ["PCMA", "0", "telephone-event", "INVITE", "presence", "X-*", "Via", "90s", "off", "", "*", "/"]
)
_SCALARS = _WORDS | st.none() | st.text(max_size=6)
_NAMES = st.sampled_from(["allow", "order", "expires", "min", "pass", "remove", "add", "forwarded"])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES | _WORDS, inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from([*WORDS, "codecs", "methods", "events", "headers", "session_timer"])


@given(st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_whatever_stands_there_it_is_a_policy_or_errors_with_places(keys):
    """JSON is YAML, but for some escapes: those are errors with a place as well."""
    peer = {"interface": "wan", "servers": "sip:h", **keys}
    interface = {"sip": "udp:127.0.0.1:5060", "media": "127.0.0.1"}
    text = json.dumps({"interfaces": {"wan": interface}, "trunks": {"x": peer}})
    policy, problems = None, ()
    try:
        policy = parse_policy([Source("a.yaml", text.encode())])
    except PolicyError as error:
        problems = error.problems
    assert all(problem.where.file == "a.yaml" and problem.wrong and problem.expected for problem in problems)
    assert bool(problems) == (policy is None)
