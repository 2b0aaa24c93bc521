"""`sbc run` as a child, with a policy of one PBX and one carrier; its admin API and its database seen from outside."""

import http.client
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.left_memory import forget_memory

from .children import Child, until

POLICY = """
sbc:
  name: interop
  country: US
  data_dir: {folder}/data
  admin: unix:{admin}
interfaces:
{interfaces}
media: {media}
pbxs:
  office:
    interface: inside
    {pbx_where}
    dids: ["+14155550100-+14155550199"]
    {pbx_more}
trunks:
  carrier-a:
    interface: outside
    servers: ["sip:{carrier}:5060{trunk_where}"]
    numbers: e164
    {trunk_more}
routes:
  - {{name: outbound, from: office, to: [national], via: [carrier-a]}}
  - {{name: inbound, from: carrier-a, to: dids}}
"""
INTERFACES = """\
  inside: {{sip: [udp:{inside}:5060, tcp:{inside}:5060], media: {inside}}}
  outside: {{sip: [udp:{outside}:5060, tcp:{outside}:5060], media: {outside}}}"""
IDLE = {"calls": 0, "transactions": 0, "dialogs": 0, "ports": 0, "tasks": 0}


class Node:
    """A running SBC between the addresses `pbx` - `inside` and `outside` - `carrier`."""

    def __init__(
        self,
        folder: Path,
        *,
        inside: str,
        outside: str,
        pbx: str,
        carrier: str,
        prefix: Sequence[str] = (),
        pbx_where: str = "",
        pbx_more: str = "",
        trunk_where: str = "",
        trunk_more: str = "",
        more: str = "",
        interfaces: str = INTERFACES,
        media: str = "{ports: 20000-29999}",
        env: dict[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.inside, self.outside, self.pbx, self.carrier = inside, outside, pbx, carrier
        self.folder = folder / "sbc"
        (self.folder / "policy").mkdir(parents=True, exist_ok=True)
        # The name of a Unix socket is short, and pytest's folders need not be.
        self._short = Path(tempfile.mkdtemp(prefix="sbc-"))
        self.admin = self._short / "admin"
        text = POLICY.format(
            folder=self.folder, admin=self.admin, inside=inside, outside=outside, pbx=pbx, carrier=carrier,
            pbx_where=pbx_where or f"address: sip:{pbx}:5060", pbx_more=pbx_more, trunk_where=trunk_where,
            trunk_more=trunk_more,
            media=media, interfaces=interfaces.format(inside=inside, outside=outside),
        )  # fmt: skip
        (self.folder / "policy" / "all.yaml").write_text(text)
        if more:
            self.write(more)
        self._prefix, self._env, self._options, self._starts = prefix, env, options, 0
        self.start()

    def start(self) -> None:
        """With the same folders, also after a crash; a log of its own."""
        self._starts += 1
        name = "sbc" if self._starts == 1 else f"sbc-{self._starts}"
        argv = [sys.executable, "-m", "sbc", "run", "policy", *self._options]
        self.child = Child(name, argv, self.folder, prefix=self._prefix, env=self._env)
        self.child.until("sbc: ready ")

    def crash(self) -> None:
        """As by `kill -9`; its media worker finds out by itself."""
        self.child.process.kill()
        self.child.process.wait(5)

    def write(self, more: str) -> None:
        """More policy, read before the rest, so that its routes are looked at first."""
        (self.folder / "policy" / "0-more.yaml").write_text(more)

    def change(self, old: str, new: str) -> None:
        """In its policy; it counts with the next reload."""
        path = self.folder / "policy" / "all.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def stop(self) -> None:
        self.child.stop()
        shutil.rmtree(self._short, ignore_errors=True)
        forget_memory(self.folder)

    # --- the admin API --------------------------------------------------------------------------------------------

    def ask(self, path: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self._get(f"/api/v1/{path}"))
        return body

    def metrics(self) -> str:
        return self._get("/metrics").decode()

    def orders(self, path: str) -> tuple[int, dict[str, Any]]:
        """POST: the status, and what is said."""
        status, body = self._request("POST", f"/api/v1/{path}")
        return status, json.loads(body)

    def _get(self, path: str) -> bytes:
        status, body = self._request("GET", path)
        assert status == 200, body
        return body

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = _UnixConnection(str(self.admin))
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def says(self, *command: str) -> str:
        """What `sbc COMMAND` prints when it is told to this SBC; it must succeed."""
        argv = [sys.executable, "-m", "sbc", *command, "--admin", f"unix:{self.admin}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        return self.ask("status")

    def alive(self) -> dict[str, int]:
        """What of a call is alive."""
        status = self.status()
        return {name: status[name] for name in IDLE}

    def is_idle_within(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        until(lambda: self.alive() == IDLE, "nothing of a call to be alive", seconds, self.alive)
        print(f"nothing alive {seconds - (end - time.monotonic()):.1f} s after the calls (allowed: {seconds} s)")

    def paths(self) -> dict[str, int]:
        """Call paths in use, by trunk."""
        return {path["trunk"]: path["used"] for path in self.ask("paths")["paths"]}

    def limits(self) -> dict[str, int | None]:
        return {path["trunk"]: path["limit"] for path in self.ask("paths")["paths"]}

    def has_no_call_within(self, seconds: float) -> None:
        """No call, no port, no call path; transactions may still wait for a peer that is dead."""
        until(
            lambda: not (self.alive()["calls"] or self.alive()["ports"] or any(self.paths().values())),
            "calls, ports and paths to be given back", seconds, lambda: (self.alive(), self.paths()),
        )  # fmt: skip

    def worker_pid(self) -> int:
        """The media worker: the only child of the SBC that is one."""
        found = [pid for pid in _children(self.child.pid) if b"sbc.media.worker" in _command_line(pid)]
        assert len(found) == 1, found
        return found[0]

    # --- the database ---------------------------------------------------------------------------------------------

    def cdrs(self) -> list[dict[str, Any]]:
        return self._rows("SELECT * FROM cdr ORDER BY started_at")

    def attempts(self) -> list[dict[str, Any]]:
        return self._rows("SELECT * FROM attempt ORDER BY ref, n")

    def _rows(self, query: str) -> list[dict[str, Any]]:
        connection = sqlite3.connect(f"file:{self.folder}/data/cdr.db?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(query)]
        finally:
            connection.close()

    def cdr_of_only_call(self) -> dict[str, Any]:
        until(self.cdrs, "a call record")
        (cdr,) = self.cdrs()
        return cdr

    # --- what it said ---------------------------------------------------------------------------------------------

    def complaints(self) -> list[str]:
        """Lines of its log that tell of a bug, each with what follows it where that is a traceback."""
        signs = ("Traceback", "engine.failure", "call.crashed")
        lines = self.child.log.splitlines()
        found = [n for n, line in enumerate(lines) if any(sign in line for sign in signs)]
        return ["\n".join(lines[n : n + 20]) if "Traceback" in lines[n] else lines[n] for n in found]

    def story(self) -> str:
        """For a failed test: its log, how calls ended, the ladder of one that did not end well."""
        parts = [self.child.log[-4000:]]
        if self.child.is_running:
            cdrs = self.cdrs()
            parts.append(str(Counter((cdr["cause"], cdr["sip_status"], cdr["ended_by"]) for cdr in cdrs)))
            bad = [cdr for cdr in cdrs if cdr["cause"] != "normal"] or cdrs
            parts += [f"{cdr}\n{self.ladder(cdr['ref'])}" for cdr in bad[:1]]
        return "\n".join(parts)

    def ladder(self, ref: str) -> str:
        return str(self.ask(f"calls/{ref}/ladder")["ladder"])


def ms_between(earlier: str, later: str) -> float:
    from datetime import datetime

    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds() * 1000


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(entry.name))
    return found


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
