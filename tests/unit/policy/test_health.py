import pytest

from sbc.policy.model import Health


def trunk(health: str) -> str:
    return f"trunks:\n  x: {{interface: outside, servers: sip:x.example, health: {health}}}\n"


FORMS = [
    ("off", None),
    ("passive", Health(passive=True)),
    ("{}", Health()),
    ("{options: 10s, retry: 2s, timeout: 1s, fall: 1, rise: 20}", Health(False, 10.0, 2.0, 1.0, 1, 20)),
]


@pytest.mark.parametrize(("text", "health"), FORMS, ids=[text for text, _ in FORMS])
def test_health_in_every_form(load, well, text, health):
    assert load(well, trunk(text)).peers["x"].health == health


def test_a_short_retry_shortens_the_timeout_that_nobody_named(load, well):
    assert load(well, trunk("{retry: 1s}")).peers["x"].health.timeout == 1.0
    assert load(well, trunk("{retry: 1s, timeout: 3s}")).peers["x"].health.timeout == 3.0


WRONG = [
    ("on", "`on` is not a choice here; expected a mapping, passive or off"),
    ("{fall: 0}", "`0` is not a number from 1 to 20; expected 1 to 20"),
    ("{rise: 21}", "`21` is not a number from 1 to 20; expected 1 to 20"),
    ("{options: 0s}", "`0s` is out of range; expected more than 0s and at most 1d"),
    ("{timeout: 4}", "`4` has no unit; expected a number with ms, s, m, h or d, such as 10s"),
]


@pytest.mark.parametrize(("text", "error"), WRONG, ids=[text for text, _ in WRONG])
def test_no_health(errors, well, text, error):
    assert [line.split(": ", 1)[1] for line in errors(well, trunk(text))] == [error]
