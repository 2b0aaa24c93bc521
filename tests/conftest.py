"""Fixtures of all tests. A flow test that fails shows the ladder of every call in its world."""

import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import zlib

import pytest
from hypothesis import HealthCheck, settings

from sbc.testing.seeds import seeded_ids
from tests.left_memory import forget_memory

CHAOS_SEEDS = range(20)
REPLAYED = {"all": 1, "none": 0}.get(os.environ.get("SBC_TEST_REPLAY", ""), 8)  # every eighth test is also replayed
REACHING_IN = {  # files, and functions
    "test_no_other_call_gets_its_ports",
    "test_bans",
    "test_crash_barrier",
    "test_crash_barrier_everywhere",
    "test_emergency_in_a_hostile_world",
    "test_fair_shares",
    "test_overload",
}
MEASURING_MEMORY = {"test_fifty_thousand_sources_leave_no_memory_and_few_lines"}  # functions

# What is started in the background of a shell ignores SIGINT, and so would every program that a test starts and ends.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: on a busy machine an example that takes its time proves nothing. What must not take long is held by
# tests that count, or by limits of their own.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def ids():
    """Identifiers that are the same in every run."""
    return seeded_ids()


@pytest.fixture(scope="session", autouse=True)
def nothing_left_in_memory(tmp_path_factory):
    """Also of what was killed by tests that do not look back."""
    yield
    forget_memory(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def replayed_elsewhere(tmp_path_factory):
    """A folder for tapes, and whose they are. At the end a process with another order of sets replays all of them."""
    folder, tests = tmp_path_factory.mktemp("tapes"), []
    yield folder, tests
    if not tests:
        return
    environment = {**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    argv = [sys.executable, "-m", "sbc", "replay", str(folder)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    named = re.sub(r"(?m)^life ([0-9]+):", lambda life: f"{tests[int(life[1]) - 1]}:", done.stdout)
    differing = [part for part in re.split(r"(?m)^(?=tests/)", named) if "the same commands" not in part]
    assert not done.returncode, "a replay elsewhere went another way:\n" + "".join(differing) + done.stderr


@pytest.fixture
def world(request):
    """A function that makes a `World`; what it made is told when the test fails.

    The engines of some tests, always the same ones, are recorded; a replay must give the same commands.
    """
    from sbc.testing.replayed import recorded_worlds
    from sbc.testing.world import World

    worlds = request.node._worlds = []

    def make(*args, **options):
        worlds.append(World(*args, **options))
        return worlds[-1]

    if not is_replayed(request.node):
        yield make
        worlds.clear()  # pytest keeps its items to the end, and thousands of worlds weighed two gigabytes
        return
    folder, tests = request.getfixturevalue("replayed_elsewhere")
    with recorded_worlds() as tapes:
        yield make
    worlds.clear()
    for tape in tapes:
        difference = tape.difference()
        assert not difference, f"a replay went another way: {difference}"
        if tape.is_timed_as_usual:
            tests.append(request.node.nodeid)
            tape.write(folder, len(tests))


def is_replayed(item):
    """Not where a test reaches into the engine: what it does there is in no recording.

    Nor where it measures memory: a recording in memory grows with every message.
    """
    reaches_in = (
        not REACHING_IN.isdisjoint((item.path.stem, item.originalname))
        or "monkeypatch" in inspect.signature(item.function).parameters
    )
    if item.originalname in MEASURING_MEMORY:
        return False
    return bool(REPLAYED) and not reaches_in and zlib.crc32(item.nodeid.encode()) % REPLAYED == 0


@pytest.fixture(params=CHAOS_SEEDS, ids=lambda seed: f"seed{seed}")
def chaos(request):
    """Arguments that make any world a bad one: a fifth of all datagrams lost, some doubled, some late."""
    from sbc.testing.net import Conditions

    bad = Conditions(delay=0.005, jitter=0.01, loss=0.2, duplicate=0.1, reorder=0.2)
    return {"seed": request.param, "conditions": bad}


def pytest_runtest_setup(item):
    if item.get_closest_marker("ipv6") and not _has_ipv6() and not os.environ.get("SBC_TEST_NO_SKIP"):
        pytest.skip("this machine has no ::1")


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed:
        for world in getattr(item, "_worlds", ()):
            report.sections.append(("what happened", world.story()))


def pytest_terminal_summary(terminalreporter):
    """How much was simulated, and by which seeds: with -q nothing else says it."""
    reports = terminalreporter.stats.get("passed", ())
    runs = [value for report in reports for name, value in report.user_properties if name == "simulated"]
    if not runs:
        return
    seeds = sorted({run[0] for run in runs})
    hours, calls, deaths = (sum(run[n] for run in runs) for n in (1, 2, 3))
    terminalreporter.write_line(
        f"simulated: {hours:g} h in {len(runs)} runs by {len(seeds)} seeds from {seeds[0]} to {seeds[-1]}; "
        f"{calls} calls, {deaths} deaths"
    )
