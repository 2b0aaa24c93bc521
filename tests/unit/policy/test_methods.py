"""What a peer may send: methods in any case, the ones that calls need in any case, and event packages."""

import pytest

from sbc.policy.model import EVENTS, TALK_METHODS


def trunk(keys: str) -> str:
    return f"trunks:\n  x: {{interface: outside, servers: sip:h, {keys}}}\n"


def test_what_is_listed_replaces_the_default_but_not_what_calls_need(load, well):
    peer = load(well, trunk("methods: [invite, Message]")).peers["x"]
    assert peer.methods == {"INVITE", "MESSAGE", "ACK", "BYE", "CANCEL", "PRACK"}
    assert peer.events == EVENTS


def test_a_single_method_may_stand_without_a_list(load, well):
    assert load(well, trunk("methods: OPTIONS")).peers["x"].methods == {"OPTIONS", "ACK", "BYE", "CANCEL", "PRACK"}


def test_events_replace_the_default_but_not_what_transfers_need(load, well):
    peer = load(well, trunk("events: [Message-Summary, presence.winfo, X-Own]")).peers["x"]
    assert peer.events == {"message-summary", "presence.winfo", "X-Own", "refer"}
    assert peer.methods == TALK_METHODS


WRONG = [
    (
        "methods: [INVITE, REGISTER]",
        "b.yaml:2:61: `REGISTER` is none of the methods here; expected `registers: true` on a pbx that registers",
    ),
    ("methods: [INVIT]", "b.yaml:2:53: `INVIT` is no method that we know; did you mean `INVITE`?"),
    ("methods: []", "b.yaml:2:52: an empty list; expected at least one element"),
    ("methods: {INVITE: true}", "b.yaml:2:52: this is a mapping; expected a single value"),
    ("events: [a b]", "b.yaml:2:52: `a b` is no event package; expected a name such as message-summary"),
    ("events: [.winfo]", "b.yaml:2:52: `.winfo` is no event package; expected a name such as message-summary"),
    ("events: []", "b.yaml:2:51: an empty list; expected at least one element"),
]


@pytest.mark.parametrize(("keys", "error"), WRONG, ids=[keys for keys, _ in WRONG])
def test_no_methods_and_no_events(errors, well, keys, error):
    assert errors(well, trunk(keys)) == [error]


@pytest.mark.parametrize(
    ("events", "meant"),
    [("[message_summary]", "message-summary"), ("[presense]", "presence"), ("[mwi]", "message-summary"),
     ("[presence.winfo, acme-own, as-feature-event]", None)],
)  # fmt: skip
def test_an_event_package_that_looks_like_a_slip_of_the_pen_is_a_warning(load, well, events, meant):
    text = f"trunks:\n  x: {{interface: outside, servers: sip:h, events: {events}}}\n"
    found = [str(warning) for warning in load(well, text).warnings]
    said = [warning for warning in found if "no event package that we know" in warning]
    assert [warning.partition("; ")[2] for warning in said] == ([] if meant is None else [f"did you mean `{meant}`?"])
    assert all(warning.startswith("b.yaml:2:52: ") for warning in said)
