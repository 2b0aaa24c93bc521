"""Nine kinds of hostile clients over TCP and nine over TLS, of a peer and of strangers, against `sbc run`.

Meanwhile a good PBX's calls work over the connection that it has; afterwards connections, descriptors and memory are
back. The numbers are those of `core/limits.py`.
"""

import contextlib
import json
import threading
import time
from pathlib import Path

import pytest

from sbc.testing.certificates import Authority
from tests.loopback import hostile

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

POLICY = """
sbc: {{name: test, data_dir: {data_dir}, admin: "{admin}", stop_after: 1s}}
interfaces:
  inside:
    sip: ["udp:{host}.10:5060", "tcp:{host}.10:5060", "tls:{host}.10:5061"]
    media: {host}.10
    tls: {{certificate: "{certificate}", key: "{key}"}}
  outside: {{sip: ["udp:{host}.20:5060"], media: {host}.20}}
media: {{ports: {ports}}}
pbxs:
  office: {{interface: inside, address: "sip:{host}.30:5060", dids: ["+14155550100"]}}
  rogue: {{interface: inside, address: "sip:{host}.66:5060", dids: ["+14155550140"]}}
trunks:
  carrier: {{interface: outside, servers: ["sip:{host}.40:5060"]}}
routes:
  - {{name: out, from: [office, rogue], to: ["+X."], via: [carrier]}}
"""
ROGUE, STRANGER = 66, 99
LISTENS = "0A"  # in /proc/net/tcp
PATIENCE = 25.0
SLOWEST_CALL = 2.0  # seconds, on a machine that has other things to do
MORE_MEMORY = 48 * 1_024  # KiB


@pytest.fixture
def sbc(start, tmp_path, host):
    certificate, key = Authority().issue("sbc.example").write(tmp_path, "ours")
    return start(template=POLICY, certificate=certificate, key=key).ready()


@pytest.fixture
def opened():
    """Sockets of the hostile; all are closed at last."""
    sockets = []
    yield sockets
    for one in sockets:
        one.close()


class Signalling:
    """The process that does the work: what it holds."""

    def __init__(self, sbc):
        pid = sbc.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        (self.pid,) = [one for one in children if "signalling" in Path(f"/proc/{one}/cmdline").read_text()]

    @property
    def connections(self):
        """Descriptors that are connections. Media ports, of which there are more with every call, do not count."""
        mine = {name_of(one) for one in Path(f"/proc/{self.pid}/fd").iterdir()}
        streams = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(f"socket:[{fields[9]}]" in mine for fields in streams if fields[3] != LISTENS)

    @property
    def memory(self):
        return int(Path(f"/proc/{self.pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def keeper(sockets):
    def keep(one):
        sockets.append(one)
        return one

    return keep


def name_of(descriptor):
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""  # closed meanwhile


@pytest.mark.parametrize(
    ("port", "kind"),
    [*((5060, kind) for kind in hostile.OVER_TCP), *((5061, kind) for kind in hostile.OVER_TLS)],
    ids=lambda one: one.__name__ if callable(one) else {5060: "tcp", 5061: "tls"}[one],
)
def test_good_calls_go_on_and_nothing_is_left(sbc, opened, carrier, host, port, kind):
    good = [hostile.Office(host, carrier), hostile.Office(host, carrier, context=hostile.trusting())]
    with contextlib.ExitStack() as stack:
        for office in good:
            stack.callback(office.close)
            office.calls()
        process = Signalling(sbc)
        connections, memory = len(good), process.memory
        until(lambda: process.connections == connections, lambda: f"{process.connections} connections at the start")
        doors = [hostile.Door(host, last, port, keeper(opened)) for last in (ROGUE, STRANGER)]
        enemies = [threading.Thread(target=kind, args=(door, host)) for door in doors]
        for enemy in enemies:
            enemy.start()
        slowest, calls = 0.0, 0
        while any(enemy.is_alive() for enemy in enemies) or calls < 3:
            slowest = max([slowest, *(office.calls() for office in good)])
            calls += 1
        for enemy in enemies:
            enemy.join()
        assert slowest < SLOWEST_CALL
        strangers = [one for one in opened if is_from(one, f"{host}.{STRANGER}")]
        assert all(is_closed(one) for one in strangers)
        for one in opened:
            one.close()
        until(lambda: process.connections == connections, lambda: f"{process.connections} connections")
        assert process.memory < memory + MORE_MEMORY
        for office in good:
            assert office.calls() < SLOWEST_CALL
    assert not [line for line in sbc.text.splitlines() if line.startswith("{") and json.loads(line)["level"] == "error"]


def is_from(one, host):
    try:
        return one.getsockname()[0] == host
    except OSError:
        return False


def is_closed(one):
    """From the other side, without a byte having come."""
    one.settimeout(PATIENCE)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def until(condition, story):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, story()
        time.sleep(0.05)
