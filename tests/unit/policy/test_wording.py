import pytest

from sbc.policy import wording
from sbc.policy.model import (
    CallerId,
    CodecRules,
    HeaderRules,
    Health,
    Limits,
    PathRules,
    Peer,
    Register,
    Route,
    SessionTimerRules,
)

FULL = PathRules(24, 20, 18, 1, 2, 3)
UNLESS = "unless pbx diverted the call from one of its own"


@pytest.mark.parametrize(
    ("rules", "direction", "said"),
    [
        (None, "outbound", ""),
        (PathRules(), "outbound", ""),
        (PathRules(24), "inbound", "call paths 24"),
        (PathRules(outbound=3), "outbound", "call paths unlimited, at most 3 outbound"),
        (PathRules(outbound=3), "inbound", ""),
        (FULL, "inbound", "call paths 24, at most 20 inbound, 1 kept for emergencies, 3 kept for outbound calls"),
        (FULL, "outbound", "call paths 24, at most 18 outbound, 1 kept for emergencies, 2 kept for inbound calls"),
        (PathRules(pool="acme"), "outbound", "call paths 12 of the pool acme"),
        (PathRules(6, pool="acme"), "outbound", "call paths 6 of the pool acme"),
    ],
)
def test_call_paths_as_a_direction_sees_them(rules, direction, said):
    assert wording.paths(rules, direction, {"acme": 12}) == said


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (None, ""),
        (Limits(), ""),
        (
            Limits(40, 5, 6000, 14_400.0),
            "at most 40 calls at once, 5 new calls a second, 6000 minutes a day, 4h a call",
        ),
        (Limits(max_duration=90.0), "at most 90s a call"),
    ],
)
def test_limits(rules, said):
    assert wording.limits(rules) == said


def test_health():
    assert wording.health(None) == ""
    assert wording.health(Health(passive=True, fall=1, rise=1)) == (
        "health by live traffic alone: down after 1 failure, up after 1 reply"
    )
    assert wording.health(Health(options=120.0)) == (
        "health by OPTIONS every 2m, every 5s while down: down after 3 failures, up after 2 replies in a row"
    )


def test_registration():
    assert wording.registration(None) == ""
    assert wording.registration(Register("acme", "carrier.example", 3600.0, gin=True)) == (
        "registers as sip:acme@carrier.example for 60m, in bulk (RFC 6140)"
    )


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (CallerId(), ""),
        (CallerId("pass", "+1"), "passes as it is"),
        (CallerId("fixed", "+1"), "always +1"),
        (CallerId("screen", "+1", "reject"), f"screened: foreign numbers are refused with 403, {UNLESS}"),
        (CallerId("screen", "+1", "anonymous"), f"screened: foreign numbers are shown as anonymous, {UNLESS}"),
        (CallerId("screen"), f"screened: foreign numbers are refused with 403, there is no default for them, {UNLESS}"),
    ],
)
def test_caller_id(rules, said):
    assert wording.caller_id(Peer("pbx", "pbx", "inside", (), caller_id=rules)) == said
    assert wording.caller_id(Peer("pbx", "trunk", "inside", (), caller_id=rules)) == ""


def test_where_a_route_changes_the_hunt():
    assert wording.hunting(Route("r")) == ""
    assert wording.hunting(Route("r", stop_on=frozenset({503}))) == "the hunt stops at 503"
    assert wording.hunting(Route("r", continue_on=frozenset({486, 480}))) == "the hunt also goes on after 480, 486"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "0.5s"), (60.0, "60s"), (120.0, "2m"), (3600.0, "60m"), (7200.0, "2h"), (172800.0, "2d")],
)
def test_durations(seconds, said):
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(
    ("kind", "rules", "said"),
    [
        ("pbx", {"transfer": "terminate", "redirect": "follow"}, ""),
        ("trunk", {"transfer": "refuse", "redirect": "refuse"}, ""),
        ("pbx", {"transfer": "pass", "redirect": "follow"}, "transfers are passed on"),
        ("pbx", {"transfer": "refuse", "redirect": "refuse"}, "transfers are refused · redirections are refused"),
        (
            "trunk",
            {"transfer": "terminate", "redirect": "follow"},
            "transfers are carried out here · redirections are followed",
        ),
        ("trunk", {"t38": "refuse", "dtmf": "info"}, "no fax streams · digits by INFO"),
        ("trunk", {"hold": "inactive"}, "holds are told as inactive"),
        (
            "trunk",
            {"early_media": "ringback", "delayed_offer": "convert", "reliable": "off", "dtmf": "rfc4733"},
            "digits by RFC 4733 · hears 180 instead of early media · always gets an offer · no 100rel",
        ),
        ("trunk", {"session_timer": None}, "no session timer"),
        ("trunk", {"session_timer": SessionTimerRules(3600.0, 120.0)}, "session timer 60m, at least 2m"),
        ("trunk", {"methods": frozenset({"INVITE", "ACK", "BYE", "MESSAGE"})}, "methods INVITE, MESSAGE"),
        ("trunk", {"events": frozenset({"refer", "presence"})}, "events presence"),
        (
            "trunk",
            {"headers": HeaderRules(("X-*",), ("Reason",), (("X-Key", "secret"),), "both")},
            "also passes X-* · never gets Reason · gets X-Key · forwarded calls are told by Diversion and History-Info",
        ),
    ],
)
def test_what_a_peer_may_do_in_a_call_where_it_is_not_as_usual(kind, rules, said):
    assert wording.calls(Peer("x", kind, "wan", (), **rules)) == said


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (CodecRules(), ""),
        (CodecRules(("pcma",), ("pcma",)), "codecs pcma only"),
        (CodecRules((), ("g722", "pcma")), "codecs g722, pcma first"),
        (CodecRules(("pcma", "opus")), "codecs pcma, opus only"),
        (CodecRules(("pcma", "opus"), ("opus",)), "codecs pcma, opus only, opus first"),
    ],
)
def test_codecs(rules, said):
    assert wording.codecs(rules) == said
