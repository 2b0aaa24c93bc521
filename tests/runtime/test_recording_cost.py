"""What a recording costs a plain call: measured with its thread, in turns with an engine that nobody records."""

import time

import pytest
import trio

from sbc.cli import bench_engine
from sbc.runtime.recording.writer import Recording

CALLS = 300


def cost(make=None):
    """CPU microseconds of this process per call."""
    bench = bench_engine.EngineBench()
    for n in range(50):
        bench.complete(n)
    begun = time.process_time()
    for n in range(50, 50 + CALLS):
        bench.complete(n)
        bench.pass_time(0.01)
    bench.pass_time(60)
    if make is not None:
        make()
    return (time.process_time() - begun) / CALLS * 1e6


@pytest.mark.alone
@pytest.mark.slow
def test_a_recording_costs_less_than_a_third_of_a_plain_call(tmp_path, monkeypatch):
    plain, on, octets = [], [], 0
    for turn in range(4):
        plain.append(cost())
        recording = Recording(tmp_path / str(turn))
        recording.open()
        with monkeypatch.context() as recorded:
            recorded.setattr(bench_engine, "Switch", recording.make_engine)
            on.append(cost(lambda recording=recording: trio.run(recording.finish, 30)))
        octets = sum(path.stat().st_size for path in (tmp_path / str(turn)).iterdir()) // (CALLS + 50)
    ratio = min(on) / min(plain)
    print(f"{min(plain):.0f} us a call, recorded {min(on):.0f} us: {ratio:.2f} times; {octets} octets on the disk")
    assert ratio < 1.34
