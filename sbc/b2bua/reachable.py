"""How the peers of an interface reach us: the listener that we speak from, and the names that stand in Via and Contact.

Pure; read once at the start. Where an address is advertised (static NAT), that is shown instead of the one bound.
"""

from collections.abc import Iterable

from sbc.core.address import Address, bracketed, canonical_ip
from sbc.policy.engine import Policy
from sbc.policy.model import Interface, Listener
from sbc.sip.locate import Local, LocalKey


def locals_of(interfaces: Iterable[Interface]) -> dict[LocalKey, Local]:
    """The listener that requests leave by, for each interface, transport and family: the first that is named."""
    locals_: dict[LocalKey, Local] = {}
    for interface in interfaces:
        for listener in interface.listeners:
            key = (interface.name, listener.transport, listener.address.is_ipv6)
            locals_.setdefault(key, Local(listener.address, _sent_by(interface, listener)))
    return locals_


def own_places(policy: Policy) -> frozenset[Address]:
    """Where we listen, for SIP and for the operator, and as what that is shown: no peer may have us send there."""
    places: set[Address] = set()
    for interface in policy.interfaces.values():
        for listener in interface.listeners:
            places.add(listener.address)
            shown = _sent_by(interface, listener)
            host, _, port = shown.rpartition(":")
            ip = canonical_ip(host)
            if ip is not None and port.isdigit():
                places.add(Address(ip, int(port)))
    host, _, port = policy.admin.rpartition(":")
    ip = canonical_ip(host)
    if ip is not None and port.isdigit():
        places.add(Address(ip, int(port)))
    return frozenset(places)


def _sent_by(interface: Interface, listener: Listener) -> str:
    shown = interface.sip_advertise
    if shown is None:
        return str(listener.address)
    if canonical_ip(shown) is not None:
        return f"{bracketed(shown)}:{listener.address.port}"
    return shown if _has_port(shown) else f"{shown}:{listener.address.port}"


def _has_port(shown: str) -> bool:
    return shown.rpartition(":")[2].isdigit() and (shown.count(":") == 1 or "]:" in shown)


def host_of(interface: Interface) -> str:
    """The host by which an interface's peers know us: for From, where no domain is configured."""
    shown = interface.sip_advertise
    if shown is None:
        return bracketed(interface.listeners[0].address.host)
    if canonical_ip(shown) is not None:
        return bracketed(shown)
    return shown.rpartition(":")[0] if _has_port(shown) else shown
