"""A hundred reloads under fifty calls a second, good and bad ones in turn: no call is touched, nothing is left."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .children import until
from .node import Node
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

RELOADS = 100
RATE = 50
CALLS_AT_MOST = 10_000  # they are made as long as the reloads take
PAUSE = 0.12
PLACE = re.compile(r"^\S*storm\.yaml:\d+:\d+: ")

# The trunk that registers, on an interface that no reload touches.
BASE = """
interfaces:
  third: {{sip: [udp:{net}.21:5060], media: {net}.21}}
trunks:
  registered:
    interface: third
    servers: ["sip:{net}.60:5060"]
    auth: {{username: acme, password: {{env: PASSWORD}}}}
    register: {{aor: "sip:+14155550100@{net}.60", expires: 600s}}
"""
_SIP = "udp:{net}.20:5060, tcp:{net}.20:5060"
# What is added in a file of its own, and what of the first file is replaced. After a third of the reloads the listeners
# stay as they are: transactions over removed ones last for half a minute.
GOOD = (
    ("", (_SIP, "udp:{net}.20:5070, udp:{net}.20:5060, tcp:{net}.20:5060")),
    ("", ("media: {net}.20", "media: {net}.22, dscp: {{sip: cs3, media: ef}}")),
    (
        """
interfaces: {{fourth: {{sip: [udp:{net}.23:5060, tcp:{net}.23:5060], media: {net}.23}}}}
trunks: {{extra: {{interface: fourth, servers: [sip:{net}.61:5060]}}}}
""",
        None,
    ),
    ("", (_SIP, "udp:{net}.20:5080")),
)
LATE = (
    ("", ("numbers: e164", "numbers: e164\n    call_paths: 900")),
    ("trunks: {{extra: {{interface: third, servers: [sip:{net}.61:5060], call_paths: 7}}}}", None),
    ('routes: [{{name: more, from: office, to: ["+44X."], via: [registered]}}]', None),
    ("", ("numbers: e164", "numbers: e164\n    cps: 500")),
)
BAD = (
    "trunks: {{wrong: {{interface: nowhere, servers: [sip:{net}.61:5060]}}}}",
    "trunks: {{wrong: {{interface: third, servers: sip:{net}.61:5060, call_path: 7}}}}",
    "interfaces: {{fourth: {{sip: [udp:{net}.24:5060], media: {net}.24}}}}",  # taken by somebody else
    "routes: [{{name: wrong, from: nobody, to: [national], via: [registered]}}]",
    "trunks: {{wrong: [}}",
    """
interfaces:
  fourth: {{sip: [udp:{net}.23:5060], media: {net}.23}}
  fifth: {{sip: [udp:192.0.2.77:5060], media: 192.0.2.77}}  # no address of ours
""",
)


class Registrar:
    """Takes every REGISTER for ten minutes, and counts them."""

    def __init__(self, host: str) -> None:
        self.asked = 0
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((host, 5060))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._sock.close()

    def _run(self) -> None:
        while True:
            try:
                data, source = self._sock.recvfrom(65_535)
            except OSError:
                return
            text = data.decode()
            if text.startswith("REGISTER "):
                self.asked += 1
                kept = re.findall(r"^(?:Via|From|Call-ID|CSeq): .*$", text, re.MULTILINE)
                to = re.findall(r"^To: .*$", text, re.MULTILINE)[0].strip() + ";tag=r"
                contact = re.findall(r"^Contact: .*$", text, re.MULTILINE)[0].strip() + ";expires=600"
                lines = ["SIP/2.0 200 OK", *(line.strip() for line in kept), to, contact, "Content-Length: 0"]
                self._sock.sendto("\r\n".join([*lines, "", ""]).encode(), source)


class Storm:
    def __init__(self, node: Node, net: str) -> None:
        self.node, self.net = node, net
        self._first = (node.folder / "policy" / "all.yaml").read_text()
        self.done = self.refused = self._ordered = 0

    def write(self, more: str = "", change: tuple[str, str] | None = None) -> None:
        text = self._first
        if change is not None:
            old, new = (part.format(net=self.net) for part in change)
            assert old in text
            text = text.replace(old, new)
        (self.node.folder / "policy" / "all.yaml").write_text(text)
        (self.node.folder / "policy" / "storm.yaml").write_text(more.format(net=self.net))

    def good(self, n: int, way: str) -> None:
        kinds = GOOD if n < RELOADS / 3 else LATE
        self.write(*kinds[n // 2 % len(kinds)])
        self.done += 1
        problems = self.reload(way)
        assert problems == [], problems

    def bad(self, n: int, way: str) -> None:
        self.write(BAD[n // 2 % len(BAD)])
        self.refused += 1
        problems = self.reload(way)
        assert problems
        assert all(PLACE.match(problem) for problem in problems), problems

    def reload(self, way: str) -> list[str]:
        """The problems, as they are told by this way."""
        self._ordered += 1
        if way == "signal":
            self.node.child.signal(signal.SIGHUP)
            until(self._is_told, "the reload", 10, lambda: self.node.child.log[-3000:])
            return [text for text, _ in self._outcomes()[-1]]
        if way == "command":
            argv = [sys.executable, "-m", "sbc", "reload", "--admin", f"unix:{self.node.admin}"]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
            assert (done.returncode, bool(done.stderr)) in {(0, False), (1, True)}, done
            return [line.strip() for line in done.stderr.splitlines() if PLACE.match(line.strip())]
        status, body = self.node.orders("reload")
        assert status in {200, 409}
        problems: list[str] = body.get("problems", [])
        return problems

    def _is_told(self) -> bool:
        """The log is written behind what it tells of."""
        outcomes = self._outcomes()
        return len(outcomes) == self._ordered and (not outcomes[-1] or len(outcomes[-1]) == outcomes[-1][0][1])

    def _outcomes(self) -> list[list[tuple[str, int]]]:
        """Of each reload the problems that the log tells; beside the first is how many there are."""
        found: list[list[tuple[str, int]]] = []
        for line in self.node.child.log.splitlines():
            if "reload.done" in line:
                found.append([])
            elif "reload.refused" in line:
                count = re.search(r"problems=(\d+)", line)
                text = re.search(r"text=(?:'([^']*)'|\"([^\"]*)\")", line)
                assert text, line
                if count:
                    found.append([])
                found[-1].append((text[1] or text[2], int(count[1]) if count else 0))
        return found


def sockets_of(pid: int) -> Counter[str]:
    """Kind and local address of every socket of a process, but for media ports, which come and go with calls."""
    inodes = Counter(_inodes(pid))
    found: Counter[str] = Counter()
    for kind in ("udp", "tcp"):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            local, inode = line.split()[1], line.split()[9]
            port = int(local.partition(":")[2], 16)
            if inode in inodes and not 20000 <= port < 30000:
                found[f"{kind}:{local}"] += inodes[inode]
    return found


def media_hosts_of(pid: int) -> set[str]:
    inodes = set(_inodes(pid))
    lines = [line.split() for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]]
    ours = {line[1] for line in lines if line[9] in inodes}
    places = [(bytes.fromhex(local[:8])[::-1], int(local[9:], 16)) for local in ours]
    return {socket.inet_ntoa(host) for host, port in places if 20000 <= port < 30000}


def _inodes(pid: int) -> Iterator[str]:
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(fd.readlink())
            if target.startswith("socket:["):
                yield target[8:-1]


def others_of(pid: int) -> int:
    """Descriptors that are no sockets: pipes, files, epolls."""
    links = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while we look
            links.append(str(fd.readlink()))
    return sum(not link.startswith("socket:") for link in links)


def test_a_hundred_reloads_under_fifty_calls_a_second(node, net, started, tmp_path, stack):
    registrar = started(Registrar(f"{net}.60"))
    taken = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    taken.bind((f"{net}.24", 5060))
    sbc = node(more=BASE.format(net=net), env={"PASSWORD": "secret"})
    storm = Storm(sbc, net)
    until(lambda: registrar.asked == 1, "the registration", 5)
    pids = {"supervisor": sbc.child.pid, "signalling": sbc.status()["pids"]["signalling"]}
    carrier = started(Sipp("carrier", "uas_lossy", tmp_path, local=sbc.carrier, calls=CALLS_AT_MOST))
    first = started(Sipp("first", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=1, rate=1,
                         talk_ms=100))  # fmt: skip
    first.child.wait(20)
    until(lambda: len(sbc.cdrs()) == 1, "the record of the first call", 10)
    time.sleep(1.0)  # what is imported late, or opened for the first record
    before = {name: (sockets_of(pid), others_of(pid)) for name, pid in pids.items()}

    pbx = started(
        Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=CALLS_AT_MOST, rate=RATE,
             talk_ms=1500)
    )  # fmt: skip
    until(lambda: sbc.alive()["calls"] > 20, "calls", 10)
    ways = ("signal", "command", "api")
    begun = time.monotonic()
    for n in range(RELOADS):
        at = time.monotonic()
        (storm.good if n % 2 == 0 else storm.bad)(n, ways[n // 2 % 3])
        time.sleep(max(PAUSE - (time.monotonic() - at), 0.0))
    storm.write()
    assert storm.reload("signal") == []
    took = time.monotonic() - begun
    assert sbc.alive()["calls"] > 20
    pbx.child.signal(signal.SIGUSR1)  # no new calls; it ends with the last one
    pbx.child.wait(60)
    assert (first.failed, pbx.failed) == (0, 0), pbx.errors[:2000]
    assert pbx.successful > RATE * took * 0.9
    calls = pbx.successful + first.successful
    until(lambda: len(sbc.cdrs()) == calls, "the records", 10)
    assert Counter((cdr["cause"], cdr["ended_by"]) for cdr in sbc.cdrs()) == {("normal", "caller"): calls}
    counted = re.findall(r'^sbc_call_attempts_total{.*outcome="normal".*} (\S+)$', sbc.metrics(), re.MULTILINE)
    assert sum(map(float, counted)) == calls
    assert registrar.asked == 1
    assert sbc.child.log.count("reload.done") == storm.done + 1
    assert sbc.complaints() == []

    sbc.has_no_call_within(5)

    def left() -> object:
        media = {host for pid in pids.values() for host in media_hosts_of(pid)}
        known = {f"{net}.{n}" for n in (10, 20, 21)}
        return {name: (sockets_of(pid), others_of(pid)) for name, pid in pids.items()}, media - known

    until(lambda: left() == (before, set()), "all that reloads opened to be closed", 45, lambda: (before, left()))
    assert (carrier.failed, carrier.errors) == (0, "")
    print(f"{RELOADS} reloads in {took:.1f} s, {pbx.retransmissions} retransmissions of {calls} calls")
