"""`kill -9` of what carries calls: media workers again and again, and signalling; calls, media and counters go on."""

import os
import signal
import threading
import time
from typing import Self

import pytest

from .children import is_full, until
from .lab import ENGINES, Engine, Lab

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

CALLS, KILLS = (100, 100) if is_full() else (20, 20)
KILL_EVERY = 0.5
GAP_SECONDS = {"userland": 0.4, "kernel": 0.15}  # on a machine that has other things to do; the test prints what it was
# What a worker had read and not yet sent dies with it: one packet at most, and hardly ever one.
IN_HAND = {"userland": max(KILLS // 20, 1), "kernel": 0}
ORPHAN_SECONDS = 10


class Killer:
    """Kills the media worker every so often, from a thread of its own: whoever talks meanwhile is not held up."""

    def __init__(self, lab: Lab, kills: int) -> None:
        self._lab = lab
        self._kills = kills
        self.killed: list[int] = []
        self.is_done = False
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        assert self.is_done, f"after {len(self.killed)} kills"

    def _run(self) -> None:
        for _ in range(self._kills):
            time.sleep(KILL_EVERY)
            pid = self._lab.worker()
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)
        self.is_done = True


@pytest.mark.parametrize("engine", ENGINES)
def test_media_workers_are_killed_under_calls(lab: Lab, engine: Engine) -> None:
    lab.start(engine, ports="20000-20999")
    with lab.calls(CALLS) as calls:
        calls.talk(1)
        with Killer(lab, KILLS) as killer:
            calls.talk(KILLS * KILL_EVERY + 2)
        assert lab.node.status()["calls"] == CALLS
        lab.has_engine(engine)
    print(f"{engine}: {KILLS} workers killed under {CALLS} calls: {calls.lost()} packets of {calls.sent()} lost, "
          f"longest gap {calls.longest_wait() * 1000:.0f} ms")  # fmt: skip
    assert len(set(killer.killed)) == KILLS
    assert calls.lost() <= IN_HAND[engine]
    assert (calls.doubled(), calls.astray()) == (0, [])
    assert calls.longest_wait() < GAP_SECONDS[engine]
    until(lambda: len(lab.node.cdrs()) == CALLS, "the records")
    assert {cdr["cause"] for cdr in lab.node.cdrs()} == {"normal"}
    counted = [stream["packets"] for call in lab.media_of_calls() for stream in call.values()]
    sent = calls.ends[0].sent
    print(f"{sent} packets sent each way; counted {min(counted)} to {max(counted)}")
    assert all(abs(number - sent) <= KILLS for number in counted)  # one at each death: relayed and not counted yet
    assert lab.node.complaints() == []


@pytest.mark.parametrize("engine", ENGINES)
def test_signalling_is_killed_and_calls_and_media_go_on_without_a_gap(lab: Lab, engine: Engine) -> None:
    lab.start(engine, media={"orphan_timeout": f"{ORPHAN_SECONDS}s"})
    with lab.calls(5) as calls:
        calls.talk(1)
        first = lab.pids()
        os.kill(first["signalling"], signal.SIGKILL)
        calls.talk(3)
        print(f"{engine}: signalling killed, longest gap {calls.longest_wait() * 1000:.0f} ms")
        until(lambda: lab.node.child.log.count("sbc: ready ") == 2, "signalling to be ready again", 10)
        second = lab.pids()
        assert second["signalling"] != first["signalling"]
        assert (second["supervisor"], second["worker"]) == (first["supervisor"], first["worker"])
        assert lab.node.status()["calls"] == 5
        calls.talk(ORPHAN_SECONDS + 1)  # somebody owns them
        lab.has_engine(engine)
    assert (calls.missing(), calls.doubled(), calls.astray()) == ([], 0, [])
    assert calls.longest_wait() < 0.15  # no worker was ended: there is no gap
    with lab.calls(5) as new:
        new.talk(1)
    assert (new.missing(), new.astray()) == ([], [])
    until(lambda: len(lab.node.cdrs()) == 10, "the records")
    assert {cdr["cause"] for cdr in lab.node.cdrs()} == {"normal"}
    counted = sorted(stream["packets"] for call in lab.media_of_calls() for stream in call.values())
    assert counted == sorted([calls.ends[0].sent] * 10 + [new.ends[0].sent] * 10)
    if engine == "kernel":
        until(lambda: lab.flows() == 0, "the flows to be gone", 5)
    assert lab.node.complaints() == []
