"""A short campaign of each target, and its figures. Longer ones: `python -m tests.fuzz`."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tests.fuzz import target as targets
from tests.fuzz.run import SMALL_PARENT, Campaign

SECONDS = 2
HAS_ATHERIS = importlib.util.find_spec("atheris") is not None


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ATHERIS and not os.environ.get("SBC_TEST_NO_SKIP"), reason="atheris is not installed")
@pytest.mark.parametrize("name", targets.names())
def test_a_short_campaign_finds_nothing(name, capsys, tmp_path):
    campaign = Campaign(name, tmp_path, seconds=SECONDS, found=tmp_path / "found")
    figures = campaign.run()
    with capsys.disabled():
        print(f"\n{Campaign.HEADING}\n{figures}")
    assert not campaign.failed, campaign.story
    assert campaign.executions > 0


def test_a_campaign_does_not_weigh_what_the_tests_have_weighed():
    """All of them failed with no word of why in a run whose tests had once had two gigabytes."""
    ballast = b"\1" * (200 << 20)
    own = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    told = subprocess.run([*SMALL_PARENT, sys.executable, "-c", own], capture_output=True, check=True).stdout
    assert int(told) << 10 < len(ballast)
