"""Ten times the declared rate: what is served then, what becomes of calls that are up, and how soon it is over.

Signalling has one CPU for itself; the other one is for everything else: the load, made by this process, the media
worker and the supervisor. The declared rate is measured in the same run and with the same CPUs, so that what the load
costs is in neither figure. How much CPU each had is printed with the others. Where other programs take more than a
fifth of the SBC's CPU away (the kernel counts how long it had to wait for it), or leave none to make the load with, no
rate was measured, and the test says so; all else is judged nevertheless.
"""

import contextlib
import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from sbc.cli.bench_calls import cpu_seconds, signalling_of
from sbc.cli.bench_declared import declared_rate
from sbc.cli.bench_load import Load

from .children import missing

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.alone]

SECONDS = 120 if os.environ.get("SBC_TEST_FULL") == "1" else 20
TIMES = 10
HELD = 200
RECOVERY_SECONDS = 5.0
ENOUGH = 0.8  # of the time, in which signalling could run
_BEFORE_OTHERS = -15  # nice


def test_ten_times_the_declared_rate(node, tmp_path, request):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        missing("there is no CPU for the SBC and another one for the load")
    sbc = node(media="{ports: 20000-49999}")
    pid = signalling_of(sbc.child.pid)
    request.addfinalizer(lambda: os.sched_setaffinity(0, cpus))
    pin(pid, {cpus[0]})
    for other in (sbc.child.pid, sbc.worker_pid()):
        pin(other, set(cpus[1:]))
    os.sched_setaffinity(0, cpus[1:])
    request.addfinalizer(lambda: go_before_others(os.getpid(), 0))
    for one in (pid, sbc.child.pid, sbc.worker_pid(), os.getpid()):
        go_before_others(one, _BEFORE_OTHERS)
    load = Load((sbc.pbx, 5060), (sbc.inside, 5060), (sbc.carrier, 5060), (sbc.outside, 5060))
    request.addfinalizer(load.close)

    declared = declared_rate(load, pid)
    print(f"declared: {declared.rate:.0f} calls/s, {declared.busy:.0%} of a CPU, {declared.cost_ms:.2f} ms a call")
    held = load.hold(HELD, 50.0)
    assert len(held) == HELD

    health = Health(sbc)
    before, waited, ours = cpu_seconds(pid), waited_for_cpu(pid), time.process_time()
    out = load.run(TIMES * declared.rate, SECONDS)
    spent, made = cpu_seconds(pid) - before, time.process_time() - ours
    ended_at = time.monotonic()
    had = 1.0 - (waited_for_cpu(pid) - waited) / SECONDS
    slowest = health.stop()
    by_second = Counter(int(at) for at in out.answers)
    print(f"offered: {out.placed / SECONDS:.0f} calls/s for {SECONDS} s; served {len(out.answers) / SECONDS:.0f}/s")
    print(f"served in each second: {[by_second[second] for second in range(SECONDS)]}")
    print(f"refused {out.refused}, other refusals {out.failed}, no answer {out.silent}, sent again {out.repeated}")
    print(f"INVITE to 200: half within {out.delay(0.5) * 1000:.0f} ms, 99 % within {out.delay(0.99) * 1000:.0f} ms")
    print(f"CPU: signalling {spent:.1f} s, could have run {had:.0%} of the time, load {made:.1f} s")
    print(f"/healthz: the slowest of {health.asked} took {slowest * 1000:.0f} ms")
    shed = [line for line in sbc.metrics().splitlines() if line.startswith(("sbc_overload", "sbc_dropped_total"))]
    print("\n".join(shed))

    fitting = 0.8 * declared.rate
    after = load.run(fitting, max(0.0, RECOVERY_SECONDS - (time.monotonic() - ended_at)))
    calm = load.run(fitting, 4.0)
    is_over = "sbc_overload_level 0" in sbc.metrics()
    print(f"after: {after.answered} of {after.placed} in the first seconds, then {calm.answered} of {calm.placed}")
    assert load.lost == []
    assert load.ask(held) == HELD
    assert out.ended >= 0.99 * out.answered
    assert load.hang_up(held) == HELD
    assert sbc.status()["overload"]["refused"] > 0
    assert "overload.began" in sbc.child.log
    sbc.is_idle_within(40.0)
    assert sbc.complaints() == []

    made_share = out.placed / (TIMES * declared.rate * SECONDS)
    if had < ENOUGH or made_share < 0.95:
        missing(f"no quiet machine: signalling could run {had:.0%} of the time, {made_share:.0%} of the load was made")
    assert len(out.answers) / SECONDS >= 0.9 * declared.rate
    assert slowest < 2.0
    assert calm.answered >= 0.99 * calm.placed
    assert is_over


class Health:
    """Asks /healthz five times a second, as a watchdog would."""

    def __init__(self, sbc) -> None:
        self.asked = 0
        self._sbc = sbc
        self._slowest = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> float:
        """Seconds of the slowest answer; all of them came."""
        self._is_over.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self._slowest

    def _run(self) -> None:
        while not self._is_over.wait(0.2):
            begun = time.monotonic()
            status, said = self._sbc._request("GET", "/healthz")
            assert status == 200, said  # a thread's exception is a warning, and so an error
            self._slowest = max(self._slowest, time.monotonic() - begun)
            self.asked += 1


def waited_for_cpu(pid: int) -> float:
    """Seconds that the loop's thread was ready to run and did not (Documentation/scheduler/sched-stats.rst)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def go_before_others(pid: int, nice: int) -> None:
    """All threads of a process, and its session before other sessions (sched(7), autogroups). Only root may."""
    with contextlib.suppress(PermissionError):
        for task in tasks(pid):
            os.setpriority(os.PRIO_PROCESS, int(task.name), nice)
    with contextlib.suppress(OSError):  # EAGAIN: this was changed a moment ago; ENOENT: this kernel has none
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), "ascii")


def tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def pin(pid: int, cpus: set[int]) -> None:
    """All threads of a process; those that it starts later have its CPUs, too."""
    for task in tasks(pid):
        os.sched_setaffinity(int(task.name), cpus)
