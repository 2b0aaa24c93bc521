"""The helper that attaches the program: `python -m sbc.media.worker.kernel.attach attach PROGRAM HANDLE ADDRESS…`, or
`… detach HANDLE`. One JSON line on standard output, a `Report`. Started by `engine`, never by hand.

A process of its own, because importing pyroute2 takes longer than a worker that starts again may be silent. It gives
every device that holds one of the addresses a clsact qdisc and our filter: BPF with direct action on ingress, at a
priority of ours and with a handle for each node, so that no filter of anybody else is touched; the program's answer for
what it does not relay lets the next filter decide. Attached again, the filter is replaced in place.
"""

import contextlib
import errno
import ipaddress
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from pyroute2 import IPRoute  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

from sbc.media.worker.kernel import bpf
from sbc.media.worker.kernel.report import Report

PRIORITY: Final = 1468

_INGRESS: Final = 0xFFFFFFF2  # TC_H_CLSACT, TC_H_MIN_INGRESS
_EGRESS: Final = 0xFFFFFFF3
_ALL_PROTOCOLS: Final = 0x0003  # ETH_P_ALL
_ETHERNET: Final = 1  # ARPHRD_ETHER
_IFF_LOOPBACK: Final = 0x8
_NICE: Final = 10  # packets of the worker come first
_FORWARDING: Final = {4: "net/ipv4/conf/lo/forwarding", 6: "net/ipv6/conf/lo/forwarding"}

Link = Any  # a netlink message of pyroute2


def main() -> None:
    os.nice(_NICE)
    try:
        match sys.argv[1:]:
            case ["attach", program, handle, *locals_] if handle.isdecimal():
                report = attach(program, int(handle), locals_)
            case ["detach", handle] if handle.isdecimal():
                report = detach(int(handle))
            case _:
                sys.exit("usage: python -m sbc.media.worker.kernel.attach (started by the media worker, never by hand)")
    except (OSError, NetlinkError) as error:
        report = Report(reason=f"the program could not be attached: {_text(error)}")
    # A worker that was killed meanwhile reads no report; the next one starts a helper of its own.
    with contextlib.suppress(BrokenPipeError), os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0) as out:
        out.write(msgspec.json.encode(report) + b"\n")


def attach(program: str, handle: int, locals_: Sequence[str]) -> Report:
    """Raises OSError or NetlinkError where nothing could be done at all."""
    fd = bpf.get(program)
    try:
        with IPRoute() as route:
            links = {link["index"]: link for link in route.get_links()}
            holders = _holders(route)
            wanted = links.keys() & {index for local in locals_ for index in holders.get(_canonical(local), ())}
            unfit = {index: _unfit(links[index]) or _attached(route, index, fd, handle) for index in sorted(wanted)}
    finally:
        os.close(fd)
    places = {local: _place(holders.get(_canonical(local), []), unfit) for local in locals_}
    families = {ipaddress.ip_address(local).version for local, why in places.items() if not why}
    for family in families:
        if why := _not_forwarding(_FORWARDING[family]):
            places |= {local: why for local in places if ipaddress.ip_address(local).version == family}
    return Report(
        devices=tuple(links[index].get_attr("IFLA_IFNAME") for index, why in unfit.items() if not why),
        places=places,
        reason="; ".join(f"{local}: {why}" for local, why in places.items() if why),
    )


def detach(handle: int) -> Report:
    """Takes our filter from every device, and the qdisc where nothing else uses it."""
    with IPRoute() as route:
        for qdisc in list(route.get_qdiscs()):
            if qdisc.get_attr("TCA_KIND") in {"clsact", "ingress"}:
                _take_away(route, qdisc["index"], handle, is_clsact=qdisc.get_attr("TCA_KIND") == "clsact")
    return Report()


def _holders(route: IPRoute) -> dict[str, list[int]]:
    """The devices that hold each address."""
    found: dict[str, list[int]] = {}
    for message in route.get_addr():
        text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if text:
            found.setdefault(_canonical(text), []).append(message["index"])
    return found


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _unfit(link: Link) -> str:
    name = link.get_attr("IFLA_IFNAME")
    if link["flags"] & _IFF_LOOPBACK:
        return f"{name} is a loopback device"
    if link["ifi_type"] != _ETHERNET:
        return f"{name} has no Ethernet header"
    return ""


def _attached(route: IPRoute, index: int, fd: int, handle: int) -> str:
    """Empty, or why not."""
    try:
        with _already(errno.EEXIST):
            route.tc("add", "clsact", index)
        route.tc(
            "replace-filter", "bpf", index, handle,
            parent=_INGRESS, prio=PRIORITY, protocol=_ALL_PROTOCOLS,
            fd=fd, name="sbc-relay", direct_action=True,
        )  # fmt: skip
    except (OSError, NetlinkError) as error:
        return f"the program could not be attached: {_text(error)}"
    return ""


def _place(indexes: Iterable[int], unfit: dict[int, str]) -> str:
    """Of an address on these devices: empty where one or more of them has the program."""
    reasons = [unfit[index] for index in indexes if index in unfit]
    if not reasons:
        return "no device holds this address"
    return "" if "" in reasons else reasons[0]


def _not_forwarding(name: str) -> str:
    """The program asks for the route as from the loopback device, which must allow forwarding for that, alone."""
    path = Path("/proc/sys") / name
    try:
        if path.read_text() != "0\n":
            return ""
        path.write_text("1\n")
    except OSError as error:
        return f"{name.replace('/', '.')} is off and cannot be set: {error.strerror}"
    return ""


def _take_away(route: IPRoute, index: int, handle: int, *, is_clsact: bool) -> None:
    with _already(errno.ENOENT, errno.EINVAL, errno.ENODEV):
        route.tc("del-filter", "bpf", index, handle, parent=_INGRESS, prio=PRIORITY, protocol=_ALL_PROTOCOLS)
        if is_clsact and not any(list(route.get_filters(index=index, parent=hook)) for hook in (_INGRESS, _EGRESS)):
            route.tc("del", "clsact", index)


@contextlib.contextmanager
def _already(*codes: int) -> Any:
    try:
        yield
    except NetlinkError as error:
        if error.code not in codes:
            raise


def _text(error: OSError | NetlinkError) -> str:
    code = error.code if isinstance(error, NetlinkError) else error.errno
    return os.strerror(code) if code else str(error)


if __name__ == "__main__":
    main()
