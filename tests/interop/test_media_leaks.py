"""After many calls nothing of them is left: no port, no descriptor, no session, no flow, no counter."""

import pytest

from .children import is_full, until
from .lab import ENGINES, Engine, Lab, descriptors

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

AT_ONCE = 25
BATCHES = 400 if is_full() else 20
TALK_SECONDS = 0.3
PORTS = "20000-20399"  # opened as they are needed, and then kept; used again after 2 s at least
OPENS_ALL = 10  # batches that need every pair


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_left_after_many_calls(lab: Lab, engine: Engine) -> None:
    lab.start(engine, ports=PORTS)
    batches = BATCHES if engine == "kernel" else max(BATCHES // 2, OPENS_ALL + 2)

    def call() -> None:
        with lab.calls(AT_ONCE) as calls:
            calls.talk(TALK_SECONDS, settle=0.1)
        assert (calls.missing(), calls.doubled(), calls.astray()) == ([], 0, [])

    for _ in range(OPENS_ALL):
        call()
    pids = lab.pids()
    before = descriptors(pids)
    for _ in range(batches - OPENS_ALL):
        call()
    until(lambda: lab.node.status()["ports"] == 0, "the ports to be free")
    assert lab.pids() == pids

    def is_as_before() -> bool:
        now = descriptors(pids)
        return all(now[name] <= before[name] for name in pids)

    until(is_as_before, "descriptors as before", 20, lambda: (before, descriptors(pids)))
    print(f"{engine}: after {batches * AT_ONCE} calls: descriptors {before}")
    assert [worker["sessions"] for worker in lab.node.status()["media"]] == [0]
    if engine == "kernel":
        until(lambda: lab.flows() == 0, "the flows to be gone", 5)
        until(lambda: lab.counters() == [], "the counters to be given back", 5)
    until(lambda: len(lab.node.cdrs()) == batches * AT_ONCE, "the records")
    assert {cdr["cause"] for cdr in lab.node.cdrs()} == {"normal"}
    assert lab.node.complaints() == []
