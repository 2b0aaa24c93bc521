"""What reaches a terminal: tables and JSON, and never a control character that a peer chose."""

import io
import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.cli.output import printable, printable_lines, show_json, show_table
from sbc.cli.remote import minutes

NASTY = "\x1b[2J\x9b31m\r\n\u202e[red]:smile:\x00\udce9"


@given(st.text(st.characters()))
def test_printable_text_is_printable_and_one_line(text):
    assert printable(text).isprintable()


@given(st.text().filter(str.isprintable))
def test_printable_leaves_honest_text_alone(text):
    assert printable(text) == text


def test_printable_lines_keep_their_line_ends():
    assert printable_lines("a\x07\nb\r\n") == "a\\x07\nb\\r\n"


def test_a_table_in_a_pipe_is_plain_columns(capsys):
    show_table(("REF", "ROUTE"), [("r1", "outbound"), ("longer", None)])

    assert capsys.readouterr().out == "REF     ROUTE\nr1      outbound\nlonger  -\n"


def test_a_wide_table_in_a_pipe_is_not_cut(capsys):
    show_table(("A", "B"), [("x" * 300, "end")])

    assert capsys.readouterr().out.splitlines()[1].endswith("x  end")


def test_an_empty_table_shows_its_columns(capsys):
    show_table(("REF",), [])

    assert capsys.readouterr().out == "REF\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_no_table_lets_a_peer_move_the_cursor(monkeypatch, terminal):
    out = io.StringIO()
    out.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "200")

    show_table(("CALLER",), [(NASTY,)])

    shown = out.getvalue()
    assert "[red]:smile:" in shown  # neither markup nor emoji
    assert all(character.isprintable() or character == "\n" for character in shown)


def drawn(monkeypatch, rows, **environment):
    """A table on a terminal that knows colours."""
    out = io.StringIO()
    out.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", out)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", **environment}.items():
        monkeypatch.setenv(name, value)
    show_table(("TRUNK", "STATE"), rows)
    return out.getvalue()


def test_a_terminal_sees_a_state_in_its_colour(monkeypatch):
    shown = drawn(monkeypatch, [("carrier-a", "up"), ("carrier-b", "down")])

    assert "\x1b[32mup" in shown
    assert "\x1b[31mdown" in shown


def test_a_name_is_no_state(monkeypatch):
    assert "\x1b[31m" not in drawn(monkeypatch, [("down", "unknown")])


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_whoever_wants_no_colour_gets_none(monkeypatch, environment):
    shown = drawn(monkeypatch, [("carrier-a", "up")], **environment)

    assert "up" in shown
    assert not re.search(r"\x1b\[[34]\d", shown)


def test_a_pipe_gets_no_colour(capsys):
    show_table(("TRUNK", "STATE"), [("carrier-a", "up")])

    assert "\x1b" not in capsys.readouterr().out


def test_json_is_ascii_and_means_the_same(capsys):
    show_json({"caller": NASTY})

    shown = capsys.readouterr().out
    assert shown.isascii()
    assert "\x1b" not in shown
    assert json.loads(shown) == {"caller": NASTY}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.9, "0:07"), (754, "12:34"), (3723, "1:02:03"), (-3, "0:00")]
)
def test_durations_read_like_people_say_them(seconds, text):
    assert minutes(seconds) == text
