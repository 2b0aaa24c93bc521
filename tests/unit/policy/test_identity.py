import pytest

from sbc.policy.model import CallerId


def pbx(rule: str) -> str:
    return f'pbxs:\n  x: {{interface: inside, address: sip:x, dids: "+14155550200", caller_id: {rule}}}\n'


FORMS = [
    ("{mode: pass}", ("pass", "", "replace")),
    ("{mode: fixed, default: 4155550200}", ("fixed", "+14155550200", "replace")),
    ('{default: "+14155550200"}', ("screen", "+14155550200", "replace")),
    ("{mode: screen, on_fail: reject}", ("screen", "", "reject")),
    ("{mode: screen, on_fail: anonymous}", ("screen", "", "anonymous")),
]


@pytest.mark.parametrize(("text", "values"), FORMS, ids=[text for text, _ in FORMS])
def test_caller_id_in_every_form(load, well, text, values):
    policy = load(well, pbx(text), "routes: [{to: dids}]")
    rule = policy.peers["x"].caller_id
    assert (rule.mode, rule.default, rule.on_fail) == values
    assert policy.warnings == ()


def test_without_the_key_callers_pass(load, well):
    assert load(well).peers["office"].caller_id == CallerId("pass")


WRONG = [
    ("{mode: fixed}", "`mode: fixed` without `default`; expected default: NUMBER"),
    ("{mode: screen}", "`on_fail: replace` without `default`; expected default: NUMBER"),
    ("{}", "`on_fail: replace` without `default`; expected default: NUMBER"),
    ("{mode: fixed, default: alice}", "`alice` is not a number; expected digits, with or without a plus"),
    ("{mode: show}", "`show` is not a choice here; expected screen or pass or fixed"),
    ("{mode: screen, on_fail: drop}", "`drop` is not a choice here; expected replace or reject or anonymous"),
]


@pytest.mark.parametrize(("text", "error"), WRONG, ids=[text for text, _ in WRONG])
def test_no_caller_id(errors, well, text, error):
    assert error in [line.split(": ", 1)[1] for line in errors(well, pbx(text))]


WARNINGS = [
    (
        "{mode: screen, default: 4155559999}",
        "the default caller +14155559999 is not a DID of `x`; who calls back does not reach it",
    ),
    (
        "{mode: fixed, default: 4155550100}",
        "the default caller +14155550100 is not a DID of `x`; who calls back does not reach it",
    ),
    ("{mode: pass, on_fail: reject}", "`on_fail` means nothing with `mode: pass`; leave it out"),
    ("{mode: fixed, default: 4155550200, on_fail: reject}", "`on_fail` means nothing with `mode: fixed`; leave it out"),
]


@pytest.mark.parametrize(("text", "warning"), WARNINGS, ids=[text for text, _ in WARNINGS])
def test_what_is_rarely_meant_is_a_warning(load, well, text, warning):
    policy = load(well, pbx(text), "routes: [{to: dids}]")
    assert [f"{w.wrong}; {w.expected}" for w in policy.warnings] == [warning]
