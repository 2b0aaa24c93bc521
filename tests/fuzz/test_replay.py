"""Everything that has been found is replayed, without atheris: seeds, corpora and what has broken something before."""

import pytest

from tests.fuzz import inputs
from tests.fuzz import target as targets


@pytest.mark.parametrize("name", targets.names())
def test_what_was_found_before_breaks_nothing(name):
    target = targets.load(name)
    taken = [target.take(data) for data in [*target.seeds, *inputs.corpus(name)]]
    assert any(taken), "no input of this target is accepted: it shows nothing"


@pytest.mark.parametrize("name", targets.names())
def test_what_has_broken_something_does_so_no_more(name):
    target = targets.load(name)
    for data in inputs.crashes(name).values():
        target.take(data)
