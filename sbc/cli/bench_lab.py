"""A laboratory of network namespaces: a PBX, a carrier, and between them one SBC for each thing that is measured.

The namespaces have no names. They live as long as the descriptors and processes that we hold, so nothing of them is
left however the bench ends. Every SBC has a link of its own to both sides, all of them alike: veth as the kernel makes
it (checksums left to the device, no GRO), fixed neighbours, so that nobody asks for one meanwhile, no filter of source
routes, no IPv6, no conntrack. Where a flood is measured, what reaches the carrier is counted by its device and dropped
at once (nftables, ingress), so that nobody pays for receiving it. Used by `sbc bench media`.
"""

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from sbc.core.errors import OperatorError

_CLONE_NEWNET: Final = 0x40000000
_TOOLS: Final = ("ip", "nft", "nsenter", "setpriv", "taskset")
_libc: Final = ctypes.CDLL(None, use_errno=True)


class UnavailableError(OperatorError):
    """Something that a measurement needs is not here; the text says what, for people."""


def reason(error: UnavailableError | OSError) -> str:
    """In words, for the line of what could not be measured."""
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


class Namespace:
    """A network namespace that lasts until `close` and while processes run in it. Raises UnavailableError."""

    def __init__(self) -> None:
        with _returning():
            if _libc.unshare(_CLONE_NEWNET):
                raise UnavailableError(f"no network namespaces ({os.strerror(ctypes.get_errno())}; it takes root)")
            self._fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.batch(["link set lo up"])

    @property
    def fd(self) -> int:
        return self._fd

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets made within belong to this namespace, for ever; so do files of /proc/thread-self/net."""
        with _returning():
            _enter(self._fd)
            yield

    def command(self, words: Sequence[str]) -> list[str]:
        """`words` to be run inside by subprocess, with `fd` among `pass_fds`; it dies with us."""
        return ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net=/proc/self/fd/{self._fd}", *words]

    def batch(self, lines: Sequence[str], fds: Sequence[int] = ()) -> None:
        """Lines of `ip`, all at once. Raises UnavailableError with what it says."""
        self.tell(["ip", "-batch", "-"], "\n".join(lines), fds)

    def tell(self, words: Sequence[str], text: str, fds: Sequence[int] = ()) -> None:
        """Run `words` inside with `text` on its standard input. Raises UnavailableError with what it complains of."""
        done = subprocess.run(  # noqa: S603 - our own words
            self.command(words), input=text, text=True, capture_output=True, pass_fds=[self._fd, *fds], check=False
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["no word"]
            raise UnavailableError(f"{words[0]}: {said[0]}")

    def sysctl(self, name: str, value: str) -> None:
        with self.entered():
            Path("/proc/sys", name).write_text(value, "ascii")

    def close(self) -> None:
        os.close(self._fd)


class Middle:
    """The namespace of one SBC, number `n`, and its addresses; `device` is towards the PBX."""

    device: Final = "inside"

    def __init__(self, n: int, pbx: Namespace, carrier: Namespace, *, is_sink: bool) -> None:
        self.pbx, self.inside = f"10.77.{n}.2", f"10.77.{n}.1"
        self.carrier, self.outside = f"10.78.{n}.2", f"10.78.{n}.1"
        self._counters = f"c{n}"
        self.namespace = Namespace()
        _link(pbx, f"p{n}", self.pbx, self.namespace, "inside", self.inside)
        _link(carrier, f"c{n}", self.carrier, self.namespace, "outside", self.outside)
        if is_sink:
            _drop(carrier, f"c{n}")
        pbx.batch([f"route add 10.78.{n}.0/24 via {self.inside}"])
        carrier.batch([f"route add 10.77.{n}.0/24 via {self.outside}"])
        with carrier.entered():
            self._device = os.open("/proc/thread-self/net/dev", os.O_RDONLY | os.O_CLOEXEC)

    def forward(self) -> None:
        self.namespace.sysctl("net/ipv4/ip_forward", "1")

    def drop(self) -> None:
        """What comes from the PBX goes no further than our device."""
        _drop(self.namespace, self.device)

    def arrived(self) -> int:
        """Packets that have come to the carrier's device since it was made."""
        for line in os.pread(self._device, 65_536, 0).decode("ascii").splitlines():
            name, _, numbers = line.partition(":")
            if name.strip() == self._counters:
                return int(numbers.split()[1])
        raise UnavailableError(f"{self._counters} is gone")

    def close(self) -> None:
        os.close(self._device)
        self.namespace.close()


@contextlib.contextmanager
def laboratory(middles: int, *, is_sink: bool) -> Iterator[tuple[Namespace, Namespace, list[Middle]]]:
    """The PBX, the carrier and so many SBCs. `is_sink`: the carrier drops what comes. Raises UnavailableError."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise UnavailableError(f"no {', '.join(missing)} (iproute2 and util-linux)")
    with contextlib.ExitStack() as stack:
        pbx = Namespace()
        stack.callback(pbx.close)
        carrier = Namespace()
        stack.callback(carrier.close)
        made: list[Middle] = []
        for n in range(middles):
            made.append(Middle(n, pbx, carrier, is_sink=is_sink))
            stack.callback(made[-1].close)
        yield pbx, carrier, made


def _link(near: Namespace, near_name: str, near_host: str, far: Namespace, far_name: str, far_host: str) -> None:
    """A veth pair, both ends up, each with its address and knowing the other's."""
    macs = [f"02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:00" for a, b, c, d in _octets(near_host, far_host)]
    for space in (near, far):
        for scope in ("all", "default"):
            space.sysctl(f"net/ipv4/conf/{scope}/rp_filter", "0")
            with contextlib.suppress(OSError):  # a kernel without IPv6
                space.sysctl(f"net/ipv6/conf/{scope}/disable_ipv6", "1")
    peer = f"peer name {far_name} netns /proc/self/fd/{far.fd} address {macs[1]}"
    near.batch([f"link add {near_name} address {macs[0]} type veth {peer}"], fds=[far.fd])
    for space, name, host, other, mac in (
        (near, near_name, near_host, far_host, macs[1]),
        (far, far_name, far_host, near_host, macs[0]),
    ):
        space.batch([
            f"address add {host}/24 dev {name}",
            f"link set {name} up",
            f"neigh replace {other} lladdr {mac} dev {name} nud permanent",
        ])  # fmt: skip


def _octets(*hosts: str) -> Iterator[tuple[int, ...]]:
    return (tuple(socket.inet_aton(host)) for host in hosts)


def _drop(space: Namespace, device: str) -> None:
    chain = f'chain sink {{ type filter hook ingress device "{device}" priority 0; policy drop;\n }}'
    space.tell(["nft", "-f", "-"], f"table netdev {device} {{ {chain}\n }}")


def disconnect(one: socket.socket) -> None:
    """A connect to AF_UNSPEC, which `socket` cannot say: the port stays, the addresses go."""
    _libc.connect(one.fileno(), bytes(16), 16)


@contextlib.contextmanager
def _returning() -> Iterator[None]:
    """Back to where we were, at the end."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        _enter(home)
        os.close(home)


def _enter(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise UnavailableError(f"setns: {os.strerror(ctypes.get_errno())}")
