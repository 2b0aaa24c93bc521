"""Fifty thousand forged sources at the door, and a call a second all the while: unharmed, and no memory is lost."""

import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Self

import pytest

from .children import until
from .namespaces import CARRIER, INSIDE, OUTSIDE, PBX
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SECONDS = 120 if os.environ.get("SBC_TEST_FULL") else 15
SOURCES = 50_000
PER_SECOND = 4_000
MEMORY_KB = 64 * 1024
ANYBODY = """
pbxs:
  phones:
    interface: INTERFACE
    registers: true
    accept: any
    auth: {username: phones, password: "s3cret-that-nobody-guesses"}
    dids: ["+14155550200-+14155550210"]
"""
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")


class Flood:
    """From 198.18.0.0/15, as if they were there: whole IP packets."""

    def __init__(self, raw: socket.socket, target: str) -> None:
        self._raw, self._target = raw, target
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)
        self._raw.close()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._is_over.is_set():
            for _ in range(PER_SECOND // 50):
                self._raw.sendto(self._packet(self.sent % SOURCES), (self._target, 0))
                self.sent += 1
            ahead = self.sent / PER_SECOND - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)

    def _packet(self, n: int) -> bytes:
        source = f"198.{18 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
        sip = (
            f"INVITE sip:+14155559999@{self._target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {source}:5060;branch=z9hG4bK{self.sent};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:phones@x>;tag={n}\r\nTo: <sip:+14155559999@x>\r\n"
            f"Call-ID: {self.sent}@{source}\r\nCSeq: 1 INVITE\r\nContact: <sip:phones@{source}>\r\n"
            "User-Agent: Polycom-VVX/5.9\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        udp = _UDP.pack(5060, 5060, 8 + len(sip), 0) + sip
        head = _IP.pack(
            0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(self._target)
        )
        return head + udp


@pytest.mark.parametrize("door", ["peers alone", "anybody"])
def test_a_flood_from_forged_sources_harms_no_call_and_leaves_no_memory(lab, started, tmp_path, door):
    names = lab.namespaces
    lab.start("userland", more=ANYBODY.replace("INTERFACE", "outside") if door == "anybody" else "")
    names.change("sbc", "route", "add", "default", "via", CARRIER)
    for conf in ("all", "outside"):
        names._run(*names.enter("sbc"), "sh", "-c", f"echo 0 > /proc/sys/net/ipv4/conf/{conf}/rp_filter")
    started(Sipp("carrier", "uas", tmp_path, local=CARRIER, calls=10_000, prefix=names.enter("carrier")))
    _probe(lab, started, tmp_path, "before", 3)
    began = _memory(lab)
    with names.inside("carrier"):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with Flood(raw, OUTSIDE) as flood:
        _probe(lab, started, tmp_path, "probe", SECONDS)
        until(lambda: flood.sent >= SOURCES, "each of the sources to have been heard", 30, lambda: flood.sent)
    grown = _memory(lab) - began
    dropped = {reason: lab.metric(f'sbc_dropped_total{{reason="{reason}"}}')
               for reason in ("unknown_source", "stranger_over_rate", "strangers_over_rate")}  # fmt: skip
    lines = len(lab.node.child.log.splitlines())
    print(f"\n{door}: {flood.sent} messages of {SOURCES} sources in {SECONDS} s, {SECONDS} calls unharmed; "
          f"{grown} KiB more memory, {lines} log lines, dropped {dropped}")  # fmt: skip
    assert flood.sent >= max(SOURCES, SECONDS * PER_SECOND / 4)
    assert sum(dropped.values()) > 0
    assert grown < MEMORY_KB
    assert lines < 300 + 6 * SECONDS
    until(lambda: lab.node.status()["calls"] == 0, "the end of all calls", 10, lab.node.status)


def _probe(lab, started, folder, name, calls):
    """One call a second, each of which must be answered and end well."""
    before = len(lab.node.cdrs())
    place = {"local": PBX, "remote": f"{INSIDE}:5060", "port": 5070 + len(name), "prefix": lab.namespaces.enter("pbx")}
    sipp = started(Sipp(name, "uac", folder, calls=calls, rate=1, **place))
    sipp.child.wait(calls + 30)

    def well() -> int:
        return len([cdr for cdr in lab.node.cdrs()[before:] if cdr["cause"] == "normal"])

    until(lambda: well() == calls, "calls that end well", 10, lambda: lab.node.cdrs()[before:])


def _memory(lab) -> int:
    """KiB that signalling has in memory."""
    status = Path(f"/proc/{lab.signalling()}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
