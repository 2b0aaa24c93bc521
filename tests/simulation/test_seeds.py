"""Short runs of many seeds: whatever happens, what must always hold does. Which seeds it were is said at the end.

`SBC_TEST_SEED=N` begins at another seed, so that each run of CI can be the next slice of a year.
"""

import os

import pytest

from sbc.testing.simulation.simulation import Settings, Simulation, Violation
from sbc.testing.simulation.story import tell

SIMULATED = "simulated"  # as tests/conftest.py knows it
FIRST = int(os.environ.get("SBC_TEST_SEED", "1"))

pytestmark = pytest.mark.simulation


@pytest.fixture
def run(record_property):
    def run(settings):
        simulation = Simulation(settings)
        try:
            figures = simulation.run()
        except Violation as violation:
            pytest.fail(tell(simulation, violation), pytrace=False)
        print(f"seed {settings.seed}: {figures}")
        record_property(SIMULATED, [settings.seed, figures.hours, figures.calls, figures.deaths])
        return figures

    return run


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 60))
def test_an_hour_with_faults_and_deaths(run, seed):
    assert run(Settings(seed)).answered


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 6))
def test_a_quiet_day(run, seed):
    assert run(Settings(seed, hours=24.0, calls_per_hour=3.0, fault_minutes=60.0)).deaths


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 6))
def test_a_busy_quarter_of_an_hour_in_which_much_goes_wrong(run, seed):
    assert run(Settings(seed, hours=0.25, calls_per_hour=600.0, fault_minutes=1.0)).deaths


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 6))
def test_an_hour_in_which_nobody_dies(run, seed):
    assert not run(Settings(seed, deaths=False)).deaths


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 6))
def test_an_hour_in_which_all_is_well_and_nobody_complains(run, seed):
    assert not run(Settings(seed, fault_minutes=0.0)).faults
