"""A process that holds a kernel engine in a network namespace, and does what it is told, one JSON line at a time.

Started as a program it is that process; imported it is `KernelProcess`, the test's end of it.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sbc.media import wire
from sbc.media.worker import slots
from sbc.media.worker.engine import Flow
from sbc.media.worker.kernel import bpf
from sbc.media.worker.kernel.engine import KernelEngine, open_kernel
from sbc.media.worker.kernel.pins import KernelError


class KernelProcess:
    """`refused`: why there is no engine."""

    def __init__(self, prefix: Sequence[str], bpffs: Path, **configure: Any) -> None:
        argv = [*prefix, sys.executable, __file__, json.dumps({"node": "n", **configure})]
        env = {**os.environ, "SBC_BPFFS": str(bpffs)}
        self._process = subprocess.Popen(
            argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.refused: str = self._read()

    def put(self, flow: Flow) -> str:
        fields = {name: getattr(flow, name) for name in flow.__struct_fields__}
        return self._ask("put", fields | {"types": flow.types.hex()})

    def remove(self, local: str, port: int) -> None:
        self._ask("remove", [local, port])

    def flows(self) -> set[tuple[str, int]]:
        return {(local, port) for local, port in self._ask("flows")}

    def held(self, local: str, port: int) -> dict[str, Any] | None:
        return self._ask("held", [local, port])

    def beat(self) -> None:
        self._ask("beat")

    def attach(self, *locals_: str) -> tuple[list[str], str]:
        """The devices, and the reason, when the helper has answered."""
        devices, reason = self._ask("attach", locals_)
        return devices, reason

    def attach_all(self, times: Sequence[Sequence[str]]) -> object:
        """Ask for one after the other, and wait for the first answer."""
        return self._ask("attach_all", times)

    def waits(self, seconds: float) -> tuple[list[str], str] | None:
        """Let it read what there is to be read: devices and reason, when they are new."""
        return self._ask("waits", seconds)

    def slot(self, number: int) -> bytes:
        return bytes.fromhex(self._ask("slot", number))

    def poke(self, number: int, field: int, value: bytes) -> None:
        self._ask("poke", [number * slots.SLOT_OCTETS + field, value.hex()])

    def value(self, number: int, field: int, octets: int = 4) -> int:
        """A counter of a slot."""
        return int.from_bytes(self.slot(number)[field : field + octets], "little", signed=field == slots.LOST)

    def run(self, frame: bytes, repeat: int = 1, gso: tuple[int, int] = (0, 0)) -> tuple[int, bytes, int]:
        """BPF_PROG_TEST_RUN: the verdict, the frame as it became, nanoseconds."""
        verdict, after, nanoseconds = self._ask("run", [frame.hex(), repeat, *gso])
        return verdict, bytes.fromhex(after), nanoseconds

    def close(self, *, detach: bool) -> None:
        self._ask("close", detach)
        self.stop()

    def kill(self) -> None:
        self._process.kill()
        self.stop()

    def stop(self) -> None:
        """Harmless when it is gone."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(20)

    def _ask(self, verb: str, argument: object = None) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([verb, argument]) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that holds the kernel engine has ended"
        return json.loads(line)


def _waits(engine: KernelEngine, seconds: float) -> list[object] | None:
    deadline = time.monotonic() + seconds
    while not engine.turn():
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        select.select([engine.fileno()], [], [], left)
    return [engine.devices, engine.reason]


def main() -> None:
    try:
        engine, memory = open_kernel(wire.Configure(**json.loads(sys.argv[1])))
    except KernelError as error:
        print(json.dumps(str(error)), flush=True)
        return
    print('""', flush=True)
    program = bpf.get(engine._pins.program)
    for line in sys.stdin:
        verb, argument = json.loads(line)
        answer: Any = None
        match verb:
            case "put":
                ends = {name: tuple(argument[name]) for name in ("source", "out", "target")}
                answer = engine.put(Flow(**argument | ends | {"types": bytes.fromhex(argument["types"])}))
            case "remove":
                engine.remove(*argument)
            case "flows":
                answer = sorted(engine.flows())
            case "held":
                flow = engine.held(*argument)
                answer = None if flow is None else {"target": flow.target, "slot": flow.slot, "ssrc": flow.ssrc}
            case "beat":
                engine.beat()
            case "attach":
                engine.attach(argument)
                answer = _waits(engine, 20.0)
            case "attach_all":
                for locals_ in argument:
                    engine.attach(locals_)
                answer = _waits(engine, 20.0)
            case "waits":
                answer = _waits(engine, argument)
            case "slot":
                answer = memory[argument * slots.SLOT_OCTETS : (argument + 1) * slots.SLOT_OCTETS].hex()
            case "poke":
                at, data = argument[0], bytes.fromhex(argument[1])
                memory[at : at + len(data)] = data
            case "run":
                ran = bpf.run_program(program, bytes.fromhex(argument[0]), argument[1], (argument[2], argument[3]))
                answer = [ran.verdict, ran.frame.hex(), ran.nanoseconds]
            case "close":
                engine.close(detach=argument)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
