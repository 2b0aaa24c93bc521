"""Which handshakes an end has, as its `wire.Dtls` asks: the same as before, as long as that is the same (RFC 5763).

They belong to the port pair, like its latches, and go on where the leg goes on in another session. An association that
signalling says again with its keys needs no handshake. Used by `far_end`.
"""

from collections.abc import Callable

from msgspec.structs import replace

from sbc.media import wire
from sbc.media.worker.association import Association
from sbc.media.worker.far_end import FarEnd
from sbc.media.worker.latch import Target
from sbc.media.worker.ports import Udp
from sbc.media.worker.surroundings import Surroundings

# Whether it was RTCP's port's, keys or None, and why there are none.
Told = Callable[[bool, wire.Crypto | None, str], None]


def settle(far: FarEnd, dtls: wire.Dtls, around: Surroundings, told: Told) -> dict[bool, Association]:
    """The associations of the end from now on, by whether they are RTCP's port's."""
    asked = replace(dtls, keys=None, rtcp_keys=None)
    held = around.associations.setdefault(far.pair.key, {})
    wanted = {False: dtls.keys} if far.end.mux else {False: dtls.keys, True: dtls.rtcp_keys}
    for is_rtcp in [one for one in held if one not in wanted or held[one].dtls != asked]:
        held.pop(is_rtcp).close()
    for is_rtcp, keys in wanted.items():
        association = held.get(is_rtcp)
        if association is None:
            association = held[is_rtcp] = Association(asked, around.identity(), around.agenda, around.clock)
        association.keys = association.keys or keys
        _hook(association, far, is_rtcp=is_rtcp, told=told)
    return dict(held)


def _hook(association: Association, far: FarEnd, *, is_rtcp: bool, told: Told) -> None:
    one: Udp = far.pair.rtcp if is_rtcp else far.pair.rtp

    def send(datagram: bytes, target: Target) -> None:
        try:
            one.sendto(datagram, target)
        except OSError:
            return  # it is sent again

    def target() -> Target | None:
        return far.latches.rtcp.target() if is_rtcp else far.latches.rtp.target()

    def tell(keys: wire.Crypto | None, error: str) -> None:
        told(is_rtcp, keys, error)

    association.send, association.target, association.told = send, target, tell
