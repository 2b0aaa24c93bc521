# ruff: noqa: E501, ISC004 (tables of exact texts)
"""Header fields that cross, go and come by policy; and those that no policy may touch."""

import pytest

from sbc.policy.headers import SECURED, TRANSLATED
from sbc.policy.model import HeaderRules
from sbc.sip.headers.names import canonical_name


def trunk(headers: str) -> str:
    return f"trunks:\n  x: {{interface: outside, servers: sip:h, headers: {headers}}}\n"


RULES = [
    ("{}", HeaderRules()),
    ("{pass: subject}", HeaderRules(passed=("Subject",))),
    ("{pass: [s, x-customer, 'X-ACME-*', Subject]}", HeaderRules(passed=("Subject", "X-Customer", "X-Acme-*"))),
    ("{remove: [user-agent, Session-ID, 'P-*']}", HeaderRules(removed=("User-Agent", "Session-ID", "P-*"))),
    (
        "{add: {x-customer: acme, User-Agent: Our PBX, X-Empty-Not: ' a:  b '}}",
        HeaderRules(added=(("X-Customer", "acme"), ("User-Agent", "Our PBX"), ("X-Empty-Not", "a:  b"))),
    ),
    ("{forwarded: history-info}", HeaderRules(forwarded="history-info")),
    ("{features: [isFocus, +sip.x]}", HeaderRules(features=("isfocus", "+sip.x"))),
    ("{features: off}", HeaderRules(features=())),
]


@pytest.mark.parametrize(("text", "rules"), RULES, ids=[text for text, _ in RULES])
def test_header_rules_in_every_form(load, well, text, rules):
    assert load(well, trunk(text)).peers["x"].headers == rules


WRONG = [
    ("[Subject]", "b.yaml:2:52: `headers` is a list; expected a mapping"),
    ("{pas: Subject}", "b.yaml:2:53: unknown key `pas` in `headers`; did you mean `pass`?"),
    ("{pass: Via}", "b.yaml:2:59: `Via` is a header, which no policy may touch; expected another name"),
    ("{pass: [X-A, m]}", "b.yaml:2:65: `Contact` is a header, which no policy may touch; expected another name"),
    ("{pass: 'rec*'}", "b.yaml:2:59: `rec*` takes in `Record-Route`, which no policy may touch; expected another name"),
    (
        "{pass: 'P-*'}",
        "b.yaml:2:59: `P-*` takes in `P-Asserted-Identity`, which we write ourselves; "
        "expected what `caller_id` says of it",
    ),
    ("{pass: Warning}", "b.yaml:2:59: `Warning` is a header, which we write ourselves; expected another name"),
    (
        "{pass: Diversion}",
        "b.yaml:2:59: `Diversion` is a header, which we write ourselves; expected what `headers.forwarded` says of it",
    ),
    ("{remove: Max-Forwards}", "b.yaml:2:61: `Max-Forwards` is a header, which no policy may touch; expected another name"),
    ("{add: {call-id: x}}", "b.yaml:2:59: `Call-ID` is a header that no policy may add; expected another name"),
    ("{add: {Diversion: x}}", "b.yaml:2:59: `Diversion` is a header that no policy may add; expected another name"),
    ("{pass: '*'}", "b.yaml:2:59: `*` is no header name; expected a name, or a beginning with one * at its end: X-*"),
    ("{pass: 'X-*-A'}", "b.yaml:2:59: `X-*-A` is no header name; expected a name, or a beginning with one * at its end: X-*"),
    ("{pass: 'X:A'}", "b.yaml:2:59: `X:A` is no header name; expected a name such as X-Customer"),
    ("{add: {'X-*': a}}", "b.yaml:2:59: `X-*` is no header name; expected a whole name such as X-Customer"),
    ("{add: {'X A': a}}", "b.yaml:2:59: `X A` is no header name; expected a name such as X-Customer"),
    ("{add: [X-A]}", "b.yaml:2:58: `headers.add` is a list; expected a mapping"),
    ("{add: {}}", "b.yaml:2:58: `headers.add` is empty; expected a mapping of names to values"),
    ("{add: {X-A: [a]}}", "b.yaml:2:64: this is a list; expected a single value"),
    ("{add: {X-A: ' '}}", "b.yaml:2:64: this cannot be the value of a header; expected printable characters on one line"),
    (
        '{add: {X-A: "a\\r\\nX-B: b"}}',
        "b.yaml:2:64: this cannot be the value of a header; expected printable characters on one line",
    ),
    ("{add: {X-A: a, x-a: b}}", "b.yaml:2:67: `X-A` is added twice; expected it once; first at b.yaml:2:59"),
    (
        "{remove: 'X-*', add: {X-A: a}}",
        "b.yaml:2:61: `X-A` is removed and added; expected one of them; `add` is at b.yaml:2:73",
    ),
    (
        "{features: [isfocus, expires]}",
        "b.yaml:2:73: `expires` is no feature that a Contact may show; expected words such as isfocus, or off",
    ),
    (
        "{forwarded: to}",
        "b.yaml:2:64: `to` is not a choice here; expected as-received or diversion or history-info or both",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "error"), WRONG, ids=[text for text, _ in WRONG])
def test_no_header_rules(errors, well, text, error):
    assert errors(well, trunk(text)) == [error]


def test_every_protected_name_is_spelt_as_messages_spell_it():
    assert {canonical_name(name) for name in (*SECURED, *TRANSLATED)} == SECURED | TRANSLATED.keys()


@pytest.mark.parametrize("name", sorted(SECURED))
@pytest.mark.parametrize("rule", ["{{pass: {}}}", "{{remove: {}}}", "{{add: {{{}: a}}}}"])
def test_a_secured_name_is_refused_everywhere(errors, well, rule, name):
    (found,) = errors(well, trunk(rule.format(name.lower())))
    assert f"`{name}` is a header" in found
