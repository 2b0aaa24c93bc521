"""Every alarm of the code has a sentence, and every line that clears one is said somewhere."""

import ast
import re
from pathlib import Path

import pytest

from sbc.admin.alarm_kinds import CLEARS, KINDS, sentence_of, subject_of

ROOT = Path(__file__).resolve().parents[3]
ALERTS = {"call.emergency"}  # ordered by the command Alert
SAYS = {"debug", "info", "warning", "error", "exception", "log", "Log", "put"}
EVENT = re.compile(r"[a-z]+\.[a-z_]+")


def trees():
    for path in (ROOT / "sbc").rglob("*.py"):
        if "testing" not in path.parts:
            yield ast.parse(path.read_text("utf-8"))


def calls():
    """(event, is it an alarm) of every line that is said."""
    for tree in trees():
        for node in ast.walk(tree):
            name = getattr(node, "func", None) and getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name not in SAYS:
                continue
            for argument in node.args[:2]:
                if isinstance(argument, ast.Constant) and EVENT.fullmatch(str(argument.value)):
                    source = ast.unparse(node)
                    yield argument.value, any(mark in source for mark in ("alarm=", "'alarm'", "._alarm()"))


def test_every_alarm_of_the_code_has_its_sentence():
    alarms = {event for event, is_alarm in calls() if is_alarm}
    assert len(alarms) > 15
    assert alarms - KINDS.keys() == set()


def test_every_line_that_clears_an_alarm_is_said_in_the_code():
    said = {event for event, _ in calls()}
    assert {line for line in CLEARS if KINDS.keys() & set(CLEARS[line]) & said} - said == set()


def test_every_line_clears_alarms_that_there_are():
    for line, alarms in CLEARS.items():
        assert alarms, line
        assert set(alarms) <= KINDS.keys()


@pytest.mark.parametrize("event", KINDS)
def test_a_sentence_can_be_made_of_nothing_and_of_everything(event):
    assert re.match("[A-Z?]", sentence_of(event, {}))
    fields = dict.fromkeys(re.findall(r"\{(\w+)\}", KINDS[event].sentence), "{peer}")
    text = sentence_of(event, fields)
    assert "[" not in text
    assert text.count("{peer}") == len(fields)  # what a peer sends is no template


def test_what_is_not_known_is_left_out():
    assert sentence_of("peer.down", {"peer": "office"}) == "No call can reach office."
    assert sentence_of("peer.down", {"peer": "office", "why": "no answer"}) == "No call can reach office: no answer."


def test_an_alarm_without_a_sentence_still_says_what_it_is():
    assert sentence_of("new.alarm", {"peer": "a", "n": 1}) == "new.alarm peer=a n=1"
    assert subject_of("new.alarm", {"peer": "a"}) == "peer a"


def test_one_that_has_a_subject_and_its_end_are_about_the_same():
    for line, alarms in CLEARS.items():
        for event in alarms:
            if KINDS[event].subject:
                key = KINDS[event].subject[0]
                assert subject_of(event, {key: "x", "why": "y"}) == f"{key} x", (line, event)
