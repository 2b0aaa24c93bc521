"""`sbc bench journal` measures what it says: calls with a journal and without, its part of a call, a call's size."""

import re

from sbc.cli import bench_calls, bench_journal, bench_start
from sbc.cli.bench_calls import CallCost


def test_it_prints_what_the_journal_costs_and_how_large_a_call_is_in_it(monkeypatch, capsys):
    monkeypatch.setattr(bench_journal, "_WARM", 500)  # a call's last value is kept for half a minute: 320 calls
    measured = bench_journal.journal_cost(seconds=0.4)
    assert measured.calls > 0
    assert measured.puts > 3  # of each call: set up, answered, over, forgotten
    assert set(measured.sizes) == {"SavedSetup", "SavedCall", "SavedEnd"}
    assert 500 < measured.sizes["SavedCall"] < 20_000
    assert min(measured.without, measured.engine, measured.memory, measured.writer) > 0

    monkeypatch.setattr(bench_journal, "journal_cost", lambda: measured)
    monkeypatch.setattr(bench_calls, "call_cost", lambda **_: CallCost(1, 0, 100.0, 1_000.0, 1.0))  # 1 s of CPU a call
    monkeypatch.setattr(bench_start, "start_cost", lambda _: bench_start.cost_of([0.016], [0.004]))
    assert bench_journal.run_journal_bench() == 0
    said = capsys.readouterr().out
    of_engine, of_call = re.findall(r"the journal +([0-9.]+)%", said)
    assert float(of_engine) == round(measured.ratio * 100, 1)
    assert float(of_call) == round(measured.ratio * measured.without / 1e6 * 100, 1)
    assert re.search(rf"SavedCall +{measured.sizes['SavedCall']} octets", said)
