"""`kill -9` at random moments, with calls that talk and calls that come and go: nothing of them may be lost.

Every process in turn, and all of them at once. What each end of each call saw is compared with what the SBC says it
did: packets, holds, hang-ups, call paths, records. The seed is printed; SBC_TEST_SEED takes it,
and SBC_TEST_KILLS another number of kills.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .children import is_full
from .crowd_story import Story, seed
from .lab import ENGINES, Engine, Lab

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow, pytest.mark.alone]

CALLS = 500 if is_full() else 60
KILLS = int(os.environ.get("SBC_TEST_KILLS") or (100 if is_full() else 6))
TOTAL_KILLS = KILLS // 3  # of everybody: each takes a whole start
ENCRYPTED_CALLS = CALLS // 10 if is_full() else 10  # sealing 50 packets/s in Python takes time
BACK_SECONDS = 2.0
TOTAL_BACK_SECONDS = 5.0
# What a worker had read and not yet sent dies with it: one packet at most, and hardly ever one.
IN_HAND = {"userland": max(KILLS // 20, 1), "kernel": 0}
WAIT_SECONDS = {"userland": 0.4, "kernel": 0.15}
NOTICED_SECONDS = 0.15  # a machine that has other things to do; the test prints what it was


@pytest.fixture
def story(lab: Lab, tmp_path) -> Iterator[Callable[..., Story]]:
    chosen = seed()
    print(f"SBC_TEST_SEED={chosen}")
    with contextlib.ExitStack() as stack:

        def begin(engine: Engine, *, calls: int = CALLS, **options: Any) -> Story:
            made = Story(lab, engine, chosen, calls=calls, folder=tmp_path, **options)
            stack.enter_context(made.crowd)
            return made

        yield begin


def nothing_is_lost(told: Story) -> None:
    told.is_calm()
    told.calls_are_there()
    told.is_full_at_its_limit()
    told.ends_well()


def no_gap(told: Story) -> None:
    sound = told.crowd.sound
    assert (sound.lost(), sound.doubled(), sound.astray()) == ([], 0, [])
    told.is_within(told.longest_wait, NOTICED_SECONDS, "a packet was under way for seconds")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_nobody_is_killed(story, transport):
    """What the others would find is not there without a death."""
    told = story("userland", transport=transport)
    told.begins()
    told.prints("nobody")
    nothing_is_lost(told)
    no_gap(told)


@pytest.mark.parametrize("engine", ENGINES)
def test_signalling_is_killed(story, engine):
    told = story(engine)
    told.begins()
    told.suffers(KILLS, told.signalling_dies)
    told.prints(f"signalling, {engine}")
    nothing_is_lost(told)
    no_gap(told)
    told.was_back_within(BACK_SECONDS)


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_signalling_is_killed_and_the_connections_with_it(story, transport):
    told = story("userland", transport=transport, calls=ENCRYPTED_CALLS if transport == "tls" else CALLS)
    told.begins()
    told.suffers(KILLS, told.signalling_dies)
    told.prints(f"signalling, {transport}")
    nothing_is_lost(told)
    no_gap(told)
    told.was_back_within(BACK_SECONDS)


@pytest.mark.parametrize("engine", ENGINES)
def test_media_workers_are_killed(story, engine):
    told = story(engine)
    told.begins()
    told.suffers(KILLS, told.worker_dies)
    told.prints(f"media workers, {engine}")
    nothing_is_lost(told)
    sound = told.crowd.sound
    assert len(sound.lost()) <= IN_HAND[engine]
    assert (sound.doubled(), sound.astray()) == (0, [])
    told.is_within(told.longest_wait, WAIT_SECONDS[engine], "a packet was under way for seconds")
    told.was_back_within(BACK_SECONDS)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_supervisor_is_killed(story, engine):
    told = story(engine)
    told.begins()
    told.suffers(TOTAL_KILLS, told.supervisor_dies)
    told.prints(f"the supervisor, {engine}")
    nothing_is_lost(told)
    told.was_back_within(TOTAL_BACK_SECONDS)


@pytest.mark.parametrize("engine", ENGINES)
def test_all_are_killed_at_once(story, engine):
    told = story(engine)
    told.begins()
    told.suffers(TOTAL_KILLS, told.all_die)
    told.prints(f"all, {engine}")
    nothing_is_lost(told)
    told.was_back_within(TOTAL_BACK_SECONDS)
