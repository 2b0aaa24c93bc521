"""The declared rate: so many calls a second this machine carries, one SBC on one CPU, with room for what else comes.

What a call costs is measured at a modest rate; the declared rate is the one that takes seven tenths of a CPU by that.
It is no peak, and not believed until it was driven: where calls are refused, fail, or one in a hundred is slow at it,
because this machine does something else as well, a lower one is tried. Used by `sbc bench`, and by the test that offers
ten times as much.
"""

from typing import Final

from msgspec import Struct

from sbc.cli.bench_calls import CARRIER, INSIDE, OUTSIDE, PBX, cpu_seconds
from sbc.cli.bench_load import Load, Outcome
from sbc.core.errors import OperatorError

ROOM: Final = 0.7  # of one CPU
_MODEST_RATE: Final = 60.0
_WARM_SECONDS: Final = 2.0
_COST_SECONDS: Final = 3.0
_DRIVEN_SECONDS: Final = 4.0
_STEP: Final = 0.85
_TRIES: Final = 10
_UNSERVED: Final = 0.005  # of all calls; that many may go wrong on a machine that is not ours alone
_SLOW_SECONDS: Final = 0.3  # from INVITE to 200, of the slowest hundredth; peers ask again after 0.5


class Declared(Struct, frozen=True):
    """`busy`: the part of a CPU that signalling used at this rate. `cost_ms`: CPU of a call at a modest rate."""

    rate: float
    busy: float
    cost_ms: float
    driven: Outcome

    @property
    def said(self) -> str:
        out = self.driven
        return f"{out.answered} of {out.placed} calls served, 99 % within {out.delay(0.99) * 1000:.0f} ms"


def measure(pid: int) -> Declared:
    """Of the bench's SBC; `pid`: its signalling. Raises OperatorError where no rate can be had."""
    try:
        load = Load(PBX, INSIDE, CARRIER, OUTSIDE)
    except OSError as error:
        raise OperatorError(f"the bench needs addresses {PBX[0]} and {CARRIER[0]}: {error.strerror}") from None
    try:
        return declared_rate(load, pid)
    finally:
        load.close()


def declared_rate(load: Load, pid: int) -> Declared:
    load.run(_MODEST_RATE, _WARM_SECONDS)
    before = cpu_seconds(pid)
    placed = load.run(_MODEST_RATE, _COST_SECONDS).placed
    cost = (cpu_seconds(pid) - before) / placed
    rate = ROOM / max(cost, 1e-6)
    for _ in range(_TRIES):
        before = cpu_seconds(pid)
        out = load.run(rate, _DRIVEN_SECONDS)
        if out.placed and out.answered >= (1 - _UNSERVED) * out.placed and out.delay(0.99) < _SLOW_SECONDS:
            return Declared(rate, (cpu_seconds(pid) - before) / _DRIVEN_SECONDS, cost * 1e3, out)
        rate *= _STEP
    raise OperatorError("this machine is too busy: no rate was carried")
