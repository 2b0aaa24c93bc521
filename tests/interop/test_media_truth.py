"""What is counted and what is heard, against what was sent: loss, order, doubles and jitter, with either engine."""
# RFC: 3550

import time

import pytest

from .children import is_full, until
from .disturbed import Disturbed
from .lab import ENGINES, Engine, Lab

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

SECONDS = 60 if is_full() else 10
STREAMS = {
    "pbx": Disturbed(SECONDS * 50, lost=12, doubled=9, late=7, late_ms=6.0, seed=1),
    "carrier": Disturbed(SECONDS * 50, lost=5, doubled=0, late=15, late_ms=2.0, seed=2),
}
JITTER_MS = 1.5  # what the machine that tests adds or takes
CALLS = 500 if is_full() else 20
USERLAND_PACKETS = 6  # until the flow is there: the one that locks the source, and five more in 100 ms


@pytest.mark.parametrize("engine", ENGINES)
def test_statistics_are_what_was_sent(lab: Lab, engine: Engine) -> None:
    lab.start(engine)
    lab.warm_up()
    with lab.calls(1) as calls:
        ends = calls.calls[0].ends
        plan = sorted((at, side, n) for side, stream in STREAMS.items() for at, n in stream.schedule())
        start = time.monotonic()
        for at, side, number in plan:
            calls.listen_until(start + at)
            ends[side].send_as(number)
        calls.listen_until(time.monotonic() + 0.5)
        if engine == "kernel":
            counters = lab.counters()
            print(f"kernel: relayed, and of them in the kernel: {counters}")
            assert len(counters) == 2
            assert all(in_kernel > 0.9 * relayed for relayed, in_kernel in counters)
    for side, other in (("pbx", "carrier"), ("carrier", "pbx")):
        assert ends[other].heard == [number for _, number in STREAMS[side].schedule()]
    until(lambda: len(lab.node.cdrs()) == 2, "the record")
    media = lab.media_of_calls()[-1]
    for side, name in (("pbx", "ingress"), ("carrier", "egress")):
        counted, truth = media[name], STREAMS[side]
        print(f"{engine}, {name}: {counted}; truth: {truth}")
        found = [counted.get(key, 0) for key in ("packets", "lost", "duplicates", "reordered")]
        assert found == [truth.packets, truth.lost, truth.doubled, truth.late]
        assert counted["jitter_ms"] == pytest.approx(truth.late_ms, abs=JITTER_MS)
        assert counted["jitter_ms"] <= counted["jitter_max_ms"]


def test_the_kernel_takes_over_within_100_ms_and_nothing_is_lost_doubled_or_reordered(lab: Lab) -> None:
    lab.start("kernel", ports="20000-22999")
    lab.warm_up()
    with lab.calls(CALLS) as calls:
        calls.talk(60 if is_full() else 4)
        counters = lab.counters()
        left = sorted(relayed - in_kernel for relayed, in_kernel in counters)
        print(f"{len(counters)} ways, {calls.sent()} packets; relayed in userland: {left[len(left) // 2]} (median), "
              f"{left[-1]} at most")  # fmt: skip
        assert len(counters) == 2 * CALLS
        assert [relayed for relayed, _ in counters] == [calls.ends[0].sent] * len(counters)
        assert left[-1] <= USERLAND_PACKETS
        assert lab.flows() == 2 * CALLS
    assert (calls.missing(), calls.doubled(), calls.disordered(), calls.astray()) == ([], 0, 0, [])
    until(lambda: lab.flows() == 0, "the flows to be gone", 5)


def test_a_generator_of_faults_tells_the_truth_about_itself() -> None:
    for stream in STREAMS.values():
        numbers = [n for _, n in stream.schedule()]
        assert len(numbers) == stream.packets
        assert stream.count - len(set(numbers)) == stream.lost
        assert len(numbers) - len(set(numbers)) == stream.doubled
        assert sum(n < max(numbers[:i], default=-1) for i, n in enumerate(numbers)) == stream.late
