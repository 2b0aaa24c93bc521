"""Peers, operators and a log that never read, all at once, against a running `sbc run`: others are served as before."""

import contextlib
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
PROBES = 100
LONG = 2_000  # characters of a branch and a Call-ID, which an answer repeats
WORST = 1.0  # seconds; a loop that waited for one of them would not answer before it gives up, which takes ten
F_SETPIPE_SZ = 1031  # linux/fcntl.h

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

POLICY = """
sbc: {{name: test, data_dir: {folder}/data, admin: "unix:{folder}/admin", stop_after: 1s, log: {{level: debug}}}}
interfaces:
  inside: {{sip: ["udp:{net}.10:5060", "tcp:{net}.10:5060"], media: {net}.10}}
media: {{ports: 20000-20099}}
pbxs:
  office: {{interface: inside, address: "sip:{net}.30:5060", dids: ["+14155550100"]}}
  deaf: {{interface: inside, address: "sip:{net}.31:5060", dids: ["+14155550101"]}}
routes:
  - {{name: none, from: [office, deaf], reject: 404}}
"""


@pytest.fixture
def net():
    return f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250 + 3}"


@pytest.fixture
def started(tmp_path, net):
    """The process, and the pipe that its log goes to, which holds one page and is read to the word "ready" only."""
    (tmp_path / "policy.yaml").write_text(POLICY.format(folder=tmp_path, net=net))
    theirs, ours = os.pipe()
    fcntl.fcntl(theirs, F_SETPIPE_SZ, 4_096)
    command = [sys.executable, "-m", "sbc", "run", str(tmp_path / "policy.yaml"), "--log-format", "json"]
    with os.fdopen(ours, "wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        said = b""
        while b"sbc: ready " not in said:
            part = os.read(theirs, 4_096)
            assert part, said.decode()
            said += part
        yield tmp_path
        process.send_signal(signal.SIGTERM)
        rest = b"".join(iter(lambda: os.read(theirs, 65_536), b""))  # now somebody reads
        assert b"unexpected" not in rest, rest.decode()
        assert b"signalling.restarted" not in rest, rest.decode()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(theirs)


def _asked(net, host, n, transport, method="OPTIONS"):
    return (
        f"{method} sip:1@{net}.10 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {net}.{host}:5060;branch=z9hG4bK{transport}{host}{n}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@{net}.{host}>;tag=a\r\nTo: <sip:{net}.10>\r\n"
        f"Call-ID: {transport}{host}{n}\r\nCSeq: 1 {method}\r\nContact: <sip:{net}.{host}>\r\nContent-Length: 0\r\n\r\n"
    ).encode()


class Deaf:
    """A peer on TCP that asks for ever and reads nothing, as far as the kernel takes its questions."""

    def __init__(self, net, number, stack):
        self._net, self._number = net, number
        self._asked = 0
        self._unsent = b""
        self._sock = stack.enter_context(socket.socket())
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._sock.bind((f"{net}.31", 0))
        self._sock.connect((f"{net}.10", 5060))
        self._sock.setblocking(False)

    def asks(self, times):
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(times):
                if not self._unsent:
                    self._asked += 1
                    name = f"{self._number}x{self._asked}".ljust(LONG, "z")
                    self._unsent = _asked(self._net, 31, name, "TCP")
                self._unsent = self._unsent[self._sock.send(self._unsent) :]


def _admin(folder, path, stack):
    """A client of the API that asks and does not read the answer."""
    sock = stack.enter_context(socket.socket(socket.AF_UNIX))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect(str(folder / "admin"))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 20)
    return sock


def _metrics(folder):
    with socket.socket(socket.AF_UNIX) as reader:
        reader.connect(str(folder / "admin"))
        reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: reader.recv(65_536), b"")).decode()


def _value(shown, name):
    found = re.search(rf"^{re.escape(name)} (\d+)$", shown, re.MULTILINE)
    return 0 if found is None else int(found[1])


def _probed(well, net, n):
    """How long a peer that is well waits for its answer, in seconds."""
    began = time.monotonic()
    well.sendto(_asked(net, 30, n, "UDP"), (f"{net}.10", 5060))
    while select.select([well], [], [], PATIENCE)[0]:
        data = well.recv(65_536)
        if data.startswith(b"SIP/2.0 200") and b"Call-ID: UDP30%d\r\n" % n in data:
            return time.monotonic() - began
    return pytest.fail(f"no answer to probe {n}")


# BOUND: OUTBOX_OCTETS, LOG_LINES
def test_who_never_reads_holds_up_nobody_else(started, net):
    waits = []
    with contextlib.ExitStack() as stack:
        well = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        well.bind((f"{net}.30", 5060))
        deaf = [Deaf(net, number, stack) for number in range(3)]
        for path in ("/api/v1/events", "/metrics", "/api/v1/alarms", "/api/openapi.json"):
            _admin(started, path, stack)
        closed = 0
        while len(waits) < PROBES or (closed < len(deaf) and len(waits) < 20 * PROBES):
            n = len(waits)
            for one in deaf:
                one.asks(20)
            if n < PROBES:  # refused: two lines of the log
                well.sendto(_asked(net, 30, f"call{n}", "UDP", "INVITE"), (f"{net}.10", 5060))
            waits.append(_probed(well, net, n))
            if n % 20 == 19:
                shown = _metrics(started)
                closed = _value(shown, 'sbc_dropped_total{reason="tcp_outbox_full"}')
    waits.sort()
    print(
        f"\n{len(waits)} probes beside those who never read: median {waits[len(waits) // 2] * 1e3:.1f} ms, "
        f"worst {waits[-1] * 1e3:.0f} ms"
    )
    assert closed >= len(deaf), "each is closed in the end"
    assert _value(shown, 'sbc_table_used{table="log_lines"}') > 0, "nobody reads the log"
    assert waits[-1] < WORST
