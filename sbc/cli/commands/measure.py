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
survives, beside the same calls without it.

  sbc bench
  sbc bench media
  sbc bench media --calls 500 --seconds 60
  sbc bench journal""",
)
def bench(
    part: Literal["all", "media", "journal"] = "all", /, *, calls: BenchCalls = 500, seconds: BenchSeconds = 6
) -> int:
    if part == "media":
        from sbc.cli.bench_report import run_media_bench

        return run_media_bench(calls, seconds)
    if part == "journal":
        from sbc.cli.bench_journal import run_journal_bench

        return run_journal_bench()
    from sbc.cli.bench import run_bench

    return run_bench()


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
