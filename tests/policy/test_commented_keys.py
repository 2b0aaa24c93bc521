"""Lines of the examples that are commented out are keys, too: without the mark they load and do what they say."""

from pathlib import Path

import pytest

from sbc.policy.load import Source, parse_policy

POLICIES = Path(__file__).parents[2] / "policies"


def without_marks(name, *keys):
    """The text of a file in which these keys are not commented out any more."""
    text = (POLICIES / name).read_text(encoding="utf-8")
    for key in keys:
        assert f"# {key}:" in text
        text = text.replace(f"# {key}:", f"{key}:")
    return text


@pytest.fixture
def load():
    return lambda text: parse_policy([Source("example.yaml", text.encode())], environment={})


def test_the_media_keys_of_the_quickstart(load):
    policy = load(without_marks("quickstart/interfaces.yaml", "engine", "silence_timeout"))
    assert (policy.media.engine, policy.media.silence_timeout) == ("userland", 300.0)


def test_a_pbx_behind_a_router(load):
    policy = load(without_marks("providers/bulk-registration.yaml", "latching", "media_from"))
    assert (policy.peers["office"].latching, policy.peers["office"].media_from) == ("nat", ("10.0.0.0/24",))


def test_the_media_keys_of_the_office(shipped):
    policy = shipped("office")
    assert (policy.media.silence_timeout, policy.media.orphan_timeout, policy.media.workers) == (120.0, 3600.0, 1)
    assert policy.peers["branch"].media_from == ("127.0.0.31/32",)
    assert policy.peers["carrier-b"].latching == "strict"
