"""What a call costs the signalling process of a real `sbc run`, over real UDP sockets: CPU per complete call.

A child process is the SBC; this one is the PBX and the carrier, with messages from templates. Only the CPU time of its
signalling process counts (utime and stime of /proc). Beside it: what receiving and sending as many datagrams costs
without doing anything.
"""

import contextlib
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from sbc.cli.bench_engine import SDP, bench_invite
from sbc.cli.bench_messages import headers_of, request_after, response_to
from sbc.core.errors import OperatorError

INSIDE: Final = ("127.77.0.10", 5060)
OUTSIDE: Final = ("127.77.0.20", 5060)
PBX: Final = ("127.77.0.30", 5060)
CARRIER: Final = ("127.77.0.40", 5060)
POLICY: Final = f"""
sbc: {{name: bench, admin: "off"}}
interfaces:
  inside: {{sip: ["udp:{INSIDE[0]}:5060"], media: {INSIDE[0]}}}
  outside: {{sip: ["udp:{OUTSIDE[0]}:5060"], media: {OUTSIDE[0]}}}
media: {{ports: 20000-23999}}
pbxs:
  office: {{interface: inside, address: "sip:{PBX[0]}:5060", dids: ["+14155550100-+14155550199"]}}
trunks:
  carrier: {{interface: outside, servers: ["sip:{CARRIER[0]}:5060"]}}
routes:
  - {{name: outbound, from: office, to: ["+1."], via: [carrier]}}
"""
HOLD_SECONDS: Final = 0.2


class CallCost(Struct, frozen=True):
    """CPU milliseconds per complete call, of the whole signalling process and of bare sockets."""

    calls: int
    failed: int
    rate: float
    sbc_ms: float
    bare_ms: float


def call_cost(calls: int = 480, rate: float = 60.0) -> CallCost:
    with bench_sbc() as pid:
        return _measure(pid, calls, rate)


@contextlib.contextmanager
def bench_sbc() -> Iterator[int]:
    """A running SBC with `POLICY`; the process id of its signalling."""
    with tempfile.TemporaryDirectory(prefix="sbc-bench-") as folder:
        policy = Path(folder) / "bench.yaml"
        policy.write_text(POLICY, encoding="utf-8")
        log = Path(folder) / "log"
        environment = os.environ | {"STATE_DIRECTORY": str(Path(folder) / "data")}
        with log.open("wb") as stderr:
            child = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-m", "sbc", "run", str(policy)], stderr=stderr, env=environment
            )
        try:
            _await_ready(child, log)
            yield signalling_of(child.pid)
        finally:
            child.terminate()
            child.wait(20)


def _await_ready(child: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(200):
        if b"sbc: ready " in log.read_bytes():
            return
        if child.poll() is not None:
            break
        time.sleep(0.05)
    raise OperatorError(f"the bench's SBC did not start: {log.read_text('utf-8', 'replace').strip()}")


def _measure(pid: int, calls: int, rate: float) -> CallCost:
    peers = _Peers()
    try:
        peers.run(40, rate)  # warm
        time.sleep(0.5)
        idle = _idle_share(pid, 1.5)
        before, begun = cpu_seconds(pid), time.monotonic()
        done = peers.run(calls, rate)
        spent, took = cpu_seconds(pid) - before, time.monotonic() - begun
    finally:
        peers.close()
    return CallCost(calls, calls - done, rate, (spent - idle * took) / max(done, 1) * 1e3, _bare() * 1e3)


def signalling_of(supervisor: int) -> int:
    """The process id of a ready `sbc run`'s signalling, by the name that it gives itself."""
    for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text("ascii").split():
        if Path(f"/proc/{pid}/comm").read_text("utf-8", "replace") == "sbc-signalling\n":
            return int(pid)
    raise OperatorError(f"the bench's SBC, process {supervisor}, has no signalling process")


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU that a process, all its threads, has used; resolution 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _idle_share(pid: int, seconds: float) -> float:
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


class _Peers:
    """A PBX that calls and a carrier that answers."""

    def __init__(self) -> None:
        self._pbx = _bound(PBX)
        self._carrier = _bound(CARRIER)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pbx, selectors.EVENT_READ, self._at_pbx)
        self._selector.register(self._carrier, selectors.EVENT_READ, self._at_carrier)
        self._sequence = 0
        self._byes: list[tuple[float, bytes]] = []
        self._done = 0

    def run(self, calls: int, rate: float) -> int:
        """Place `calls` at `rate` per second, hang each up after a moment; how many ended well."""
        self._done = 0
        begun = time.monotonic()
        placed = 0
        end = begun + calls / rate + 5
        while self._done < calls and (now := time.monotonic()) < end:
            while placed < calls and now >= begun + placed / rate:
                placed += 1
                self._sequence += 1
                invite = bench_invite(self._sequence).replace(b"127.0.0.30", PBX[0].encode())
                self._pbx.sendto(invite.replace(b"127.0.0.10", INSIDE[0].encode()), INSIDE)
            while self._byes and self._byes[0][0] <= now:
                self._pbx.sendto(self._byes.pop(0)[1], INSIDE)
            for key, _ in self._selector.select(0.002):
                key.data()
        return self._done

    def close(self) -> None:
        self._selector.close()
        self._pbx.close()
        self._carrier.close()

    def _at_pbx(self) -> None:
        data = self._pbx.recv(65535)
        if not data.startswith(b"SIP/2.0 200"):
            return
        headers = headers_of(data)
        if headers[b"CSeq"].endswith(b"BYE"):
            self._done += 1
            return
        self._pbx.sendto(request_after(headers, b"ACK", b"1", PBX), INSIDE)
        self._byes.append((time.monotonic() + HOLD_SECONDS, request_after(headers, b"BYE", b"2", PBX)))

    def _at_carrier(self) -> None:
        data = self._carrier.recv(65535)
        headers = headers_of(data)
        if data.startswith(b"INVITE"):
            for status in (b"100", b"180"):
                self._carrier.sendto(response_to(headers, status, b"", CARRIER), OUTSIDE)
            self._carrier.sendto(response_to(headers, b"200", SDP, CARRIER), OUTSIDE)
        elif data.startswith(b"BYE"):
            self._carrier.sendto(response_to(headers, b"200", b"", CARRIER), OUTSIDE)


def _bare(rounds: int = 2000) -> float:
    """CPU seconds to receive 7 datagrams and send 7, of a message's size, one by one: what no SBC can go below."""
    one, other = _bound((PBX[0], 0)), _bound((CARRIER[0], 0))
    one.connect(other.getsockname())
    other.connect(one.getsockname())
    data = bench_invite()
    try:
        begun = time.process_time()
        for _ in range(rounds):
            for _ in range(7):
                one.send(data)
                other.recv(65535)
        return (time.process_time() - begun) / rounds
    finally:
        one.close()
        other.close()


def _bound(address: tuple[str, int]) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise OperatorError(f"the bench needs udp:{address[0]}:{address[1]}: {error.strerror}") from None
    return bound
