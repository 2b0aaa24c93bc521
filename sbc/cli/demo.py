"""`sbc demo`: the real program as a child process, a scripted PBX and a scripted carrier, one call each way with audio.

All on 127/8 without root, in a temporary folder. It tells what it does while it does it, then shows the ladders, the
records and what was heard. True only if audio was heard both ways in both calls.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from msgspec import Struct

from sbc.cdr.filters import Filters
from sbc.cli.client import ask
from sbc.cli.demo_phone import DemoPhone
from sbc.cli.demo_policy import DemoPolicy, write_policy
from sbc.cli.examples import example_policy
from sbc.cli.output import printable_lines
from sbc.cli.records import list_records
from sbc.cli.running import LOCAL
from sbc.core.address import Address
from sbc.core.errors import OperatorError
from sbc.core.ids import IdSource
from sbc.sdp import Direction
from sbc.testing.party import Party, Stage

OFFICE_NUMBER: Final = "+14155550100"
FAR_NUMBER: Final = "+442079460123"  # of a range that Ofcom keeps for drama
_TALK_SECONDS: Final = 2.0
_RING_SECONDS: Final = 0.4
_STEP_SECONDS: Final = 3.0  # how long any one step may take on a slow machine
_START_SECONDS: Final = 8.0
_ALL_SECONDS: Final = 19.0
_STOP_SECONDS: Final = 4.0
_PATH_OCTETS: Final = 80
_SPEECH_RATIO: Final = 0.9  # of what was sent must be heard; the first packets of a call may outrun its relay


class Voice(Struct, frozen=True):
    """One direction of one call."""

    call: int
    speaker: str
    listener: str
    sent: int
    heard: int

    @property
    def is_good(self) -> bool:
        return self.sent > 0 and self.heard >= self.sent * _SPEECH_RATIO


def run_demo() -> int:
    _say("sbc demo: a PBX, this SBC and a carrier on the loopback interface; one call each way.")
    # A Unix socket's path must be short (unix(7)), and it will be in there.
    roomy = len(tempfile.gettempdir()) <= _PATH_OCTETS
    with tempfile.TemporaryDirectory(prefix="sbc-demo-", dir=None if roomy else "/tmp") as folder:  # noqa: S108
        try:
            return trio.run(_within_limits, Path(folder))
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is not None:
                raise KeyboardInterrupt from None
            raise


async def _within_limits(folder: Path) -> int:
    with trio.move_on_after(_ALL_SECONDS):
        return await _demo(folder)
    raise OperatorError(f"the demo did not finish within {_ALL_SECONDS:.0f} s")


async def _demo(folder: Path) -> int:
    with ExitStack() as stack:
        policy = write_policy(example_policy("quickstart"), folder, stack)
        for line in policy.replaced:
            _say(f"  {line}")
        ids = IdSource(os.urandom)
        office = DemoPhone("office", OFFICE_NUMBER, policy.pbx_sip, policy.pbx_rtp, ids, 400)
        carrier = DemoPhone("carrier-a", FAR_NUMBER, policy.carrier_sip, policy.carrier_rtp, ids, 600)
        began = trio.current_time()
        log = folder / "log"
        process = await _start(policy, log)
        try:
            await _until_ready(process, log)
            _say(f"  ready after {trio.current_time() - began:.1f} s, as: sbc run {policy.folder}")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(office.run)
                nursery.start_soon(carrier.run)
                voices = await _calls(policy, office, carrier)
                await _show(policy)
                nursery.cancel_scope.cancel()
        finally:
            await _stop(process)
        return _verdict(voices, office, carrier)


# --- the program under show -------------------------------------------------------------------------------------------


async def _start(policy: DemoPolicy, log: Path) -> trio.Process:
    command = [sys.executable, "-m", "sbc", "run", str(policy.folder)]
    with log.open("wb") as stderr:
        return await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)


async def _until_ready(process: trio.Process, log: Path) -> None:
    with trio.move_on_after(_START_SECONDS):
        while process.poll() is None:
            if any(line.startswith("sbc: ready ") for line in _lines(log)):
                return
            await trio.sleep(0.02)
    raise OperatorError("sbc run did not get ready:\n" + "\n".join(_lines(log)[-20:]))


async def _stop(process: trio.Process) -> None:
    """Drained like any SBC; and gone, whatever happens to us."""
    with trio.CancelScope(shield=True):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with trio.move_on_after(_STOP_SECONDS):
            await process.wait()
        if process.poll() is None:
            process.kill()
            await process.wait()


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


# --- the calls --------------------------------------------------------------------------------------------------------


async def _calls(policy: DemoPolicy, office: DemoPhone, carrier: DemoPhone) -> list[Voice]:
    _say(f"\n1 out: office calls {FAR_NUMBER}; the SBC sends it to carrier-a.")
    counts = _counts(office, carrier)
    await _connect(office, carrier, policy.inside, FAR_NUMBER)
    await trio.sleep(_TALK_SECONDS)
    await _hold_and_resume(office, carrier)
    await trio.sleep(_TALK_SECONDS / 2)
    _say("  carrier-a hangs up")
    await _hang_up(carrier, office)
    voices = await _voices(1, office, carrier, counts)

    _say(f"\n2 in: a caller behind carrier-a calls {OFFICE_NUMBER}, a number that the PBX office owns.")
    counts = _counts(office, carrier)
    await _connect(carrier, office, policy.outside, OFFICE_NUMBER)
    await trio.sleep(_TALK_SECONDS)
    _say("  carrier-a hangs up")
    await _hang_up(carrier, office)
    return voices + await _voices(2, office, carrier, counts)


async def _connect(caller: DemoPhone, callee: DemoPhone, through: Address, number: str) -> None:
    before = len(callee.agent.parties)
    await caller.perform(lambda now: caller.agent.invite(number, through, now))
    rung = await callee.until(lambda party: party.n >= before and party.invite_key is not None, _STEP_SECONDS)
    call = _came(rung, f"{callee.name} got no INVITE; {caller.name} heard {caller.agent.heard}")
    _say(f"  {callee.name} rings, called as {call.called}")
    await callee.perform(lambda now: callee.agent.ring(call, now))
    await trio.sleep(_RING_SECONDS)
    _say(f"  {callee.name} answers")
    await callee.perform(lambda now: callee.agent.accept(call, now))
    answered = await caller.until(lambda party: party.stage is Stage.TALKING, _STEP_SECONDS)
    _came(answered, f"{caller.name} got no answer; it heard {caller.agent.heard}")
    await callee.until(lambda party: party.invite_key is None, _STEP_SECONDS)


async def _hold_and_resume(office: DemoPhone, carrier: DemoPhone) -> None:
    _say("  office holds the call")
    await _reinvite(office, carrier, Direction.SENDONLY)
    await trio.sleep(_TALK_SECONDS / 4)
    _say("  office resumes it")
    await _reinvite(office, carrier, Direction.SENDRECV)


async def _reinvite(holder: DemoPhone, held: DemoPhone, direction: Direction) -> None:
    call = holder.agent.parties[-1]
    await holder.perform(lambda now: holder.agent.reinvite(call, now, direction))
    done = await holder.until(lambda party: party.last_status != 0, _STEP_SECONDS)
    status = _came(done, f"{holder.name} got no answer to its re-INVITE").last_status
    if status != 200:
        raise OperatorError(f"{holder.name}'s re-INVITE was refused with {status}")
    await held.until(lambda party: party.invite_key is None, _STEP_SECONDS)


async def _hang_up(one: DemoPhone, other: DemoPhone) -> None:
    call = one.agent.parties[-1]
    await one.perform(lambda now: one.agent.hang_up(call, now))
    ended = await other.until(lambda party: party.stage is Stage.ENDED, _STEP_SECONDS)
    _came(ended, f"{other.name} was not told that the call is over")


def _came(party: Party | None, problem: str) -> Party:
    if party is None:
        raise OperatorError(problem)
    return party


# --- what was heard, and what is to be seen ---------------------------------------------------------------------------


def _counts(office: DemoPhone, carrier: DemoPhone) -> tuple[int, int, int, int]:
    return office.tone.sent, office.heard.packets, carrier.tone.sent, carrier.heard.packets


async def _voices(call: int, office: DemoPhone, carrier: DemoPhone, before: tuple[int, int, int, int]) -> list[Voice]:
    await trio.sleep(0.1)  # what is on its way arrives
    now = _counts(office, carrier)
    sent_out, heard_in, sent_in, heard_out = (b - a for a, b in zip(before, now, strict=True))
    return [
        Voice(call, office.name, carrier.name, sent_out, heard_out),
        Voice(call, carrier.name, office.name, sent_in, heard_in),
    ]


async def _show(policy: DemoPolicy) -> None:
    question = partial(ask, policy.admin, "/api/v1/cdrs", {"last": "10"}, key="cdrs")
    records: list[dict[str, Any]] = []
    with trio.move_on_after(_STEP_SECONDS):
        while len(records) < 2:
            records = (await _in_thread(question))["cdrs"]
            await trio.sleep(0.05)
    for n, record in enumerate(records, start=1):
        ladder = await _in_thread(partial(ask, policy.admin, f"/api/v1/calls/{record['ref']}/ladder", key="ladder"))
        _say(f"\ncall {n}, {record['ref']}, both legs:\n")
        _say(printable_lines(str(ladder["ladder"]).rstrip("\n")))
    _say("\ncall detail records (sbc cdr list):\n")
    await trio.to_thread.run_sync(
        partial(
            list_records,
            Filters(),
            limit=10,
            data_dir=policy.data_dir,
            sbc=LOCAL,
        )
    )
    if len(records) < 2:
        raise OperatorError(f"{len(records)} call records, not 2")


async def _in_thread(question: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return await trio.to_thread.run_sync(question)


def _verdict(voices: list[Voice], *phones: DemoPhone) -> int:
    _say("\nRTP packets of a tone, 20 ms each:\n")
    for voice in voices:
        verdict = "heard" if voice.is_good else "NOT HEARD"
        way = f"{voice.speaker} -> {voice.listener}"
        _say(f"  call {voice.call}  {way:<22}  sent {voice.sent:4}  heard {voice.heard:4}  {verdict}")
    complaints = [f"{phone.name}: {text}" for phone in phones for text in phone.agent.complaints]
    complaints += [f"{p.name}: {p.heard.foreign} packets that were not for it" for p in phones if p.heard.foreign]
    for complaint in complaints:
        _say(f"  {printable_lines(complaint)}")
    if all(voice.is_good for voice in voices) and not complaints:
        _say("\naudio was heard both ways in both calls.")
        return 0
    _say("\naudio was NOT heard both ways in both calls." if not complaints else "\nsomething was wrong, see above.")
    return 1


def _say(text: str) -> None:
    print(text, flush=True)
