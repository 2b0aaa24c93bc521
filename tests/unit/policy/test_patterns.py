import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.policy.numbers import NumberPlan
from sbc.policy.patterns import Matcher, NumberRange, parse_pattern, parse_range
from sbc.policy.problems import UnfitError

US = NumberPlan("US")


def matches(pattern, dialled):
    matcher = Matcher([parse_pattern(pattern)], US.words, owned=lambda number: number.dialled == "4155550100")
    return matcher.matches(US.read(dialled))


@pytest.mark.parametrize(
    ("pattern", "dialled"),
    [
        ("911", "911"),
        ("XXX", "100"),
        ("ZXX", "100"),
        ("NXX", "200"),
        ("[135-7]00", "600"),
        ("9.", "94155550123"),
        ("+44X.", "+442079460000"),
        ("+44X.", "011442079460000"),
        ("+141555501XX", "4155550123"),
        ("4155550123", "4155550123"),
        ("+14155550123", "4155550123"),
        ("100-199", "150"),
        ("+14155550100-+14155550199", "4155550199"),
        ("/1[0-9]+/", "100"),
        (r"/\+1415\d{7}/", "4155550123"),
        ("alice", "alice"),
        ("*67", "*67"),
        ("*XX", "*67"),
        ("dids", "4155550100"),
        ("emergency", "911"),
        ("national", "4155550123"),
        ("international", "+442079460000"),
        ("premium", "19005551234"),
    ],
)
def test_a_pattern_takes(pattern, dialled):
    assert matches(pattern, dialled)


@pytest.mark.parametrize(
    ("pattern", "dialled"),
    [
        ("911", "9110"),
        ("911", "1911"),
        ("XXX", "1000"),
        ("ZXX", "000"),
        ("NXX", "100"),
        ("[135-7]00", "400"),
        ("9.", "9"),
        ("+44X.", "+442"),
        ("100-199", "200"),
        ("100-199", "1500"),
        ("100-199", "15"),
        ("100-199", "1a0"),
        ("/1[0-9]/", "100"),
        ("X.", "alice"),
        ("XXX", "١٢٣"),
        (r"/\d+/", "١٢٣"),
        ("dids", "4155550101"),
        ("emergency", "9111"),
        ("national", "+442079460000"),
        ("international", "100"),
        ("+1415555.", "alice"),
    ],
)
def test_a_pattern_leaves(pattern, dialled):
    assert not matches(pattern, dialled)


@pytest.mark.parametrize(
    ("pattern", "wrong"),
    [
        ("", "an empty pattern"),
        ("premuim", "`premuim` is no word"),
        ("nationl", "`nationl` is no word"),
        ("Emergency", "`Emergency` is no word"),
        ("did", "`did` is no word"),
        ("44.5", "`44.5` has a dot that is not last"),
        ("1 2", "`1 2` has ` `, which no pattern has"),
        ("[12", "`[12` has a set that is not closed or not of digits"),
        ("[]", "`[]` has a set that is not closed or not of digits"),
        ("[a]", "`[a]` has a set that is not closed or not of digits"),
        ("1]", "`1]` has `]`, which no pattern has"),
        ("[7-3]", "the set in `[7-3]` runs backwards"),
        ("100-99", "the ends of the range `100-99` differ in length"),
        ("+100-1000", "the ends of the range `+100-1000` differ in length"),
        ("199-100", "the range `199-100` runs backwards"),
        ("1XX-2XX", "`1XX-2XX` is not a range of numbers"),
        ("100-", "`100-` is not a range of numbers"),
        ("/(/", "`/(/` is no regular expression: missing ), unterminated subpattern at position 0"),
        ("/(a+)+/", "`/(a+)+/` repeats a group that varies"),
        ("/(a|a)*/", "`/(a|a)*/` repeats a group that varies"),
        ("/((a?)b){9}/", "`/((a?)b){9}/` repeats a group that varies"),
        (r"/(a)\1/", r"`/(a)\1/` has look-around, flags or a back reference"),
        ("/(?=a)a/", "`/(?=a)a/` has look-around, flags or a back reference"),
        ("/(?i)a/", "`/(?i)a/` has look-around, flags or a back reference"),
        ("/a*a*a*b/", "`/a*a*a*b/` repeats without bound more than twice"),
        ("/" + "a" * 201 + "/", "the regular expression is too long"),
    ],
)
def test_a_pattern_that_is_none(pattern, wrong):
    with pytest.raises(UnfitError) as caught:
        parse_pattern(pattern)
    assert caught.value.wrong == wrong


@given(st.integers(1, 15), st.data())
def test_a_range_holds_exactly_the_numbers_between_its_ends(length, data):
    number = st.integers(0, 10**length - 1)
    first, last = sorted((data.draw(number), data.draw(number)))
    tested = data.draw(number)
    found = parse_range(f"{first:0{length}d}-{last:0{length}d}")
    assert found == NumberRange(f"{first:0{length}d}", f"{last:0{length}d}")
    assert found.holds(f"{tested:0{length}d}") == (first <= tested <= last)
    assert not found.holds(f"{tested:0{length + 1}d}")
    assert not found.holds(f"+{tested:0{length}d}")


@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_says_what_is_wrong(text):
    try:
        pattern = parse_pattern(text)
    except UnfitError:
        return
    Matcher([pattern], US.words, owned=lambda _number: False).matches(US.read("4155550123"))


@given(st.from_regex(r"[a()*+?{}|\[\].1,]{1,20}", fullmatch=True))
def test_any_accepted_expression_is_quick_on_a_long_subject(source):
    try:
        pattern = parse_pattern(f"/{source}/")
    except UnfitError:
        return
    matcher = Matcher([pattern], US.words, owned=lambda _number: False)
    began = time.process_time()
    matcher.matches(US.read("a" * 40 + "b"))
    matcher.matches(US.read("a" * 39 + "b"))
    assert time.process_time() - began < 0.5


def test_numbers_beyond_forty_characters_match_no_expression():
    assert matches("/a*/", "a" * 40)
    assert not matches("/a*/", "a" * 41)
