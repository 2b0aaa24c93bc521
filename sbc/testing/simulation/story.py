"""What a failing run tells: seed, time, the rule, the faults before it, the call concerned, and how to see it again."""

from typing import Final

from sbc.testing.simulation.attempts import Attempt
from sbc.testing.simulation.simulation import Settings, Simulation
from sbc.testing.simulation.violation import Violation
from sbc.trace.ladder import draw
from sbc.trace.recorder import Recorder

_FAULTS: Final = 12
_LADDERS: Final = 6


def command(settings: Settings, bug: str = "") -> str:
    """What repeats this run."""
    default = Settings(settings.seed)
    words = ["sbc simulate", f"--seed {settings.seed}", f"--hours {settings.hours:g}"]
    if settings.calls_per_hour != default.calls_per_hour:
        words.append(f"--calls-per-hour {settings.calls_per_hour:g}")
    if settings.fault_minutes != default.fault_minutes:
        words.append(f"--fault-minutes {settings.fault_minutes:g}")
    if settings.deaths != default.deaths:
        words.append("--no-deaths")
    return " ".join([*words, f"--plant {bug}"] if bug else words)


def tell(simulation: Simulation, violation: Violation, bug: str = "") -> str:
    settings, start = simulation.settings, simulation.began_at
    lines = [
        f"seed {settings.seed}: {violation.rule}",
        f"  what     {violation.what}",
        f"  when     {_clock(simulation.now - start)} of virtual time",
        f"  again    {command(settings, bug)}",
        "  faults before it",
    ]
    lines += [f"    {_clock(at - start)}  {what}" for at, what in simulation.faults.told[-_FAULTS:]] or ["    none"]
    attempt = next((one for one in simulation.book.all if violation.call and _is_of(one, violation.call)), None)
    if attempt is not None:
        lines += _told_of(attempt, start)
    if violation.call:
        world = simulation.world
        for n, trace in enumerate([*world.lives.former, *([] if world.lives.is_dead else [world.switch.trace])]):
            lines += _ladders(trace, violation.call, n)
    return "\n".join(lines)


def _is_of(attempt: Attempt, call: str) -> bool:
    return call in (attempt.call_id, *(party.call_id for _, party in attempt.arrivals))


def _told_of(attempt: Attempt, start: float) -> list[str]:
    plan = attempt.plan
    lines = [
        f"  the call {attempt.kind} {attempt.number} of {attempt.caller}, at {_clock(attempt.begun_at - start)}",
        f"    planned: {plan.fate}, talks {plan.talks:.0f} s, {plan.hangs_up} hangs up; "
        + "; ".join(f"{side} {move} at {at:.0f} s" for at, side, move in plan.moves),
    ]
    if attempt.answered_at is not None:
        lines.append(f"    answered at {_clock(attempt.answered_at - start)}")
    lines += [f"    the {side} ended at {_clock(at - start)}" for side, at in attempt.ends.items()]
    lines += [f"    excused by {attempt.excuses}"] if attempt.excuses else []
    lines += [f"    survived {attempt.touched}"] if attempt.touched else []
    if attempt.party is not None:
        lines.append(f"    {attempt.caller} heard: {' '.join(attempt.party.heard)}")
    lines += [f"    {name} heard: {' '.join(party.heard)}" for name, party in attempt.arrivals]
    return lines


def _ladders(trace: Recorder, call: str, life: int) -> list[str]:
    wanted = call.encode()
    lines: list[str] = []
    for ref in trace.refs():
        entries = trace.entries(ref)
        if any(wanted in (entry.data or b"") for entry in entries):
            lines += [f"\n  call {ref} in life {life} of signalling", draw(entries, peers=trace.peers(ref))]
    return lines[: 2 * _LADDERS]


def _clock(seconds: float) -> str:
    return f"{int(seconds // 3600)}:{int(seconds // 60) % 60:02d}:{seconds % 60:06.3f}"
