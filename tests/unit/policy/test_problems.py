import pytest

from sbc.policy.model import Where
from sbc.policy.problems import PolicyError, Problem, Problems


def test_problems_are_raised_once_each_in_the_order_of_files_and_lines():
    problems = Problems()
    for place in (Where("b", 1, 1), Where("a", 10, 1), Where("a", 2, 9), Where("a", 2, 3), Where("a", 2, 3)):
        problems.wrong(place, "wrong", "expected right")
    with pytest.raises(PolicyError) as caught:
        problems.raise_any(("a", "b"))
    assert str(caught.value).splitlines() == [
        f"{place}: wrong; expected right" for place in ("a:2:3", "a:2:9", "a:10:1", "b:1:1")
    ]


def test_warnings_are_not_raised():
    problems = Problems()
    problems.warn(Where("a", 1), "odd", "so be it")
    problems.raise_any(())
    assert problems.warnings == [Problem(Where("a", 1), "odd", "so be it")]
