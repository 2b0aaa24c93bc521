"""Recordings: what is kept of an engine, how it is read again, and that nothing which goes wrong there hurts a call."""

import stat

import msgspec
import pytest

from sbc.b2bua.commands import Log
from sbc.b2bua.events import ClockSet, PolicyChanged, QueueAged, StateRestored
from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.errors import OperatorError
from sbc.policy.engine import Policy
from sbc.policy.load import Source, parse_policy
from sbc.runtime.recording import files, frames
from sbc.runtime.recording.files import lives_in, read_life
from sbc.runtime.recording.frames import Life
from sbc.runtime.recording.policies import read_policy, write_policy
from sbc.runtime.recording.replaying import Difference, Replay, UnfitError, tell
from sbc.runtime.recording.writer import Recording
from sbc.testing.seeds import seeded_ids
from sbc.testing.world import POLICY, WALL_AT_ZERO

OPTIONS = (
    b"OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK%d\r\nMax-Forwards: 70\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: x%d\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)
FLOW = Flow(Transport.UDP, "inside", Address("10.0.0.1", 5060), Address("10.0.0.5", 5060))


@pytest.fixture
def said(monkeypatch):
    """Lines of the log, as event and fields."""
    lines = []

    class Heard:
        def __getattr__(self, level):
            return lambda event, **fields: lines.append((event, fields))

    monkeypatch.setattr("sbc.runtime.recording.writer.log", Heard())
    return lines


def policy_of(text: str = POLICY) -> Policy:
    return parse_policy([Source("policy.yaml", text.encode())])


async def record(folder, requests=3, *, policy=None, **options):
    """One short life; the commands that came out of each step."""
    recording = Recording(folder, **options)
    recording.open()
    engine = recording.make_engine(policy or policy_of(), seeded_ids())
    recording.announce()
    engine.show_fingerprint(("sha-256", "AB:CD"))
    engine.handle(ClockSet(WALL_AT_ZERO), 100.0)
    engine.handle(StateRestored(()), 100.0)
    came_out = [engine.start(100.0)]
    came_out += [engine.receive(OPTIONS % (n, n), FLOW, 101.0 + n) for n in range(requests)]
    engine.handle(QueueAged(0.0, "loop"), 200.0)
    engine.tick(200.0)
    await recording.finish(5)
    return came_out


def replay(folder, life=1):
    torn = []
    read = read_life(lives_in(folder)[life], torn)
    run = Replay(next(read))
    return run, list(run.run(read)), torn


async def test_what_was_recorded_replays(tmp_path, said):
    came_out = await record(tmp_path / "r")
    run, results, torn = replay(tmp_path / "r")
    assert not torn
    assert not any(isinstance(result, Difference) for result in results)
    assert [list(result.commands) for result in results[2:6]] == came_out
    assert any(came_out[1:])
    assert run.steps == 8
    assert [event for event, _ in said] == ["recording.began"]


def test_whose_queue_had_aged_is_kept_and_what_was_recorded_before_that_is_read_still():
    stream = Flow(Transport.TCP, "inside", Address("10.0.0.1", 5060), Address("10.0.0.5", 40000), 1)
    aged = QueueAged(0.3, "tcp:10.0.0.5:40000", stream)
    assert frames.event_of(frames.handled(aged, 1.0, (), b"")) == aged
    before = msgspec.msgpack.encode({"seconds": 0.3, "queue": "udp"})
    assert frames.event_of(frames.Handled(1.0, "QueueAged", before)) == QueueAged(0.3, "udp")


async def test_a_recording_is_for_its_owner_alone(tmp_path):
    await record(tmp_path / "r")
    assert stat.S_IMODE((tmp_path / "r").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "r" / "0001-0001.rec").stat().st_mode) == 0o600


async def test_each_process_adds_a_life(tmp_path):
    await record(tmp_path)
    await record(tmp_path, 1)
    assert list(lives_in(tmp_path)) == [1, 2]
    assert [replay(tmp_path, life)[0].steps for life in (1, 2)] == [8, 6]


async def test_two_processes_that_begin_at_once_have_two_lives(tmp_path, monkeypatch):
    first, second = Recording(tmp_path), Recording(tmp_path)
    assert first.open()
    with monkeypatch.context() as before:
        before.setattr("sbc.runtime.recording.writer.files.lives_in", lambda _folder: {0: []})
        assert second.open()
    await first.finish(5)
    await second.finish(5)
    assert list(lives_in(tmp_path)) == [1, 2]


async def test_a_digest_tells_that_something_differs_but_not_what(tmp_path):
    await record(tmp_path / "whole")
    await record(tmp_path / "digest", keeps="digest")
    sizes = [len((tmp_path / name / "0001-0001.rec").read_bytes()) for name in ("whole", "digest")]
    assert sizes[1] < sizes[0]
    assert not [result for result in replay(tmp_path / "digest")[1] if isinstance(result, Difference)]
    life, *rest = made(("start", (), 1.0, (), [Log("info", "a")]), keeps="digest")
    [difference] = Replay(life).run(rest)
    told = tell(difference)
    assert [len(line) for line in (*told.expected, *told.actual)] == [16, 16]
    assert told.expected != told.actual


def test_the_first_difference_is_told_and_ends_the_replay():
    life, *rest = made(("start", (), 1.0, (), [Log("info", "a")]), ("tick", (), 2.0, (), []))
    results = list(Replay(life).run(rest))
    assert [type(result) for result in results] == [Difference]
    told = tell(results[0])
    assert results[0].number == 1
    assert told.expected == ("Log level='info', event='a', fields=[]",)
    assert any("OpenPorts" in line for line in told.actual)


def test_an_engine_that_draws_otherwise_differs():
    life, *rest = made(("tick", (), 2.0, ("ab" * 8,), []))
    [difference] = Replay(life).run(rest)
    assert "fewer random digits" in difference.why


def made(*taken, keeps="commands"):
    """A recording of an engine that did so."""
    from sbc.runtime.recording.engine import RecordedSwitch
    from sbc.runtime.recording.making import Making

    told = []
    RecordedSwitch(policy_of(), seeded_ids(), told.append)
    making = Making(keeps)
    return [
        Life(frames.FORMAT, 1, "", "", "", 0.0, keeps),
        *(frame for one in [*told, *taken] for frame in making.made_of(one)),
    ]


async def test_half_a_block_at_the_end_is_left_out(tmp_path):
    await record(tmp_path)
    path = tmp_path / "0001-0001.rec"
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, len(whole) - 200, -7):
        path.write_bytes(whole[:cut])
        run, results, torn = replay(tmp_path)
        assert torn
        assert run.steps < 8
        assert not any(isinstance(result, Difference) for result in results)


async def test_no_octet_of_a_recording_can_be_changed_unseen(tmp_path):
    await record(tmp_path)
    path = tmp_path / "0001-0001.rec"
    whole = path.read_bytes()
    for at in range(len(files.MAGIC), len(whole), 41):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        torn = []
        list(read_life([path], torn))
        assert torn


def test_what_is_no_recording_is_said(tmp_path):
    with pytest.raises(OperatorError, match="no recording"):
        lives_in(tmp_path)
    (tmp_path / "0001-0001.rec").write_bytes(b"nothing of that kind")
    with pytest.raises(OperatorError, match="no recording"):
        list(read_life(lives_in(tmp_path)[1], []))


def test_a_frame_that_nobody_knows_is_an_error_and_no_crash(tmp_path):
    (tmp_path / "0001-0001.rec").write_bytes(files.MAGIC + files.pack([b"\0\0\0\x06\x91\xa4what"]))
    with pytest.raises(OperatorError, match="none of this version"):
        list(read_life(lives_in(tmp_path)[1], []))


def test_a_recording_of_another_format_is_refused():
    with pytest.raises(UnfitError, match="format 9"):
        Replay(Life(9, 1, "", "", "", 0.0))


def test_an_event_that_this_version_does_not_know_is_refused():
    life, *rest = made()
    with pytest.raises(UnfitError, match="Miracle"):
        list(Replay(life).run([*rest, frames.Handled(1.0, "Miracle", b"\x80")]))


async def test_a_full_disk_ends_the_recording_and_no_call(tmp_path, said, monkeypatch):
    def refused(*_):
        raise OSError(28, "No space left on device")

    recording = Recording(tmp_path)
    recording.open()
    engine = recording.make_engine(policy_of(), seeded_ids())
    monkeypatch.setattr("sbc.runtime.recording.writer.os.write", refused)
    engine.start(100.0)
    await recording.finish(5)
    assert engine.receive(OPTIONS % (1, 1), FLOW, 101.0)
    assert said[-1][0] == "recording.ended"
    assert said[-1][1]["why"] == "No space left on device"
    assert recording.waiting == 0


async def test_a_value_that_cannot_be_kept_ends_the_recording_and_no_call(tmp_path, said, monkeypatch):
    recording = Recording(tmp_path)
    recording.open()
    engine = recording.make_engine(policy_of(), seeded_ids())
    monkeypatch.setattr("sbc.runtime.recording.making.frames.outcome_of", lambda *_: {}["bug"])
    assert engine.receive(OPTIONS % (1, 1), FLOW, 101.0)
    await recording.finish(5)
    assert said[-1][1]["why"] == "KeyError: 'bug'"


# BOUND: RECORDING_OCTETS
async def test_a_recording_ends_where_it_is_large_enough(tmp_path, said):
    await record(tmp_path, 2_000, most=2_000)
    assert [event for event, _ in said] == ["recording.began", "recording.ended"]
    run, _, torn = replay(tmp_path)
    assert not torn
    assert run.ended is not None
    another = Recording(tmp_path, most=2_000)
    assert not another.open()
    another.announce()
    assert "2000 are allowed" in said[-1][1]["why"]


# BOUND: RECORDING_SEGMENT_OCTETS
async def test_a_long_life_has_several_segments(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "RECORDING_SEGMENT_OCTETS", 1_000)
    monkeypatch.setattr("sbc.runtime.recording.writer._AT_ONCE", 5)
    await record(tmp_path, 40)
    assert len(lives_in(tmp_path)[1]) > 3
    assert replay(tmp_path)[0].steps == 45


# BOUND: RECORDING_STEPS_WAITING, RECORDING_OCTETS_WAITING
@pytest.mark.parametrize(("bound", "most"), [("RECORDING_STEPS_WAITING", 5), ("RECORDING_OCTETS_WAITING", 1_000)])
async def test_a_disk_that_does_not_keep_up_ends_the_recording(tmp_path, said, monkeypatch, bound, most):
    monkeypatch.setattr(limits, bound, most)
    recording = Recording(tmp_path)
    recording._thread.start = lambda: None  # it never gets its turn
    recording.open()
    engine = recording.make_engine(policy_of(), seeded_ids())
    for n in range(10):
        engine.receive(OPTIONS % (n, n), FLOW, 101.0 + n)
    assert said[-1] == (
        "recording.ended",
        {"alarm": True, "path": str(tmp_path), "life": 1, "why": "the disk does not keep up"},
    )
    assert recording.waiting == 0


def test_a_folder_that_cannot_be_written_to_is_an_alarm_and_keeps_nothing_from_running(tmp_path, said):
    (tmp_path / "file").write_bytes(b"")
    recording = Recording(tmp_path / "file")
    assert not recording.open()
    recording.announce()
    assert [event for event, _ in said] == ["recording.ended"]
    assert said[0][1]["alarm"]


async def test_a_reload_and_its_policy_are_in_the_recording(tmp_path):
    recording = Recording(tmp_path)
    recording.open()
    first, second = policy_of(), policy_of(POLICY.replace("carrier", "provider"))
    engine = recording.make_engine(first, seeded_ids())
    engine.start(1.0)
    for n, policy in enumerate((second, first)):  # the first one again is the same object again
        engine.handle(PolicyChanged(policy), 2.0 + n)
    await recording.finish(5)
    read = list(read_life(lives_in(tmp_path)[1], []))
    assert [frame.number for frame in read if isinstance(frame, frames.PolicyRead)] == [0, 1]
    assert [frame.policy for frame in read if isinstance(frame, frames.PolicyPut)] == [1, 0]
    assert dict(read[1].texts) == {"policy.yaml": POLICY.encode()}
    run, _, _ = replay(tmp_path)
    assert set(run.switch.policy.peers) == {"office", "carrier"}


def test_a_step_that_raises_is_kept_as_that():
    assert frames.commands_in(frames.outcome_of(ValueError("x"))) == ["raised", "ValueError", "x"]


def test_a_policy_is_written_and_read_whole():
    policy = policy_of()
    again = read_policy(write_policy(policy))
    assert again.peers == policy.peers
    assert (again.routes, again.dids, again.media) == (policy.routes, policy.dids, policy.media)
    assert (again.interfaces, again.settings) == (policy.interfaces, policy.settings)


def test_what_the_engine_never_asks_for_is_not_in_a_recording():
    written = write_policy(
        policy_of(
            POLICY.replace(
                "country: US",
                "country: US, admin_token: t0ken-t0ken-t0ken-t0ken-t0ken-t0ken, "
                "alerts: {webhook: 'https://hooks.example/s3cret'}",
            )
        )
    )
    assert b"t0ken" not in written
    assert b"s3cret" not in written


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xc1", write_policy(policy_of())[:-4], b"\x81\xa1x\x01"])
def test_a_policy_that_is_none_is_refused(data):
    with pytest.raises(ValueError, match=r"."):
        read_policy(data)


@pytest.mark.parametrize("kind", ["Popen", "Struct", "eval"])
def test_only_values_of_policies_are_ever_made(kind):
    import msgspec

    found = msgspec.msgpack.decode(write_policy(policy_of()))
    found["media"] = [kind, ["args", "id"]]
    with pytest.raises(ValueError, match="none of this version"):
        read_policy(msgspec.msgpack.encode(found))
