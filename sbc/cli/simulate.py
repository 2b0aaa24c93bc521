"""`sbc simulate`: the whole SBC in virtual time, against invariants; the story of each seed that fails."""

import time

from sbc.cli import UsageError
from sbc.testing.simulation.planted import BUGS, planted
from sbc.testing.simulation.simulation import Settings, Simulation, Violation
from sbc.testing.simulation.story import command, tell


def run_simulation(settings: Settings, seeds: int, bug: str = "") -> int:
    """0 where every invariant held for every seed; else 1."""
    if bug and bug not in BUGS:
        raise UsageError(f"--plant {bug}: no such bug; there are {', '.join(BUGS)}")
    failed: list[int] = []
    began, hours = time.perf_counter(), 0.0
    for seed in range(settings.seed, settings.seed + seeds):
        one = Settings(seed, settings.hours, settings.calls_per_hour, settings.fault_minutes, settings.deaths)
        hours += one.hours
        if not _run(one, bug):
            failed.append(seed)
    took = time.perf_counter() - began
    print(f"{seeds} seeds, {hours:g} h of traffic in {took:.1f} s: {hours / took:.1f} h a second")
    if failed:
        print(f"{len(failed)} failed: {' '.join(map(str, failed))}")
    return 1 if failed else 0


def _run(settings: Settings, bug: str) -> bool:
    simulation = Simulation(settings)
    try:
        with planted(bug):
            figures = simulation.run()
    except Violation as violation:
        print(tell(simulation, violation, bug), flush=True)
        return False
    except Exception:
        print(f"seed {settings.seed}: the program itself failed; again: {command(settings, bug)}", flush=True)
        raise
    print(
        f"seed {settings.seed}: {figures.hours:g} h, {figures.calls} calls, {figures.answered} answered, "
        f"{figures.faults} faults, {figures.deaths} deaths, {figures.messages} messages, digest {figures.digest}",
        flush=True,
    )
    return True
