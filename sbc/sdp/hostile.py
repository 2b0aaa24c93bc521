"""Remote addresses that a description must not make us send to: ours, everybody's, nobody's.

"Never loop": two of our own ports relaying to each other would never stop. Multicast and broadcast would make us an
amplifier. Loopback is allowed where we are there ourselves, because whole installations run on 127/8; of whoever comes
by a network, it would be this machine's own services that he points us at (`is_out_of_reach`).
What is hostile, `core.hostile` says, for signalling too.
Used by the call on every description that it receives, before it takes a port for it.
"""

from collections.abc import Collection

from sbc.core.hostile import fault_of
from sbc.sdp.model import SdpError, Session
from sbc.sdp.remotes import MediaRemote, media_remotes


def check_hostile(session: Session, own: Collection[str], ports: tuple[int, int]) -> None:
    """Raises SdpError 488. `own`: our media addresses, canonical; `ports`: first and last of our media ports."""
    for remote in media_remotes(session):
        check_hostile_remote(remote, own, ports)


def check_hostile_remote(remote: MediaRemote, own: Collection[str], ports: tuple[int, int]) -> None:
    """The same for one m= line whose remote is already known."""
    if remote.refused or remote.held:
        return
    host = remote.host
    if host is None:
        # Deviation: RFC 3264 allows a name; resolving it would let a peer point media at any host it has a name for.
        raise SdpError("media address is a name", 488)
    fault = fault_of(host, host)  # of loopback and the like `is_out_of_reach` knows more
    if fault is not None:
        raise SdpError(f"media address is {fault}", 488)
    first, last = ports
    if host in own and (first <= remote.port <= last or first <= remote.rtcp_port <= last):
        raise SdpError("media address is our own", 488)


def is_out_of_reach(host: str, local: str) -> bool:
    """Whether a peer's address is a loopback or link-local one, and ours towards it is not. Both are canonical."""
    return fault_of(host, local) is not None
