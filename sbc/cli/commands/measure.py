"""`bench`, and what is about this program itself."""

from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from sbc.cli.commands.root import OTHER, app

BenchCalls = Annotated[
    int, Parameter(name="--calls", validator=Number(gte=1, lte=1000), help="With media: how many calls talk at once.")
]
BenchSeconds = Annotated[
    int, Parameter(name="--seconds", validator=Number(gte=4, lte=600), help="With media: for how long they talk.")
]


@app.command(
    group=OTHER,
    help="""Measure this program on this machine.

Costs are printed beside a yardstick measured in the same run. With media:
packets alone, between network namespaces of its own, beside kernel forwarding
and rtpengine; this takes root. With journal: what it costs that every call
survives, beside the same calls without it; with recording, likewise, of
`sbc run --record`.

  sbc bench
  sbc bench media
  sbc bench media --calls 500 --seconds 60
  sbc bench journal
  sbc bench recording""",
)
def bench(
    part: Literal["all", "media", "journal", "recording"] = "all",
    /,
    *,
    calls: BenchCalls = 500,
    seconds: BenchSeconds = 6,
) -> int:
    if part == "media":
        from sbc.cli.bench_report import run_media_bench

        return run_media_bench(calls, seconds)
    if part == "journal":
        from sbc.cli.bench_journal import run_journal_bench

        return run_journal_bench()
    if part == "recording":
        from sbc.cli.bench_recording import run_recording_bench

        return run_recording_bench()
    from sbc.cli.bench import run_bench

    return run_bench()


Seed = Annotated[int, Parameter(name="--seed", validator=Number(gte=0), help="The first seed.")]
Seeds = Annotated[int, Parameter(name="--seeds", validator=Number(gte=1), help="How many, one after another.")]
Hours = Annotated[
    float, Parameter(name="--hours", validator=Number(gt=0, lte=8784), help="Of virtual time, for each seed.")
]
CallRate = Annotated[float, Parameter(name="--calls-per-hour", validator=Number(gt=0, lte=3600), help="On average.")]
Faults = Annotated[
    float,
    Parameter(
        name="--fault-minutes", validator=Number(gte=0, lte=100_000), help="From fault to fault, on average; 0: none."
    ),
]
Deaths = Annotated[bool, Parameter(name="--deaths", negative="--no-deaths", help="Of signalling, and power cuts.")]
Plant = Annotated[str, Parameter(name="--plant", help="A bug that is to be found.")]


@app.command(
    group=OTHER,
    help="""Run the whole SBC in virtual time against what must always hold.

Calls, faults, deaths and power cuts come by chance, and by the seed: the same
seed is the same run. A seed that fails prints its story, and the command that
repeats it.

  sbc simulate --seed 7 --hours 1
  sbc simulate --seeds 100 --hours 24 --calls-per-hour 20
  sbc simulate --seeds 20 --plant path-kept""",
)
def simulate(
    *,
    seed: Seed = 1,
    seeds: Seeds = 1,
    hours: Hours = 1.0,
    calls_per_hour: CallRate = 60.0,
    fault_minutes: Faults = 5.0,
    deaths: Deaths = True,
    plant: Plant = "",
) -> int:
    from sbc.cli.simulate import run_simulation
    from sbc.testing.simulation.simulation import Settings

    return run_simulation(Settings(seed, hours, calls_per_hour, fault_minutes, deaths), seeds, plant)


@app.command(
    group=OTHER,
    help="""Print what makes a shell complete sbc's commands and options.

It counts in shells that are started afterwards.

  sbc completion bash > /etc/bash_completion.d/sbc
  sbc completion zsh > /usr/local/share/zsh/site-functions/_sbc
  sbc completion fish > ~/.config/fish/completions/sbc.fish""",
)
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(name="SHELL", help="Which shell.")], /
) -> int:
    print(app.generate_completion(shell=shell), end="")
    return 0
