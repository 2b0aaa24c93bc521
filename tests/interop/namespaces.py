"""Three network namespaces in a row: the PBX's network, the SBC, the carrier's network. Each test makes its own.

A fourth, somewhere in the Internet, reaches the SBC through the carrier's network, for who wants an attacker.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from .children import missing, program

PBX, INSIDE = "10.77.0.30", "10.77.0.10"
CARRIER, OUTSIDE = "198.51.100.40", "198.51.100.20"
OTHER_CARRIER = "198.51.100.50"
BACKUP, BACKUP_OUTSIDE = "192.0.2.40", "192.0.2.20"
ATTACKER, INTERNET = "203.0.113.66", "203.0.113.1"
PBX6, INSIDE6 = "fd77::30", "fd77::10"
CARRIER6, OUTSIDE6 = "2001:db8:1::40", "2001:db8:1::20"
LAN, ROUTER = "192.168.77.30", "192.168.77.1"
NAT_FORGETS_SECONDS = 1  # a binding that carries nothing for so long is gone

_PREFIX = "sbctest"
_NEW_NET = 0x40000000  # CLONE_NEWNET

_RULES = """
table inet loss {{
  chain input {{
    type filter hook input priority 0
    udp dport 5060 numgen random mod 100 < {percent} counter drop
    udp dport 5060 counter
  }}
}}
"""
_NAT = """
table ip nat {
  chain out {
    type nat hook postrouting priority 100
    oifname "eth0" ip saddr 192.168.77.0/24 meta l4proto udp masquerade to :30000-39999 random
  }
}
"""


class Namespaces:
    """`enter("sbc")` is the prefix of a command that runs in there."""

    def __init__(self, ip: str) -> None:
        self._ip = ip
        self._stack = ExitStack()
        self._names = {part: f"{_PREFIX}-{os.getpid()}-{part}" for part in ("pbx", "sbc", "carrier")}

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def enter(self, part: str) -> tuple[str, ...]:
        return (self._ip, "netns", "exec", self._names[part])

    @contextlib.contextmanager
    def inside(self, part: str) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are in there, and stay."""
        with Path("/proc/thread-self/ns/net").open() as ours, Path(f"/run/netns/{self._names[part]}").open() as theirs:
            _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def attacked(self) -> None:
        """Make the fourth: `attacker`, at ATTACKER, with a way to both addresses of the SBC, and the SBC one to it."""
        name = self._names["attacker"] = f"{_PREFIX}-{os.getpid()}-attacker"
        self._run(self._ip, "netns", "add", name)
        self._stack.callback(self._run, self._ip, "netns", "del", name)
        self._cable("attacker", ATTACKER, "internet", INTERNET, near_part="carrier")
        self._run(self._ip, "-n", name, "route", "add", "default", "via", INTERNET)
        self._run(self._ip, "-n", self._names["carrier"], "route", "add", f"{INSIDE}/32", "via", OUTSIDE)
        self._run(self._ip, "-n", self._names["sbc"], "route", "add", f"{ATTACKER}/32", "via", CARRIER)
        self._run(*self.enter("carrier"), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def second_way(self) -> None:
        """Make the fourth: `backup`, at BACKUP, a carrier by another cable of the SBC, which is BACKUP_OUTSIDE."""
        name = self._names["backup"] = f"{_PREFIX}-{os.getpid()}-backup"
        self._run(self._ip, "netns", "add", name)
        self._stack.callback(self._run, self._ip, "netns", "del", name)
        self._cable("backup", BACKUP, "backup", BACKUP_OUTSIDE)

    def change(self, part: str, *command: str) -> None:
        """`ip COMMAND` in there."""
        self._run(self._ip, "-n", self._names[part], *command)

    def speak_ipv6(self) -> None:
        """Besides: every end of the two cables has an address of each family."""
        for part, device, address in (
            ("pbx", "eth0", PBX6), ("sbc", "inside", INSIDE6),
            ("sbc", "outside", OUTSIDE6), ("carrier", "eth0", CARRIER6),
        ):  # fmt: skip
            self._run(self._ip, "-n", self._names[part], "address", "add", f"{address}/64", "dev", device, "nodad")

    def behind_nat(self) -> None:
        """Make the fourth: `lan`, at LAN. The PBX's machine is its router, and hides it behind ports of its choice."""
        name = self._names["lan"] = f"{_PREFIX}-{os.getpid()}-lan"
        self._run(self._ip, "netns", "add", name)
        self._stack.callback(self._run, self._ip, "netns", "del", name)
        self._cable("lan", LAN, "lan", ROUTER, near_part="pbx")
        self._run(self._ip, "-n", name, "route", "add", "default", "via", ROUTER)
        self._run(*self.enter("pbx"), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self._run(*self.enter("pbx"), program("nft"), "-f", "-", text=_NAT)
        for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
            self._run(*self.enter("pbx"), "sh", "-c", f"echo {NAT_FORGETS_SECONDS} > /proc/sys/net/netfilter/{name}")

    def add(self, part: str, address: str) -> None:
        """One more machine there: a second address of its end of the cable."""
        self._run(self._ip, "-n", self._names[part], "address", "add", f"{address}/24", "dev", "eth0")

    def lose(self, percent: int) -> None:
        """Of all SIP packets that reach a namespace, so many are lost at random. Nothing else is touched."""
        for part in self._names:
            self._run(*self.enter(part), program("nft"), "-f", "-", text=_RULES.format(percent=percent))

    def swallow(self, host: str) -> None:
        """The way to this address leads into the carrier's network, which drops what it is to pass on."""
        self._run(self._ip, "-n", self._names["sbc"], "route", "add", host, "via", CARRIER)

    def lost(self) -> str:
        """The counters of the rules, as nft prints them."""
        return "".join(self._run(*self.enter(part), program("nft"), "list", "ruleset") for part in self._names)

    def _make(self) -> None:
        self._bury()
        for name in self._names.values():
            refused = subprocess.run([self._ip, "netns", "add", name], capture_output=True, text=True, check=False)
            if refused.returncode:
                missing(f"network namespaces are not allowed here: {refused.stderr.strip()}")
            self._stack.callback(self._run, self._ip, "netns", "del", name)
            self._run(self._ip, "-n", name, "link", "set", "lo", "up")
        self._cable("pbx", PBX, "inside", INSIDE)
        self._cable("carrier", CARRIER, "outside", OUTSIDE)

    def _bury(self) -> None:
        """A run that was killed could not delete its own; nothing else ever would. Others may bury at the same time."""
        for path in Path("/run/netns").glob(f"{_PREFIX}-*-*"):
            maker = path.name.split("-")[1]
            if maker.isdecimal() and not Path("/proc", maker).exists():
                subprocess.run([self._ip, "netns", "del", path.name], capture_output=True, check=False)

    def _cable(self, part: str, far: str, device: str, near: str, near_part: str = "sbc") -> None:
        """A veth pair between `part` and the SBC; the SBC's end is called `device`."""
        there, here = self._names[part], self._names[near_part]
        self._run(self._ip, "-n", here, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", there)
        for name, link, address in ((here, device, near), (there, "eth0", far)):
            self._run(self._ip, "-n", name, "address", "add", f"{address}/24", "dev", link)
            self._run(self._ip, "-n", name, "link", "set", link, "up")

    def _run(self, *argv: str, text: str = "") -> str:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, input=text)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _NEW_NET):
        raise OSError(ctypes.get_errno(), "setns")
