"""The description for the other leg: our origin, address and ports instead of the peer's (RFC 3264, RFC 5853 §3.1).

Codecs, directions, bandwidth and attributes that we do not know pass as they are. Everything that would name the peer's
network or user, or offer what this relay cannot do (ICE, BUNDLE, keys), stays behind; so does RTCP on RTP's port, which
each side agrees upon for itself. Our RTCP port is the one above RTP's, so that no `a=rtcp` is needed (RFC 3605 §2.1).
The m= lines keep number and order; one that we cannot relay crosses with port 0. Which ports, the call decides.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from sbc.sdp.direction import LINES, direction_of, is_hold_address
from sbc.sdp.model import Connection, Media, Origin, SdpError, Session, address_type
from sbc.sdp.mux import with_mux

# What describes codecs and streams; these pass unread, because a call has a dozen of them.
_PASSED: Final = frozenset({
    "rtpmap", "fmtp", "ptime", "maxptime", "sendrecv", "sendonly", "recvonly", "inactive", "rtcp-fb",
    # RTCP crosses as it came, so what the two ends agree to put in it is theirs: RFC 5506 §5.
    "rtcp-rsize",
})  # fmt: skip

_DROPPED: Final = frozenset({
    # Addresses: RFC 8839, 3605, 6947, 4570.
    "candidate", "end-of-candidates", "remote-candidates", "rtcp", "alt", "altc", "source-filter",
    # Who or what speaks: RFC 5576 (its cname is often user@host), 8830, 8866 §6.3, 8827.
    "ssrc", "ssrc-group", "msid", "msid-semantic", "tool", "identity",
    # What is agreed upon with each peer for itself, or not at all: RFC 5761, 8858, 8843.
    "rtcp-mux", "rtcp-mux-only", "bundle-only",
    # Keys and connections of the peer itself: RFC 4568, 4567, 8122, 4145, 8842.
    "crypto", "key-mgmt", "fingerprint", "setup", "connection", "tls-id",
    # Capability negotiation could turn an m= line into one of the above: RFC 5939.
    "csup", "creq", "acap", "tcap", "pcfg", "acfg",
})  # fmt: skip

_SESSION_LINES: Final = frozenset("btrz")
_LITERAL: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|::|(?:[0-9A-Fa-f]{1,4}:){3}")


def anchor(
    session: Session, origin: Origin, address: str, ports: Sequence[int], muxed: Collection[int] = ()
) -> Session:
    """`ports`: our RTP port for each m= line, 0 where the stream is refused. SdpError 488 if nothing can cross.

    `muxed`: the streams, by their place, that are to say `a=rtcp-mux`, if they can.
    """
    check_relayable(session)
    hosts = _hosts(session)
    streams = [_anchored(session, media, port, hosts) for media, port in zip(session.media, ports, strict=True)]
    return Session(
        str(origin),
        "-",
        Connection(address_type(address), address),
        tuple([line for line in session.lines if _crosses(line, hosts, _SESSION_LINES)]),
        tuple(with_mux(streams, muxed) if muxed else streams),
    )


def check_relayable(session: Session) -> None:
    """A description that wants streams, all of them in protocols that we cannot relay, is refused with 488."""
    wanted = [media for media in session.media if media.port]
    if wanted and not any(media.is_relayable for media in wanted):
        proto = wanted[0].proto
        if "RTP/SAVP" in proto.upper():  # where its keys may be read, it is plain by now
            raise SdpError(f"SRTP alone ({proto}), and `srtp` is off", 488)
        raise SdpError(f"no stream in a protocol that can be relayed ({proto})", 488)


def _anchored(session: Session, media: Media, port: int, hosts: tuple[str, ...]) -> Media:
    if port == 0 or media.port == 0 or not media.is_relayable:
        # "Any media formats listed are ignored. At least one MUST be present" (RFC 3264 §6). A group may name its mid.
        mid = [line for line in media.lines if line.startswith("a=mid:") and not _reveals(line, hosts)]
        return Media(media.kind, 0, media.proto, media.formats, None, tuple(mid))
    lines = [line for line in media.lines if _crosses(line, hosts, "b")]
    if is_hold_address(media.connection or session.connection):
        # Our address is never 0.0.0.0, so that the hold must be said in the words of RFC 3264 §8.4.
        lines = [line for line in lines if line not in LINES]
        lines.append(f"a={direction_of(session, media)}")
    return Media(media.kind, port, media.proto, media.formats, None, tuple(lines))


def _crosses(line: str, hosts: tuple[str, ...], letters: frozenset[str] | str) -> bool:
    if not line.startswith("a="):
        return line[0] in letters and not _reveals(line, hosts)
    name = line[2:].partition(":")[0].strip().lower()
    if name in _PASSED:
        return True
    if name in _DROPPED or name.startswith("ice-"):
        return False
    if name == "group":
        # A bundle shares one port (RFC 8843), which our ports do not; lip-sync and the like do no harm.
        return "BUNDLE" not in line.upper()
    # Deviation: an unknown attribute is dropped after all if it holds an address or a host of this description, because
    # "no inner address reaches the other side" weighs more (RFC 5853 §3.1). See test_anchor.
    return not _reveals(line, hosts)


def _reveals(line: str, hosts: tuple[str, ...]) -> bool:
    if _LITERAL.search(line):
        return True
    line = line.lower()
    return any(host in line for host in hosts)


def _hosts(session: Session) -> tuple[str, ...]:
    """The names by which this description calls its own side; IP literals are found by their form."""
    connections = [session.connection, *[media.connection for media in session.media]]
    hosts = {session.origin.rpartition(" ")[2], *[c.address for c in connections if c is not None]}
    # A name of one or two letters would be found in every other attribute.
    return tuple([host.lower() for host in hosts if len(host) > 2])
