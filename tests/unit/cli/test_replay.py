"""`sbc replay`: what it says of a recording, where it went another way, and what it makes of one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

import sbc
from sbc.b2bua.events import HangUpOrdered
from sbc.cli import run_command
from sbc.cli.replay_as_test import _literal, _time
from sbc.runtime.recording import frames
from sbc.runtime.recording.files import lives_in, read_life, write_life
from sbc.testing.replayed import recorded_worlds
from sbc.testing.world import FAR, POLICY, World


@pytest.fixture
def recorded(tmp_path):
    """A folder with one life: a call that is answered and ended; and its ref."""
    return record(tmp_path / "recording", talk)


def record(folder, story, policy=POLICY, life=1):
    with recorded_worlds() as tapes:
        world = World(policy)
        story(world)
        assert world.idle()
    tapes[0].write(folder, life)
    return folder, world.cdr[0].ref


def talk(world, times=1):
    office, carrier = world.office(), world.carrier()
    for _ in range(times):
        office.invites(FAR)
        carrier.rings()
        world.run(2.0)
        carrier.answers()
        world.run(5.0)
        office.hangs_up()


def run(capsys, *words):
    status = run_command(["replay", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def changed(folder, target, kind, change):
    """The recording with one frame of this kind changed."""
    read = list(read_life(lives_in(folder)[1], []))
    at = max(n for n, frame in enumerate(read) if isinstance(frame, kind) and frame.outcome != b"\x90")
    write_life(target, 1, iter([*read[:at], change(read[at]), *read[at + 1 :]]))
    return target


def test_the_same_commands_are_0(recorded, capsys):
    status, out, err = run(capsys, recorded[0])
    assert (status, err) == (0, "")
    assert re.search(r"\d+ steps in [\d.]+ s: the same commands\n$", out)
    assert f"recorded by sbc {sbc.__version__} on CPython" in out


def test_the_first_step_that_differs_is_shown_and_is_1(recorded, tmp_path, capsys):
    def other(frame):
        return frames.Received(frame.now, frame.data, frame.flow, frame.drawn, frames.outcome_of([]))

    folder = changed(recorded[0], tmp_path / "other", frames.Received, other)
    status, out, _ = run(capsys, folder)
    assert status == 1
    assert "came out otherwise" in out
    assert "expected  nothing more" in out
    assert "actual    " in out


def test_a_ladder_of_each_call(recorded, capsys):
    status, out, _ = run(capsys, recorded[0], "--ladder")
    assert status == 0
    assert f"call {recorded[1]}, over" in out
    assert "180 Ringing (INVITE)" in out


def test_a_part_of_it_step_by_step(recorded, capsys):
    status, out, _ = run(capsys, recorded[0], "--from", "1.9", "--to", "2.5")
    assert status == 0
    assert "received from 198.51.100.7:5060: SIP/2.0 200 OK: " in out
    assert "BYE" not in out


def test_a_call_that_is_not_in_it_is_said(recorded, capsys):
    assert "no call nobody is in life 1" in run(capsys, recorded[0], "--ref", "nobody")[1]


def test_a_call_that_is_in_no_life_is_1_and_on_stderr(recorded, capsys):
    status, out, err = run(capsys, recorded[0], "--ref", "nobody")
    assert (status, err) == (1, f"sbc: {recorded[0]}: no call nobody is in the recording, as far as it was run\n")
    assert "the same commands" in out


def test_a_call_that_had_not_come_yet_is_not_there(recorded, capsys):
    assert run(capsys, recorded[0], "--ref", recorded[1], "--to", "0.5")[0] == 0
    status, _, err = run(capsys, recorded[0], "--ref", recorded[1], "--to", "-1")
    assert status == 1
    assert "as far as it was run" in err


def test_a_call_of_one_life_is_found_among_others(recorded, capsys):
    record(recorded[0], lambda world: talk(world, times=2), life=2)
    [ref] = {*re.findall(r"call (\w+), over", run(capsys, recorded[0], "--ladder")[1])} - {recorded[1]}
    status, out, err = run(capsys, recorded[0], "--ref", ref)
    assert (status, err) == (0, "")
    assert f"no call {ref} is in life 1" in out
    assert f"call {ref}, over" in out
    status, _, err = run(capsys, recorded[0], "--ref", ref, "--life", "1")
    assert status == 1
    assert f"no call {ref} is in life 1" in err
    assert run(capsys, recorded[0], "--ref", ref, "--life", "2")[::2] == (0, "")


def test_a_life_with_another_hash_seed_says_whether_it_has_the_call(recorded, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "4")
    monkeypatch.setenv("PYTHONPATH", str(Path(sbc.__file__).parent.parent))
    folder = seeded(recorded[0], tmp_path / "seeded")
    status, out, err = run(capfd, folder, "--ref", recorded[1])
    assert (status, err) == (0, "")
    assert f"call {recorded[1]}, over" in out
    status, _, err = run(capfd, folder, "--ref", "nobody")
    assert (status, err) == (1, f"sbc: {folder}: no call nobody is in the recording, as far as it was run\n")


def test_a_call_is_shown_though_thousands_have_ended_since(recorded, capsys, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.TRACE_CALLS", 1)
    folder, ref = record(recorded[0], lambda world: talk(world, times=3), life=2)
    status, out, _ = run(capsys, folder, "--ref", ref, "--life", "2")
    assert status == 0
    assert f"call {ref}, over" in out


def test_another_hash_seed_is_taken_on(recorded, tmp_path):
    folder = seeded(recorded[0], tmp_path / "seeded")
    root = str(Path(sbc.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "sbc", "replay", str(folder)],
        env={**os.environ, "PYTHONHASHSEED": "4", "PYTHONPATH": root},
        cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "the same commands" in done.stdout


def seeded(folder, target):
    """The recording as if it had been made with another order of sets."""
    life, *rest = read_life(lives_in(folder)[1], [])
    write_life(target, 1, iter([replace(life, seed="17"), *rest]))
    return target


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--life", "7"], 1, "no life 7"),
        (["--as-test", "x.py"], 2, "--as-test needs --ref"),
        (["--ref", "nobody", "--as-test", "x.py"], 1, "no call nobody"),
    ],
)
def test_what_cannot_be_done_is_said(recorded, capsys, words, status, says):
    found = run(capsys, recorded[0], *words)
    assert found[0] == status
    assert says in found[2]


@pytest.mark.parametrize("words", [(), ("--ref", "nobody"), ("--mask", "x"), ("--ref", "nobody", "--as-test", "x.py")])
def test_what_is_no_recording_is_said(tmp_path, capsys, words):
    def says(folder):
        status, out, err = run(capsys, folder, *words)
        assert (status, out) == (1, "")
        return err

    assert "No such file or directory" in says(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert "Not a directory" in says(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "no recording (no NNNN-NNNN.rec) is in it" in says(tmp_path / "empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0001-0001.rec").write_bytes(b"a file of somebody else")
    assert "this is no recording" in says(tmp_path / "other")


# --- recordings that were cut -----------------------------------------------------------------------------------------


def cut(folder, octets, name="0001-0001.rec"):
    path = folder / name
    path.write_bytes(path.read_bytes()[:octets])
    return path


@pytest.mark.parametrize("octets", [0, 5, 8, 11, 300])
def test_a_life_of_which_nothing_is_whole_is_1_and_in_nobodys_way(recorded, capsys, octets):
    record(recorded[0], talk, life=2)
    path = cut(recorded[0], octets)
    status, out, err = run(capsys, recorded[0])
    assert status == 1
    assert err.startswith("sbc: life 1: nothing of it can be read\n")
    assert octets == 8 or f"{path}: not whole from octet {min(octets, 8) // 8 * 8} on" in err
    assert "life 2: recorded by" in out
    assert "the same commands" in out


def test_a_life_that_was_cut_is_replayed_so_far_and_says_where(recorded, tmp_path, capsys):
    read = list(read_life(lives_in(recorded[0])[1], []))
    folder = tmp_path / "cut"
    path = folder / "0001-0001.rec"
    write_life(folder, 1, iter(read[:-5]))
    at = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\0\0\1\0half a block")
    status, out, err = run(capsys, folder, "--ladder")
    assert (status, err) == (0, "")
    assert f"{path}: not whole from octet {at} on; what was before is replayed" in out
    assert f"call {recorded[1]}, " in out
    status, out, _ = run(capsys, folder, "--mask", tmp_path / "masked")
    assert status == 0
    assert f"{path}: not whole from octet {at} on; what was before is written" in out


def test_a_segment_that_is_missing_ends_the_life(recorded, capsys):
    whole = recorded[0] / "0001-0001.rec"
    whole.with_name("0001-0003.rec").write_bytes(whole.read_bytes())
    status, out, _ = run(capsys, recorded[0])
    assert status == 0
    assert "0001-0002.rec: missing; what was before is replayed" in out
    whole.unlink()
    status, _, err = run(capsys, recorded[0])
    assert status == 1
    assert err.endswith("0001-0001.rec: missing\n")


def test_nothing_is_made_of_a_life_of_which_nothing_is_whole(recorded, tmp_path, capsys):
    cut(recorded[0], 20)
    status, _, err = run(capsys, recorded[0], "--mask", tmp_path / "masked")
    assert status == 1
    assert "nothing of the recording can be read" in err
    status, _, err = run(capsys, recorded[0], "--ref", recorded[1], "--as-test", tmp_path / "test_it.py")
    assert status == 1
    assert f"no call {recorded[1]} is in the recording" in err


# --- what is made of it -----------------------------------------------------------------------------------------------


def test_a_masked_recording_replays_and_is_never_written_over_another(recorded, tmp_path, capsys):
    target = tmp_path / "masked"
    assert run(capsys, recorded[0], "--mask", target)[0] == 0
    status, out, _ = run(capsys, target, "--ladder")
    assert status == 0
    assert "masked" in out
    assert FAR not in out
    assert run(capsys, recorded[0], "--mask", target)[0] == 1


def test_what_cannot_be_masked_leaves_nothing(tmp_path, capsys):
    folder, _ = record(tmp_path / "recording", talk, POLICY.replace('"+44X."', '"+44207946X."'))
    status, _, err = run(capsys, folder, "--mask", tmp_path / "masked")
    assert status == 1
    assert "cannot be masked" in err
    assert list((tmp_path / "masked").iterdir()) == []


def test_a_call_becomes_a_test_that_stands_alone_and_can_fail(recorded, tmp_path, capsys):
    path = tmp_path / "test_it.py"
    assert run(capsys, recorded[0], "--ref", recorded[1], "--as-test", path)[0] == 0
    text = path.read_text()
    passes(text)
    with pytest.raises(AssertionError, match="another way"):
        passes(text.replace('"egress > 180 Ringing (INVITE)"', '"egress > 183 Session Progress (INVITE)"'))


def hang_up(world):
    office, carrier = world.office(), world.carrier()
    office.invites(FAR)
    carrier.answers()
    world.tell(HangUpOrdered(world.switch.trace.refs()[0]))


def offer_again(world):
    office, carrier = world.office(), world.carrier()
    office.invites(FAR)
    carrier.answers()
    world.run(1.0)
    office.holds()
    world.run(1.0)
    carrier.hangs_up()


def refuse(world):
    office, carrier = world.office(), world.carrier()
    office.invites(FAR)
    carrier.refuses(486)


def cancel(world):
    office, carrier = world.office(), world.carrier()
    office.invites(FAR)
    carrier.rings()
    world.run(3.0)
    office.cancels()


def never_answer(world):
    world.office().invites(FAR)
    world.carrier().silent = True
    world.run(40.0)


@pytest.mark.parametrize("story", [hang_up, offer_again, refuse, cancel, never_answer])
def test_calls_of_all_kinds_become_tests(story, tmp_path, capsys):
    folder, ref = record(tmp_path / "recording", story)
    path = tmp_path / "test_it.py"
    status, _, err = run(capsys, folder, "--ref", ref, "--as-test", path)
    assert (status, err) == (0, "")
    passes(path.read_text())


def test_a_call_that_needs_what_was_before_it_makes_no_test(tmp_path, capsys):
    policy = POLICY.replace("dids:", "auth: {username: office, password: 0pensesame}, dids:")

    def story(world):
        office, carrier = world.office(), world.carrier()
        office.has_credentials("office", "0pensesame")
        office.invites(FAR)
        carrier.answers()
        office.hangs_up()

    folder, _ = record(tmp_path / "recording", story, policy)
    with recorded_worlds():
        ref = last_ref(folder, capsys)
    status, _, err = run(capsys, folder, "--ref", ref, "--as-test", tmp_path / "test_it.py")
    assert status == 1
    assert "makes no test that passes" in err
    assert not (tmp_path / "test_it.py").exists()


def last_ref(folder, capsys):
    return re.findall(r"call (\w+), over", run(capsys, folder, "--ladder")[1])[-1]


def passes(text):
    space = {}
    exec(text, space)
    [test] = [found for name, found in space.items() if name.startswith("test_")]
    test(World)


@pytest.mark.parametrize("text", ['a"', 'x"""y', "back\\slash", "a\nb", "a\r\nb\r\n", "\x00", "a\rb", "{0.x}\n"])
def test_any_text_is_a_literal(text):
    again = eval(_literal(text))
    assert again in (text, text.replace("\r\n", "\n"))


@pytest.mark.parametrize(("at", "said"), [(0.0, "0.0"), (1.5, "1.5"), (2.0000001, "2.0"), (10.0, "10.0")])
def test_times_are_short(at, said):
    assert _time(at) == said
