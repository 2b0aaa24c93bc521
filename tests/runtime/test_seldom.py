"""What happens often is said seldom, with how often it was."""

from sbc.runtime.seldom import Seldom


def test_the_first_is_said_at_once_and_the_others_together():
    seldom = Seldom(60.0)

    assert [seldom.due(at) for at in (0.0, 1.0, 59.9, 60.0, 61.0, 130.0)] == [1, 0, 0, 3, 0, 2]
