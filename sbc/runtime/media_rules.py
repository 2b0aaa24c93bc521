"""What of a policy the media workers have to know. Pure. Used by `app`, for `media_pool`."""

import ipaddress

from msgspec.structs import replace

from sbc.policy.engine import Policy
from sbc.policy.model import MediaSettings


def settings_of(policy: Policy) -> MediaSettings:
    """Between loopback addresses the kernel engine never relays, so who left the choice to us is not told what it
    lacks there: no BPF file system, no permission.
    """
    media = policy.media
    hosts = [ipaddress.ip_address(host) for interface in policy.interfaces.values() for host in interface.media]
    is_local = media.engine == "auto" and all(host.is_loopback for host in hosts)
    return replace(media, engine="userland") if is_local else media


def marks_of(policy: Policy) -> dict[str, int]:
    """DSCP by media address."""
    return {local: interface.dscp_media for interface in policy.interfaces.values() for local in interface.media}


def own_hosts(policy: Policy) -> frozenset[str]:
    """From which no peer sends."""
    interfaces = policy.interfaces.values()
    sip = {listener.address.host for interface in interfaces for listener in interface.listeners}
    return frozenset(sip | {host for interface in interfaces for host in interface.media})
