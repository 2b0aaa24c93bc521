"""SIPp as a PBX and as a carrier: runs our scenarios, reads what it counted."""

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .children import Child, program

SCENARIOS = Path(__file__).parent / "scenarios"
TRACE = ("-trace_msg",) if os.environ.get("SBC_TEST_TRACE") else ()


class Sipp:
    """One SIPp. `scenario` is a file of `scenarios/` without its ending."""

    def __init__(
        self,
        name: str,
        scenario: str,
        folder: Path,
        *,
        local: str,
        remote: str = "",
        calls: int = 1,
        rate: int = 1,
        port: int = 5060,
        number: str = "4155559999",
        caller: str = "+14155550100",
        prefix: Sequence[str] = (),
        more: Sequence[str] = (),
    ) -> None:
        self.folder = folder / name
        self.folder.mkdir()
        self.statistics_path = self.folder / "statistics.csv"
        self.errors_path = self.folder / "errors.log"
        argv: list[str | Path] = [
            program("sipp"), "-sf", SCENARIOS / f"{scenario}.xml", "-i", local, "-p", str(port), "-m", str(calls),
            "-r", str(rate), "-l", str(max(calls, 100)), "-s", number, "-key", "caller", caller, "-nostdin",
            "-trace_stat", "-stf", self.statistics_path, "-fd", "1", "-trace_err", "-error_file", self.errors_path,
            "-max_socket", "1000", "-recv_timeout", "60000", *TRACE, *more,
        ]  # fmt: skip
        self.child = Child(name, [*argv, remote] if remote else argv, self.folder, prefix=prefix)

    def stop(self) -> None:
        self.child.stop()

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

    def received(self) -> "list[Received]":
        """The requests that it got; needs `-trace_msg`."""
        (log,) = self.folder.glob("*_messages.log")
        pattern = re.compile(
            r"UDP message received \[\d+\] bytes :\s+([A-Z]+) sip:.*?^Via: SIP/2.0/UDP ([\d.]+)",
            re.MULTILINE | re.DOTALL,
        )
        return [Received(*found) for found in pattern.findall(log.read_text(errors="replace"))]


class Received(NamedTuple):
    method: str
    top_via: str
