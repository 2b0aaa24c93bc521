"""What reaches a terminal: tables and JSON, and never a control character that a peer chose."""

import io
import json
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
