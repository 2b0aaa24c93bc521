"""The garbage collector keeps still while calls are made again of the journal, and then goes on."""

import gc

import pytest

from sbc.runtime.memory import uncollected


def test_nothing_is_collected_while_calls_are_made_again():
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_collected_again_after_a_failure():
    with pytest.raises(RuntimeError), uncollected():
        raise RuntimeError
    assert gc.isenabled()
