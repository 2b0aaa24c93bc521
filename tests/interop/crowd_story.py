"""An SBC with a crowd around it whose processes are killed: what is done to it, and what must be true afterwards."""

import os
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from . import killing
from .children import until
from .crowd import Crowd
from .crowd_call import OTHER, Call, Plan
from .crowd_exchange import Exchange, Side
from .crowd_records import wrong_records
from .crowd_secured import NAME, Secrets, SecuredExchange
from .crowd_wire import Connections, Datagrams
from .lab import Engine, Lab
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX

EVERY = (0.02, *(0.2,) * 9)  # a tenth of the calls has 50 packets/s, the others 5: what two CPUs carry beside all else
CALLS_PER_SECOND = 5.0  # that come and go
ROOM = 40  # call paths beyond those of the calls that stay
FINAL_SECONDS = 40.0  # after the last kill, for what was being set up: 64 × T1, and what a phone needs itself
MOST_SHED = 0.02  # of all calls: what has waited for a start comes all at once
MOST_OF_OTHERS = 0.15  # of the machine's time, so that how long a start took says something
UNSURE_SECONDS = 0.3  # before all die on a machine without room in /dev/shm: what was said so late may be on no disk


class Story:
    """`begins`, `suffers` and then `ends_well`. `transport`: udp, tcp, or tls, which has SRTP on the carrier's side."""

    def __init__(
        self,
        lab: Lab,
        engine: Engine,
        seed: int,
        *,
        calls: int,
        transport: str = "udp",
        room: int = ROOM,
        folder: Path,
        **options: Any,
    ) -> None:
        self.rng = random.Random(seed)
        exchanges: Callable[..., Exchange] = Exchange
        wires: dict[Side, Callable[..., Datagrams | Connections]] = {}
        trunk_more = f"call_paths: {calls + room}"
        if transport == "tcp":
            wires = dict.fromkeys(OTHER, Connections)
            options |= {"pbx_where": f"address: sip:{PBX}:5060;transport=tcp", "trunk_where": ";transport=tcp"}
        elif transport == "tls":
            secrets = Secrets(folder, INSIDE, OUTSIDE, CARRIER)
            wires = {"carrier": secrets.wire}
            options |= {"trunk_where": ";transport=tls", "interfaces": secrets.interfaces}
            trunk_more += f"\n    tls: {{domain: {NAME}}}\n    srtp: required"

            def exchanges(side: Side, *rest: Any) -> Exchange:
                return (SecuredExchange if side == "carrier" else Exchange)(side, *rest)

        self.node = lab.start(engine, ports="20000-24999", trunk_more=trunk_more, **options)
        self.crowd = Crowd(
            self.node, self.rng.randrange(1 << 30), inside=lab.namespaces.inside, exchanges=exchanges, wires=wires
        )
        self.calls: list[Call] = []
        self.outages: list[float] = []
        self.longest_wait = 0.0  # of a packet, while processes died
        self.deaths: list[float] = []
        self.total_deaths: list[float] = []
        self._wanted, self._room = calls, room
        self._others = killing.Others(self.node)

    def begins(self, rate: float = CALLS_PER_SECOND) -> None:
        self.calls = self.crowd.establish(self._wanted, every=EVERY)
        self.crowd.come_and_go(rate)
        time.sleep(2)

    # --- what is done to it -------------------------------------------------------------------------------------------

    def suffers(self, kills: int, kill: Callable[[], float]) -> None:
        """`kill` says when it was; the moments are of chance, and some are in the middle of the recovery."""
        for _ in range(kills):
            time.sleep(self.rng.uniform(0.05, 0.4) if self.rng.random() < 0.1 else self.rng.uniform(0.5, 2.5))
            at = kill()
            self.deaths.append(at)
            self.outages.append(self.crowd.probe.back_after(at, 30))
        self.longest_wait = self.crowd.sound.longest_wait()

    def signalling_dies(self) -> float:
        return killing.kill(killing.signalling(self.node))

    def worker_dies(self) -> float:
        return killing.kill(killing.worker(self.node))

    def supervisor_dies(self) -> float:
        """And is started again when its children have gone, as systemd does it."""
        children = killing.everybody(self.node)[1:]
        at = killing.kill(self.node.child.pid)
        until(lambda: not any(killing.is_alive(pid) for pid in children), "the children to end", 10)
        self._starts_again(at)
        return at

    def all_die(self) -> float:
        at = killing.kill(*killing.everybody(self.node))
        self._starts_again(at)
        return at

    def _starts_again(self, at: float) -> None:
        self.total_deaths.append(at)
        self.node.child.process.wait(5)
        assert self.node.complaints() == []
        self.node.start()

    # --- what must be true --------------------------------------------------------------------------------------------

    def is_calm(self) -> None:
        """Whoever called has a final answer, and nobody rings any more."""
        self.crowd.come_and_go(0)
        begun = time.monotonic()
        waiting = [call for call in self.crowd.unfinished(FINAL_SECONDS) if not self._is_unsure(call.number)]
        print(f"calls that came and went are over after {time.monotonic() - begun:.1f} s")
        assert not waiting, "\n".join([f"{len(waiting)} calls go on", *(call.story() for call in waiting[:3])])

    def calls_are_there(self) -> None:
        """Each that stays can be held and resumed, has its call path, and is talking."""
        lost = [call for call in self.calls if not call.is_talking]
        assert not lost, f"{len(lost)} calls were lost\n{lost[0].story()}"
        wrong = self.crowd.hold_and_resume(self.calls)
        assert not wrong, "\n".join([f"{len(wrong)} are wrong", *wrong[:5], first_story(self.calls, wrong)])
        self._paths_are_held()
        assert self.node.status()["calls"] == len(self.calls)

    def _paths_are_held(self) -> None:
        """One for each call, in its direction, since it began: in the API and in what `sbc paths` prints."""
        (path,) = self.node.ask("paths")["paths"]
        inbound = sum(call.plan.caller == "carrier" for call in self.calls)
        assert (path["used"], path["limit"]) == (len(self.calls), len(self.calls) + self._room)
        assert (path["inbound"], path["outbound"]) == (inbound, len(self.calls) - inbound)
        began = sorted(call.placed_at for call in self.calls)
        since = sorted(datetime.fromisoformat(holder["since"]).timestamp() for holder in path["holders"])
        assert all(abs(a - b) < 1 for a, b in zip(began, since, strict=True))
        printed = self.node.says("paths").splitlines()
        assert f" {path['used']}/{path['limit']} " in printed[1]
        assert sum("bound" in line for line in printed) == len(self.calls)

    def is_full_at_its_limit(self) -> None:
        """As many more calls as there is room for, and not one besides."""
        more = []
        for _ in range(self._room + 3):
            more.append(self.crowd.place(Plan("pbx", talks=60.0)))
            time.sleep(0.02)
        until(lambda: all(call.final_at for call in more), "an answer to each call", 20)
        taken = [call for call in more if call.status == 200]
        assert len(taken) == self._room
        assert self.node.paths() == {"carrier-a": len(self.calls) + self._room}
        self.crowd.hang_up(taken)

    def ends_well(self) -> None:
        """Each is hung up from one of its ends; nothing stays, and the records are those of the calls."""
        crowd, node = self.crowd, self.node
        crowd.sound.hush(*crowd.sound.ears)
        wrong = crowd.hang_up(self.calls)
        assert not wrong, "\n".join([f"{len(wrong)} did not end", *wrong[:5], first_story(self.calls, wrong)])
        node.has_no_call_within(10)
        self.records_are_right()
        wrong = [what for what in crowd.wrong() if not self._is_unsure(what.partition(":")[0])]
        assert not wrong, "\n".join([f"{len(wrong)} complaints", *wrong[:10], first_story(crowd.calls, wrong)])
        assert "\nsbc_call_paths_leaked 0\n" in node.metrics()
        assert node.complaints() == []

    def records_are_right(self) -> None:
        sure = [call for call in self.crowd.calls if not self._is_unsure(call.number)]
        shed = sum(call.is_shed for call in self.crowd.calls)
        late = len(self.crowd.calls) - len(sure)
        print(f"{len(self.crowd.calls)} calls, {late} of them too late before a death, {shed} refused as too many")
        end = time.monotonic() + 10
        while (wrong := wrong_records(sure, self.node.cdrs())) and time.monotonic() < end:
            time.sleep(0.5)
        assert not wrong, "\n".join([f"{len(wrong)} records are wrong", *wrong[:10], first_story(sure, wrong)])

    def was_back_within(self, seconds: float) -> None:
        """After each death, by its answer to the first OPTIONS that was sent later; and nobody was deaf for longer.

        Then calls that came meanwhile were let in, too.
        """
        away = max(self.outages, default=0.0)
        self.is_within(away, seconds, "SIP was away for seconds")
        self.is_within(self.longest_silence(), seconds, "sound was away for seconds")
        shed = sum(call.is_shed for call in self.crowd.calls)
        self.is_within(shed, MOST_SHED * len(self.crowd.calls), "calls were refused")

    def is_within(self, measured: float, bound: float, what: str) -> None:
        """A bound that takes a quiet machine: on a busy one it is said, and not judged, that it was passed. What must
        be true of calls, sound and records is judged on any.
        """
        if measured <= bound:
            return
        others = self._others.share()
        if others > MOST_OF_OTHERS:
            print(f"not judged: {what}: {measured:.2f}, and others had {others:.0%} of the machine")
            return
        pytest.fail(f"{what}: {measured:.2f}, and {bound:.2f} at most; others had {others:.0%} of the machine")

    def prints(self, what: str) -> None:
        outages = sorted(self.outages) or [0.0]
        print(
            f"{what}: {len(self.calls)} calls stayed, {len(self.crowd.calls) - len(self.calls)} came and went, "
            f"{len(self.outages)} kills; away {outages[len(outages) // 2]:.2f} s in the middle, "
            f"{outages[-1]:.2f} s at most\nsound: {self.crowd.sound.summary()}, "
            f"longest silence {self.longest_silence():.2f} s"
        )

    def longest_silence(self) -> float:
        """Seconds from a death to the last packet that was lost by it."""
        lost = sorted(at for at, _ in self.crowd.sound.lost())
        found = 0.0
        for at in lost:
            before = [death for death in self.deaths if death <= at + 0.05]
            found = max(found, at - before[-1] if before else float("inf"))
        return found

    def _is_unsure(self, number: str) -> bool:
        """Something of this call was said so shortly before all died that no disk need have it, and no memory has."""
        if "state.memory_unnamed" not in self.node.child.log:
            return False
        call = self.crowd.call_of(number)
        return call is not None and any(
            death - UNSURE_SECONDS <= at <= death
            for death in self.total_deaths for line in call.lines.values() for at, _ in line.heard
        )  # fmt: skip


def first_story(calls: Sequence[Call], wrong: Sequence[str] = ()) -> str:
    """The ladder of the first call of which something is wrong."""
    numbers = {what.partition(":")[0].split(" ")[0] for what in wrong}
    found = [call for call in calls if call.number in numbers or call.wrong()]
    return found[0].story() if found else ""


def seed() -> int:
    """Of this run; printed by who uses it."""
    return int(os.environ.get("SBC_TEST_SEED") or random.SystemRandom().randrange(1_000_000))
