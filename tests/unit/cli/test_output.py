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


class Terminal(io.StringIO):
    def isatty(self):
        return True

    @property
    def lines(self):
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue()).split("\n")]


def on_a_terminal(monkeypatch, width):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    return sys.stdout


def test_a_table_too_wide_for_the_terminal_has_several_lines_for_a_row(monkeypatch):
    out = on_a_terminal(monkeypatch, 38)

    show_table(("REF", "CALLER", "CALLED", "MOS"), [("kc227lwvw6py", "+14155550100", "+12125550123", "4.4/4.4")])

    assert out.lines == [
        "",
        "REF           CALLER",
        "    CALLED        MOS",
        "─" * 38,
        "kc227lwvw6py  +14155550100",
        "    +12125550123  4.4/4.4",
        "",
        "",
    ]


@pytest.mark.parametrize("width", [40, 80, 132])
def test_words_and_numbers_stay_whole_at_every_width(monkeypatch, width):
    out = on_a_terminal(monkeypatch, width)
    row = (
        "kc227lwvw6py",
        "answered",
        "office",
        "+14155550100",
        "+12125550123",
        "2026-01-31T09:00:00Z",
        "one-way: egress",
    )

    show_table(tuple("ABCDEFG"), [row, row])

    assert all(" ".join(out.lines).count(cell) == 2 for cell in row)
    assert max(map(len, out.lines)) <= width


def test_a_last_column_of_sentences_is_wrapped_below_its_row(monkeypatch):
    out = on_a_terminal(monkeypatch, 40)
    why = "the changed policy was refused and the old one is in force"

    show_table(("ALARM", "SINCE", "WHAT"), [("reload.refused", "2026-01-31T09:00:00Z", why)])

    assert max(map(len, out.lines)) <= 40
    assert " ".join(" ".join(out.lines).split()).endswith(f"2026-01-31T09:00:00Z {why}")


def test_a_folded_row_has_no_line_for_what_it_does_not_say(monkeypatch):
    out = on_a_terminal(monkeypatch, 40)

    show_table(("REF", "CALLER", "CALLED", "MOS"), [("kc227lwvw6py", "+14155550100" * 2, None, "")])

    assert " ".join(out.lines).rstrip().endswith("+14155550100" * 2)


def test_a_person_is_told_that_there_is_nothing(monkeypatch):
    out = on_a_terminal(monkeypatch, 80)

    show_table(("REF",), [], none="No call is running.")

    assert out.lines == ["No call is running.", ""]


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
