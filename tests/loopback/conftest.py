"""`sbc run` as a process, for the tests of this folder: real sockets, a real media worker."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"^sbc: ready name=(\S+) admin=(\S+)$", re.MULTILINE)
PATIENCE = 20.0

POLICY = """
sbc: {{name: test, data_dir: {data_dir}, admin: "{admin}", stop_after: 1s{sbc}}}
interfaces:
  inside: {{sip: ["udp:{host}.10:5060", "tcp:{host}.10:5060"], media: {host}.10}}
  outside: {{sip: ["udp:{host}.20:5060"], media: {host}.20}}
media: {{ports: {ports}}}
pbxs:
  office: {{interface: inside, address: "sip:{host}.30:5060", dids: ["+14155550100"]}}
trunks:
  carrier: {{interface: outside, servers: ["sip:{host}.40:5060"]{trunk}}}
routes:
  - {{name: out, from: office, to: ["+X."], via: [carrier]}}
"""


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Process:
    """One `sbc run`, its stderr in a file. `sbc` and `trunk`: more of that section, from the comma on.

    `template`: another policy than the one of this folder.
    """

    def __init__(self, folder, host, descriptors=None, template=POLICY, **changes):
        self.template = template
        self.host = host
        self.log = folder / "stderr"
        self.admin = folder / "admin.sock"
        self.settings = {
            "data_dir": folder / "data",
            "admin": f"unix:{self.admin}",
            "host": host,
            "ports": "20000-20999",
            "sbc": "",
            "trunk": "",
        }
        self.policy = folder / "policy.yaml"
        self.write_policy(**changes)
        limit = ""
        if descriptors is not None:
            limit = f"from resource import *; setrlimit(RLIMIT_NOFILE, ({descriptors}, {descriptors})); "
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    limit + "from sbc.cli import main; main()",
                    "run",
                    str(self.policy),
                    "--log-format",
                    "json",
                ],
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            )

    def write_policy(self, **changes):
        self.settings |= changes
        self.policy.write_text(self.template.format(**self.settings))

    @property
    def text(self):
        return self.log.read_text()

    def events(self, name):
        lines = (line for line in self.text.splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.text
            assert self.process.poll() is None, self.text
            time.sleep(0.02)

    def ready(self):
        self.until(lambda: READY.search(self.text))
        return self

    def ends(self):
        return self.process.wait(PATIENCE)

    def kill(self):
        """All of it: who starts the next one wants the addresses."""
        pid = self.process.pid
        family = Path(f"/proc/{pid}/task/{pid}/children")
        children = family.read_text().split() if self.process.poll() is None else []
        self.process.kill()
        self.process.wait()
        deadline = time.monotonic() + PATIENCE
        while any(is_running(child) for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def get(self, path):
        return self.ask("GET", path)

    def ask(self, method, path):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.admin))
        try:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def address(self, last):
        return (f"{self.host}.{last}", 5060)


@pytest.fixture
def host():
    """A corner of 127/8 of our own, for tests that run side by side."""
    return f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250 + 1}"


@pytest.fixture
def start(tmp_path, host):
    started = []

    def start(name="one", **changes):
        folder = tmp_path / name
        folder.mkdir()
        process = Process(folder, **({"host": host} | changes))
        started.append(process)
        return process

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def policy_text(host):
    """A policy like theirs, for tests that start the program in their own way."""

    def text(**settings):
        return POLICY.format(**({"host": host, "ports": "20000-20999", "sbc": "", "trunk": ""} | settings))

    return text


@pytest.fixture
def peer(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((f"{host}.30", 5060))
        sock.settimeout(PATIENCE)
        yield sock


@pytest.fixture
def carrier(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((f"{host}.40", 5060))
        sock.settimeout(PATIENCE)
        yield sock
