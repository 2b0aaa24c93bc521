"""Every target of tests/fuzz, with seeds that hypothesis spoils: what it finds it makes small. It needs no atheris."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import target as targets

from .mutation import mutated, mutations_of

OTHER_WORDS = (b"\0", b"\xff", b"\r\n", b" ", b"-1", b"99999999999")


@pytest.mark.parametrize("name", targets.names())
@given(st.data())
def test_spoilt_seeds_are_answered(name, data):
    target = targets.load(name)
    seed = data.draw(st.sampled_from(target.seeds))
    target.take(mutated(seed, data.draw(mutations_of([*target.words, *OTHER_WORDS], within=len(seed), most=5))))
