"""Bugs are planted, and the simulation finds each by the invariant that is for it; without them it finds nothing."""

import pytest

from sbc.cli import UsageError
from sbc.cli.simulate import run_simulation
from sbc.testing.simulation.planted import BUGS, planted
from sbc.testing.simulation.simulation import Settings, Simulation, Violation
from sbc.testing.simulation.story import tell

pytestmark = pytest.mark.simulation
SEEDS = 12


def found(bug, seed):
    simulation = Simulation(Settings(seed))
    with planted(bug):
        try:
            simulation.run()
        except Violation as violation:
            return violation, tell(simulation, violation, bug)
    return None


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_by_its_invariant(bug):
    one = next(one for seed in range(SEEDS) if (one := found(bug, seed)) is not None)
    violation, story = one
    assert violation.rule in BUGS[bug].found_by
    assert f"--plant {bug}" in story
    assert violation.what in story


def test_nothing_is_left_of_a_planted_bug():
    from sbc.b2bua.leg import saved
    from sbc.b2bua.switch import Switch

    before = (Switch.receive, saved.CSEQ_MARGIN)
    for bug in BUGS:
        with planted(bug):
            pass
    assert before == (Switch.receive, saved.CSEQ_MARGIN)


def test_the_command_says_which_seeds_have_failed(capsys):
    assert run_simulation(Settings(1, hours=0.2), seeds=2, bug="contact-inside") == 1
    said = capsys.readouterr().out
    assert "seed 1: topology" in said
    assert "again    sbc simulate --seed 1 --hours 0.2 --plant contact-inside" in said
    assert "2 failed: 1 2" in said


def test_the_command_is_content_where_all_holds(capsys):
    assert run_simulation(Settings(3, hours=0.2, fault_minutes=0.0), seeds=1) == 0
    assert "seed 3: 0.2 h" in capsys.readouterr().out


def test_a_bug_that_nobody_knows_is_refused():
    with pytest.raises(UsageError, match="--plant bee: no such bug"):
        run_simulation(Settings(1), seeds=1, bug="bee")
