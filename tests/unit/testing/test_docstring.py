"""The story in the kit's own docstring runs as it stands there."""

import textwrap

import sbc.testing


def test_the_story_of_the_docstring_comes_true(capsys):
    text = sbc.testing.__doc__ or ""
    story = text[text.index("    from sbc.testing.world") : text.index("It imports nothing")]
    exec(textwrap.dedent(story), {})
    heads = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["carrier", "sbc", "office"] in heads
