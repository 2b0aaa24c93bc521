"""The policy that the demo runs: `quickstart` as it is shipped, but for ports that somebody else has.

Copies the files into a temporary folder, says which ports it changed, and opens the sockets of the two phones.
"""

import json
import re
import socket
from contextlib import ExitStack
from pathlib import Path

import trio
from msgspec import Struct

from sbc.core.address import Address
from sbc.core.errors import OperatorError
from sbc.policy.engine import Policy
from sbc.policy.load import load_policy

_TRIES = 50


class DemoPolicy(Struct, frozen=True, eq=False):
    """`inside` and `outside` are where the SBC listens for the PBX and for the carrier."""

    folder: Path
    data_dir: Path
    admin: str
    inside: Address
    outside: Address
    pbx_sip: trio.socket.SocketType
    pbx_rtp: trio.socket.SocketType
    carrier_sip: trio.socket.SocketType
    carrier_rtp: trio.socket.SocketType
    replaced: tuple[str, ...]


def write_policy(example: Path, folder: Path, stack: ExitStack) -> DemoPolicy:
    """`stack` closes the sockets."""
    policy = load_policy([example])
    inside, pbx = _ends(policy, "pbx")
    outside, carrier = _ends(policy, "trunk")
    ports = {address: _free_port(address) for address in (inside, outside, pbx, carrier)}
    copies = folder / "policy"
    copies.mkdir()
    for path in sorted(example.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for address, port in ports.items():
            text = re.sub(rf"\b{re.escape(str(address))}\b", f"{address.host}:{port}", text)
        (copies / path.name).write_text(text, encoding="utf-8")
    data_dir, admin = folder / "data", f"unix:{folder / 'admin'}"
    ours = {"sbc": {"data_dir": str(data_dir), "admin": admin}}
    (copies / "zz-demo.yaml").write_text(json.dumps(ours) + "\n", encoding="utf-8")  # which is YAML too
    return DemoPolicy(
        copies,
        data_dir,
        admin,
        Address(inside.host, ports[inside]),
        Address(outside.host, ports[outside]),
        _udp_socket(Address(pbx.host, ports[pbx]), stack),
        _udp_socket(Address(pbx.host, 0), stack),
        _udp_socket(Address(carrier.host, ports[carrier]), stack),
        _udp_socket(Address(carrier.host, 0), stack),
        tuple(
            f"{address} is taken, so it is port {port} instead"
            for address, port in ports.items()
            if port != address.port
        ),
    )


def _ends(policy: Policy, kind: str) -> tuple[Address, Address]:
    """Our listener for the first peer of this kind, and that peer's own address."""
    peer = next(peer for peer in policy.peers.values() if peer.kind == kind)
    listener = policy.interfaces[peer.interface].listeners[0]
    server = peer.servers[0]
    return listener.address, Address(server.host, server.port or server.transport.default_port)


def _free_port(address: Address) -> int:
    """The port itself, or one that is free for UDP and TCP both."""
    port = address.port
    for _ in range(_TRIES):
        if _is_free(address.host, port, socket.SOCK_DGRAM) and _is_free(address.host, port, socket.SOCK_STREAM):
            return port
        port = _any_port(address.host)
    raise OperatorError(f"no free port on {address.host}")


def _is_free(host: str, port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # As listeners do: what lingers from connections of an earlier run is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise OperatorError(f"{host}:{port}: {error.strerror}") from error
        except OSError as error:
            if _any_port(host):
                return False
            raise OperatorError(f"{host}: {error.strerror}") from error
    return True


def _any_port(host: str) -> int:
    """One that the system says is free; OperatorError where the address itself is missing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            raise OperatorError(f"{host}: {error.strerror}; the demo needs the addresses of 127/8") from error
        port: int = probe.getsockname()[1]
        return port


def _udp_socket(address: Address, stack: ExitStack) -> trio.socket.SocketType:
    plain = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    try:
        plain.bind((address.host, address.port))
    except OSError as error:
        raise OperatorError(f"{address}: {error.strerror}") from error
    return trio.socket.from_stdlib_socket(plain)
