"""Fixtures of all tests. A flow test that fails shows the ladder of every call in its world."""

import os
import signal
import socket

import pytest
from hypothesis import HealthCheck, settings

from sbc.testing.seeds import seeded_ids

CHAOS_SEEDS = range(20)

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


@pytest.fixture
def world(request):
    """A function that makes a `World`; what it made is told when the test fails."""
    from sbc.testing.world import World

    worlds = request.node._worlds = []

    def make(*args, **options):
        worlds.append(World(*args, **options))
        return worlds[-1]

    return make


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
