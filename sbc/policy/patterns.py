"""The pattern language of routes: what a number may look like, compiled once into something quick.

`X` 0-9, `Z` 1-9, `N` 2-9, `[135-7]` a set, `.` last: one or more digits; `A-B` an inclusive range of equal lengths;
`/re/` full match; the words of `numbers.WORDS`. Nothing else is special. Every pattern sees the whole number, first as
dialled, then as E.164. Regular expressions that could take more than linear time are refused, not run.
"""

import difflib
import math
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from sbc.policy.numbers import WORDS, Number
from sbc.policy.problems import UnfitError

_PLACEHOLDERS: Final = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]"}
_RANGE: Final = re.compile(r"(\+?[0-9]+)-(\+?[0-9]+)")
_SET: Final = re.compile(r"\[(?:[0-9](?:-[0-9])?)+\]")
_LITERAL: Final = re.compile(r"[0-9A-Za-z+*#_=&$~!',;@:%]")
_FORM: Final = (
    "a number, a pattern of digits and X Z N [135-7] with `.` last, a range A-B, /re/ or one of " + ", ".join(WORDS)
)
_LONGEST_REGEX: Final = 200  # characters
_LONGEST_SUBJECT: Final = 40  # characters of a number that a regular expression is shown
_NEARLY: Final = 0.8  # how alike, from 0 to 1, letters are to a word until they are taken for it
_LONGEST_SHORT_CODE: Final = 6  # digits of an emergency number
_DISGUISE: Final = 4  # characters that may stand in or before a number that means the same: +1, 1-1-2
_OPEN_REPEATS: Final = 2  # unbounded repetitions in one expression: with 40 characters at most 1,600 ways to match


class NumberRange(Struct, frozen=True):
    """Inclusive; both ends have the same number of digits and both or neither have a plus."""

    first: str
    last: str

    def holds(self, number: str) -> bool:
        # Digits of equal length compare as text as they do as numbers; '+' sorts before every digit.
        return len(number) == len(self.first) and self.first <= number <= self.last


class Pattern(Struct, frozen=True):
    """One pattern; exactly one of the fields after `text` is set."""

    text: str
    word: str | None = None
    literal: str | None = None
    range: NumberRange | None = None
    expression: str | None = None
    regex: str | None = None


class Matcher:
    """Any of several patterns, against both forms of a number. `owned` answers for the word `dids`."""

    def __init__(
        self,
        patterns: Sequence[Pattern],
        words: Callable[[Number], frozenset[str]],
        owned: Callable[[Number], bool],
    ) -> None:
        self._literals = frozenset(p.literal for p in patterns if p.literal is not None)
        self._ranges = tuple(p.range for p in patterns if p.range is not None)
        expressions = [p.expression for p in patterns if p.expression is not None]
        self._template = re.compile("|".join(expressions)).fullmatch if expressions else None
        self._regexes = tuple(re.compile(p.regex, re.ASCII).fullmatch for p in patterns if p.regex is not None)
        self._wanted = frozenset(p.word for p in patterns if p.word is not None and p.word != "dids")
        self._wants_dids = any(p.word == "dids" for p in patterns)
        self._words = words
        self._owned = owned

    def matches(self, number: Number) -> bool:
        if self._wants_dids and self._owned(number):
            return True
        if self._matches_text(number.dialled, is_numeric=number.is_numeric):
            return True
        e164 = number.e164
        if e164 and e164 != number.dialled and self._matches_text(e164, is_numeric=True):
            return True
        return bool(self._wanted) and not self._wanted.isdisjoint(self._words(number))

    def _matches_text(self, text: str, *, is_numeric: bool) -> bool:
        if text in self._literals:
            return True
        if self._template is not None and self._template(text):
            return True
        if is_numeric and any(r.holds(text) for r in self._ranges):
            return True
        return len(text) <= _LONGEST_SUBJECT and any(regex(text) for regex in self._regexes)


def parse_pattern(text: str) -> Pattern:
    if text in WORDS:
        return Pattern(text, word=text)
    if len(text) > 1 and text[0] == text[-1] == "/":
        return Pattern(text, regex=_safe_regex(text[1:-1]))
    if "-" in re.sub(r"\[[^\]]*\]", "", text):
        return Pattern(text, range=parse_range(text))
    _check_spelling(text)
    expression = _expression(text)
    if expression is None:
        return Pattern(text, literal=text)
    return Pattern(text, expression=expression)


def _check_spelling(text: str) -> None:
    """A bar on `premuim` would let all premium numbers through: a name that is nearly a word is taken for a mistake."""
    close = difflib.get_close_matches(text.lower(), WORDS, n=1, cutoff=_NEARLY) if text.isalpha() else ()
    if close:
        raise UnfitError(f"`{text}` is no word", f"did you mean `{close[0]}`? Whoever is called so is `/{text}/`")


def parse_range(text: str) -> NumberRange:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise UnfitError(f"`{text}` is not a range of numbers", "expected FIRST-LAST, digits with or without a plus")
    first, last = found.groups()
    if len(first) != len(last) or (first[0] == "+") != (last[0] == "+"):
        raise UnfitError(f"the ends of the range `{text}` differ in length", "expected FIRST-LAST of equal lengths")
    if first > last:
        raise UnfitError(f"the range `{text}` runs backwards", "expected the lower number first")
    return NumberRange(first, last)


def _expression(text: str) -> str | None:
    """The template as a regular expression; None where it is nothing but literal characters."""
    pieces: list[str] = []
    at = 0
    special = False
    while at < len(text):
        char = text[at]
        if char in _PLACEHOLDERS:
            pieces.append(_PLACEHOLDERS[char])
            special = True
        elif char == "." and at == len(text) - 1:
            pieces.append("[0-9]+")
            special = True
        elif char == "[":
            found = _SET.match(text, at)
            if found is None:
                raise UnfitError(
                    f"`{text}` has a set that is not closed or not of digits", "expected a set such as [135-7]"
                )
            pieces.append(found.group())
            special = True
            at += len(found.group()) - 1
        elif _LITERAL.match(char):
            pieces.append(re.escape(char))
        else:
            raise UnfitError(_complaint(text, char), f"expected {_FORM}")
        at += 1
    if not pieces:
        raise UnfitError("an empty pattern", f"expected {_FORM}")
    _check_sets(text)
    return "".join(pieces) if special else None


def _check_sets(text: str) -> None:
    for low, high in re.findall(r"([0-9])-([0-9])", text):
        if low > high:
            raise UnfitError(f"the set in `{text}` runs backwards", f"expected {high}-{low}")


def _complaint(text: str, char: str) -> str:
    if char == ".":
        return f"`{text}` has a dot that is not last"
    return f"`{text}` has `{char}`, which no pattern has"


def _safe_regex(source: str) -> str:
    """Refuses what can backtrack without bound: repeated groups that repeat or choose, back references, look-around."""
    if len(source) > _LONGEST_REGEX:
        raise UnfitError("the regular expression is too long", f"expected at most {_LONGEST_REGEX} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an expression whose meaning Python plans to change
            re.compile(source, re.ASCII)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise UnfitError(f"`/{source}/` is no regular expression: {error}", "expected Python's syntax") from None
    if re.search(r"\(\?(?![:P])|\\[1-9]|\(\?P[=>]", source):
        raise UnfitError(
            f"`/{source}/` has look-around, flags or a back reference", "expected an expression of linear cost"
        )
    _check_repeats(source)
    return source


def _check_repeats(source: str) -> None:
    bare = re.sub(r"\\.", "a", source)  # escapes stand for one character
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "a", bare)  # so do sets
    if len(re.findall(r"[*+]|\{[0-9]*,\}", bare)) > _OPEN_REPEATS:
        raise UnfitError(f"`/{source}/` repeats without bound more than twice", "expected an expression of linear cost")
    open_groups: list[bool] = []  # does the group hold a repetition or a choice?
    at = 0
    while at < len(bare):
        char = bare[at]
        if char == "(":
            open_groups.append(False)
            at += 2 if bare[at + 1 : at + 2] == "?" else 0
        elif char == ")":
            varies = open_groups.pop()
            if varies and bare[at + 1 : at + 2] in ("*", "+", "{"):
                raise UnfitError(f"`/{source}/` repeats a group that varies", "expected an expression of linear cost")
            if open_groups and (varies or bare[at + 1 : at + 2] in ("*", "+", "{", "?")):
                open_groups[-1] = True
        elif char in "*+{?|" and open_groups:
            open_groups[-1] = True
        at += 1


def longest_taken(texts: Sequence[str]) -> float:
    """Characters of the longest number, as somebody may dial it, that any of these patterns takes; all that are no
    numbers of one length take any.
    """
    return max((_longest(text) for text in texts), default=math.inf)


def _longest(text: str) -> float:
    pattern = parse_pattern(text)
    if pattern.word == "emergency":
        return _LONGEST_SHORT_CODE + _DISGUISE
    if pattern.word is not None or pattern.regex is not None or text.endswith("."):
        return math.inf
    return len(text) + _DISGUISE  # a set is longer than what it stands for
