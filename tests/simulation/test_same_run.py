"""The same seed is the same run, octet for octet, in another process and with another seed of Python's hashes."""

import os
import subprocess
import sys

import pytest

from sbc.testing.simulation.simulation import Settings, Simulation

pytestmark = pytest.mark.simulation
PROGRAM = (
    "from sbc.testing.simulation.simulation import Settings, Simulation;"
    "print(Simulation(Settings(7, hours=0.5)).run().digest)"
)


def digest(hash_seed):
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_the_same_seed_is_the_same_run():
    digests = {digest("0"), digest("1"), digest("4242")}
    assert digests == {Simulation(Settings(7, hours=0.5)).run().digest}


def test_another_seed_is_another_run():
    digests = {Simulation(Settings(seed, hours=0.1)).run().digest for seed in (1, 2)}
    assert len(digests) == 2
