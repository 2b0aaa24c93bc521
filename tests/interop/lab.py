"""The whole program between network namespaces, with either engine: what tests of media need to know about it.

The BPF file system is this SBC's own: mounted in the mount namespace that `ip netns exec` gives it, and gone with it.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from sbc.media.worker import slots
from sbc.media.worker.kernel.bpf import open_map

from .children import until
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX, Namespaces
from .node import Node
from .talking import TalkingCalls

Engine = Literal["userland", "kernel"]
ENGINES: tuple[Engine, ...] = ("userland", "kernel")
NODE = "interop"  # its name in the policy


class Lab:
    """`with lab.calls(10) as calls: calls.talk(5)`."""

    def __init__(self, namespaces: Namespaces, start: Callable[..., Node], folder: Path) -> None:
        self.namespaces = namespaces
        self._start = start
        self._bpffs = folder / "bpf"
        self._bpffs.mkdir()
        self.node: Node
        self.engine: Engine

    def start(
        self,
        engine: Engine | Literal["auto"],
        *,
        ports: str = "20000-20199",
        media: Mapping[str, str] = {},
        has_bpffs: bool = True,
        without: str = "",
        env: Mapping[str, str] = {},
        **options: Any,
    ) -> Node:
        """`without`: a command that takes permissions from what it runs."""
        mounts = ("sh", "-c", f'mount -t bpf bpf {self._bpffs} && exec "$@"', "sh") if has_bpffs else ()
        keys = {"ports": ports, "engine": engine} | dict(media)
        self.node = self._start(**{"inside": INSIDE, "outside": OUTSIDE, "pbx": PBX, "carrier": CARRIER} | options,
            prefix=(*self.namespaces.enter("sbc"), *mounts, *without.split()),
            media="{" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}",
            env={"SBC_BPFFS": str(self._bpffs)} | dict(env),
        )  # fmt: skip
        if engine != "auto":
            self.has_engine(engine)
        return self.node

    def calls(self, count: int) -> TalkingCalls:
        return TalkingCalls(self.node, count, inside=self.namespaces.inside)

    def warm_up(self) -> None:
        """One short call: ports are opened when the first call needs them."""
        with self.calls(1):
            if self.engine == "kernel":
                until(lambda: self.node.status()["media"][0]["devices"], "devices", 10, lambda: self.node.child.log)

    # --- processes ------------------------------------------------------------------------------------------------

    def has_engine(self, engine: Engine) -> None:
        def is_so() -> bool:
            return {worker["engine"] for worker in self.node.status()["media"]} == {engine}

        until(is_so, f"the {engine} engine", 5, lambda: (self.node.status()["media"], self.node.child.log))
        self.engine = engine

    def worker(self) -> int:
        """The media worker's process id, when there is one."""
        until(lambda: self._worker() is not None, "a media worker", 5, lambda: self.node.child.log)
        pid = self._worker()
        assert pid is not None
        return pid

    def signalling(self) -> int:
        pid: int = self.node.status()["pids"]["signalling"]
        return pid

    def pids(self) -> dict[str, int]:
        return {"supervisor": self.node.child.pid, "signalling": self.signalling(), "worker": self.worker()}

    def _worker(self) -> int | None:
        pid: int | None = self.node.status()["media"][0]["pid"]
        return pid

    # --- what it counts -------------------------------------------------------------------------------------------

    def metric(self, name: str) -> float:
        """The sum of its samples."""
        return sum(
            float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", self.node.metrics(), re.MULTILINE)
        )

    def media_of_calls(self) -> list[dict[str, Any]]:
        """What the records say came from each side, one stream each: `[{"ingress": {...}, "egress": {...}}]`."""
        read = [json.loads(cdr["media"]) for cdr in self.node.cdrs()]
        return [{side: media[side][0] for side in ("ingress", "egress")} for media in read]

    def flows(self) -> int:
        """Entries in the kernel engine's table."""
        with contextlib.closing(open_map(self._pins() / "flows")[0]) as flows:
            return len(flows.entries())

    def counters(self) -> list[tuple[int, int]]:
        """Of each way that is counted, with the kernel engine: packets relayed on, and so many by the kernel."""
        return counters_in(self._pins())

    def _pins(self) -> Path:
        (pins,) = (Path(f"/proc/{self.worker()}/root") / self._bpffs.relative_to("/") / "sbc").glob(f"{NODE}-*")
        return pins


def counters_in(pins: Path) -> list[tuple[int, int]]:
    """As `Lab.counters`, of the kernel engine that has pinned its maps there."""
    return [(_number(slot, slots.PACKETS), _number(slot, slots.KERNEL_PACKETS)) for slot in _slots(pins)]


def _slots(pins: Path) -> Iterator[bytes]:
    with contextlib.closing(open_map(pins / "slots")[0]) as array, array.memory() as memory:
        for offset in range(0, len(memory), slots.SLOT_OCTETS):
            slot = memory[offset : offset + slots.SLOT_OCTETS]
            if _number(slot, slots.OWNER):
                yield slot


def _number(slot: bytes, offset: int) -> int:
    return int.from_bytes(slot[offset : offset + 8], "little")


def descriptors(pids: Mapping[str, int]) -> dict[str, int]:
    """How many each process has open. A request to the admin API leaves one in signalling for some seconds."""
    return {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in pids.items()}
