"""`sbc bench recording` measures what it says: calls that are recorded, and the octets that they leave."""

from sbc.cli import bench_recording
from sbc.runtime.recording.files import lives_in


def test_it_records_the_calls_that_it_measures(monkeypatch, capsys):
    monkeypatch.setattr(bench_recording, "_WARM", 1)
    monkeypatch.setattr(bench_recording, "_CALLS", 3)
    monkeypatch.setattr(bench_recording, "_TURNS", 1)
    left = []
    finish = bench_recording.Recording.finish

    async def finished(recording, patience):
        result = await finish(recording, patience)
        left.append(sum(len(segments) for segments in lives_in(recording.folder).values()))
        return result

    monkeypatch.setattr(bench_recording.Recording, "finish", finished)
    assert bench_recording.run_recording_bench() == 0
    assert left == [1]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("A recording of all that the engine does (3 complete calls")
    assert int(said[3].split()[3]) > 500
