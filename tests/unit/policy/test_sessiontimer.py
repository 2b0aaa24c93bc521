import pytest

from sbc.policy.model import SessionTimerRules


def trunk(timer: str) -> str:
    return f"trunks:\n  x: {{interface: outside, servers: sip:h, session_timer: {timer}}}\n"


RULES = [
    ("{expires: 1h, min: 5m}", SessionTimerRules(3600.0, 300.0)),
    ("{expires: 90s}", SessionTimerRules(90.0, 90.0)),
    ("{min: 10m}", SessionTimerRules(1800.0, 600.0)),
    ("{min: 1h}", SessionTimerRules(3600.0, 3600.0)),
    ("{}", SessionTimerRules(1800.0, 90.0)),
    ("off", None),
]


@pytest.mark.parametrize(("text", "rules"), RULES, ids=[text for text, _ in RULES])
def test_a_session_timer_in_every_form(load, well, text, rules):
    assert load(well, trunk(text)).peers["x"].session_timer == rules


WRONG = [
    ("{min: 89s}", "b.yaml:2:64: `89s` is below the least session timer; expected 90s or more (RFC 4028 §4)"),
    ("{expires: 1m}", "b.yaml:2:68: `1m` is below the least session timer; expected 90s or more (RFC 4028 §4)"),
    ("{expires: 90500ms}", "b.yaml:2:68: `90500ms` is no session timer; expected whole seconds, at most 1d"),
    ("{expires: 2d}", "b.yaml:2:68: `2d` is no session timer; expected whole seconds, at most 1d"),
    ("{expires: 1800}", "b.yaml:2:68: `1800` has no unit; expected a number with ms, s, m, h or d, such as 10s"),
    (
        "{expires: 5m, min: 10m}",
        "b.yaml:2:68: `expires` of 300s is below `min` of 600s; expected 600s or more; `min` is at b.yaml:2:77",
    ),
    ("on", "b.yaml:2:58: `on` is no session timer; expected a mapping of expires and min, or off"),
    ("[1800s]", "b.yaml:2:58: this is a list; expected a single value"),
    ("{max: 1h}", "b.yaml:2:59: unknown key `max` in `session_timer`; expected one of expires, min"),
]


@pytest.mark.parametrize(("text", "error"), WRONG, ids=[text for text, _ in WRONG])
def test_no_session_timer(errors, well, text, error):
    assert errors(well, trunk(text)) == [error]
