from sbc.testing.beside import beside


def test_equal_stories_carry_no_mark():
    assert [line[0] for line in beside(["INVITE", "200"], ["INVITE", "200"]).splitlines()] == [" "] * 3


def test_what_is_missing_unexpected_or_different_is_marked():
    lines = beside(["INVITE", "180", "200"], ["INVITE", "200", "BYE"]).splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["INVITE", "-", "200", "+"]
    changed = beside(["INVITE", "200"], ["INVITE", "486"]).splitlines()
    assert changed[-1].split() == ["!", "200", "|", "486"]
