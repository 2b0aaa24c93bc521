"""SIPp as a PBX and as a carrier: runs our scenarios, reads what it counted."""

import csv
import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from .children import Child, program, until

SCENARIOS = Path(__file__).parent / "scenarios"
TRACE = ("-trace_msg",) if os.environ.get("SBC_TEST_TRACE") else ()


class Sipp:
    """One SIPp. `scenario` is a file of `scenarios/` without its ending, or the path of another one."""

    def __init__(
        self,
        name: str,
        scenario: str | Path,
        folder: Path,
        *,
        local: str,
        remote: str = "",
        calls: int = 1,
        rate: int = 100,
        port: int = 5060,
        number: str = "4155559999",
        caller: str = "+14155550100",
        prefix: Sequence[str] = (),
        more: Sequence[str] = (),
        keys: Mapping[str, str] = {},
        trace: bool = False,
        talk_ms: int = 200,
    ) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.statistics_path = self.folder / "statistics.csv"
        self.errors_path = self.folder / "errors.log"
        path = scenario if isinstance(scenario, Path) else SCENARIOS / f"{scenario}.xml"
        argv: list[str | Path] = [
            program("sipp"), "-sf", path, "-i", local, "-p", str(port), "-m", str(calls),
            "-r", str(rate), "-l", str(max(calls, 100)), "-s", number, "-key", "caller", caller, "-nostdin",
            "-trace_stat", "-stf", self.statistics_path, "-fd", "1", "-trace_err", "-error_file", self.errors_path,
            "-d", str(talk_ms), "-max_socket", "1000", "-recv_timeout", "60000",
            "-watchdog_interval", "0",  # it would call a busy machine an error, and end after 120 of them
            *(("-trace_msg",) if trace else TRACE), *more,
            *(part for key, value in keys.items() for part in ("-key", key, value)),
        ]  # fmt: skip
        self.child = Child(name, [*argv, remote] if remote else argv, self.folder, prefix=prefix)
        self._socket = "{3:02X}{2:02X}{1:02X}{0:02X}:{4:04X}".format(*map(int, local.split(".")), port)
        until(lambda: self._is_bound() or not self.child.is_running, f"{name} to listen")

    def stop(self) -> None:
        self.child.stop()

    def _is_bound(self) -> bool:
        """Before that, what is sent to it is refused."""
        try:
            return self._socket in Path(f"/proc/{self.child.pid}/net/udp").read_text()
        except OSError:
            return False

    @property
    def statistics(self) -> dict[str, str]:
        """The last line of SIPp's statistics."""
        with self.statistics_path.open(newline="") as file:
            return list(csv.DictReader(file, delimiter=";"))[-1]

    @property
    def successful(self) -> int:
        return int(self.statistics["SuccessfulCall(C)"])

    @property
    def failed(self) -> int:
        return int(self.statistics["FailedCall(C)"])

    @property
    def retransmissions(self) -> int:
        return int(self.statistics["Retransmissions(C)"])

    @property
    def errors(self) -> str:
        """Unexpected messages and the like: empty when all was well."""
        return self.errors_path.read_text(errors="replace") if self.errors_path.exists() else ""

    def messages(self) -> "list[Message]":
        """All that it sent and received, in order; needs `trace`."""
        logs = list(self.folder.glob("*_messages.log"))
        parts = _HEAD.split(logs[0].read_text(errors="replace"))[1:] if logs else []
        return [
            Message(datetime.fromisoformat(at).timestamp(), way == "sent", text)
            for at, way, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
        ]

    def statuses(self, method: str) -> list[int]:
        """Of the responses that it got to its requests of this method."""
        return [m.status for m in self.messages() if not m.is_sent and m.status and m.of_method == method]

    def received(self) -> "list[Received]":
        """The requests that it got; needs `-trace_msg`."""
        (log,) = self.folder.glob("*_messages.log")
        pattern = re.compile(
            r"UDP message received \[\d+\] bytes :\s+([A-Z]+) sip:.*?^Via: SIP/2.0/UDP ([\d.]+)",
            re.MULTILINE | re.DOTALL,
        )
        return [Received(*found) for found in pattern.findall(log.read_text(errors="replace"))]


_HEAD = re.compile(r"^-{40,} (\S+ \S+)\n(?:UDP|TCP) message (sent|received) [^\n]*\n\n", re.MULTILINE)


class Message(NamedTuple):
    at: float  # wall clock, to the microsecond
    is_sent: bool
    text: str

    @property
    def method(self) -> str:
        """Of a request; "" for a response."""
        first = self.text.partition(" ")[0]
        return "" if first == "SIP/2.0" else first

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return 0 if self.method else int(self.text.split(" ", 2)[1])

    @property
    def of_method(self) -> str:
        return self.header("CSeq").split()[1]

    @property
    def called(self) -> str:
        """The user part of a request's URI."""
        return self.text.partition("sip:")[2].partition("@")[0]

    @property
    def call_id(self) -> str:
        return self.header("Call-ID")

    def header(self, name: str) -> str:
        """The first of this name; "" if there is none."""
        found = re.search(rf"^{name}: *(.*?)\s*$", self.text, re.MULTILINE)
        return found[1] if found else ""


class Received(NamedTuple):
    method: str
    top_via: str
