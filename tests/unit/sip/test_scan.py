"""Lists, quoted strings and numbers."""

import pytest

from sbc.sip.errors import ParseError
from sbc.sip.scan import has_stray_control, is_token, number, quoted, split_list, unquoted


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a, b\t,c", ["a", "b", "c"]),
        ("a,,b,", ["a", "", "b", ""]),
        ('"a,b" <sip:a,b@c>;x="y,z", d', ['"a,b" <sip:a,b@c>;x="y,z"', "d"]),
        (r'"a\",b", c', [r'"a\",b"', "c"]),
        (r'"a\\", c', [r'"a\\"', "c"]),
        ('a, "b, c', ["a", '"b, c']),
        ("a, <b, c", ["a", "<b, c"]),
    ],
)
def test_commas_separate_but_in_quotes_and_brackets(value, elements):
    assert split_list(value) == elements


@pytest.mark.parametrize("text", ["", "a", 'say "hi"', "back\\slash", "tab\t", "\0\x07\x7f", "é"])
def test_quoting_is_undone_by_unquoting(text):
    assert unquoted(quoted(text)) == text


def test_quoting_lets_no_line_end_out():
    assert quoted("a\r\nX-Evil: 1") == '"a  X-Evil: 1"'


def test_text_without_quotes_stays_as_it_is():
    assert unquoted("a\\b") == "a\\b"
    assert unquoted('"') == '"'


@pytest.mark.parametrize(
    ("line", "stray"),
    [
        ("plain\ttext é", False),
        ("a\0", True),
        ('"\\\0"', False),
        ('"\0"', True),
        ("\\\0", True),
        ('"a" \\\0', True),
        ('"\\\r"', True),
        ("\n", True),
    ],
)
def test_a_control_character_is_legal_only_as_a_quoted_pair(line, stray):
    assert has_stray_control(line) is stray


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("007", 7), (" 255 ", 255), ("0" * 100, 0)])
def test_numbers_are_decimal(text, value):
    assert number(text, 255, "X") == value


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "256", "9" * 5000, "٣", "²", "1_0"])
def test_what_is_no_number_in_range_is_refused(text):
    with pytest.raises(ParseError):
        number(text, 255, "X")


@pytest.mark.parametrize("text", ["", "a b", "a:b", "é", "a,b", '"a"', "\u212a"])
def test_tokens_are_of_their_alphabet(text):
    assert not is_token(text)
