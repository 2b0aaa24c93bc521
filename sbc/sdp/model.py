"""A session description as a value (RFC 8866): what we act on is typed, everything else is kept verbatim and in order.

`lines` hold whole lines ("a=ptime:20"), without the v=, o=, s=, c= and m= lines, which have fields of their own.
Nothing here decides anything. Used by every other module of this package; `parse` makes these values from the wire.
The call journal keeps them as arrays: a new field goes to the end of its value, and has a default.
"""

from typing import Final

from msgspec import Struct

from sbc.core.errors import TheirFaultError
from sbc.sdp.security import Security

RTP_PROTOS: Final = frozenset({"RTP/AVP", "RTP/AVPF"})
_OPAQUE_PROTOS: Final = frozenset({"UDP", "UDPTL"})


class SdpError(TheirFaultError):
    """A description that we cannot read (400) or will not accept (488)."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Origin(Struct, frozen=True):
    """Our own o= line (RFC 8866 §5.2). The user is always "-": a name would tell the other side something."""

    session_id: int
    version: int
    host: str

    def __str__(self) -> str:
        return f"- {self.session_id} {self.version} IN {address_type(self.host)} {self.host}"


class Connection(Struct, frozen=True, array_like=True):
    """A c= line: address type (IP4, IP6) and the address as written, which may be a name or carry a multicast TTL."""

    address_type: str
    address: str

    def __str__(self) -> str:
        return f"IN {self.address_type} {self.address}"


class Media(Struct, frozen=True, array_like=True):
    """One m= line and the lines below it. Port 0 is a refused or removed stream (RFC 3264 §6, §8.2).

    `security`: it is secured RTP by that; `proto` is then that of plain RTP (see `secured`).
    """

    kind: str
    port: int
    proto: str
    formats: tuple[str, ...]
    connection: Connection | None = None
    lines: tuple[str, ...] = ()
    security: Security | None = None

    @property
    def is_rtp(self) -> bool:
        """RTP, which the relay reads; secured RTP where `security` says so, else that is another protocol here."""
        return self.proto in RTP_PROTOS or self.proto.upper() in RTP_PROTOS

    @property
    def is_relayable(self) -> bool:
        """Whether its packets can cross a UDP relay that does not look inside: plain RTP, T.38 and other bare UDP.

        TCP cannot, and what is keyed from end to end (SRTP, DTLS) would be keyed to the wrong end.
        """
        proto = self.proto
        if proto in RTP_PROTOS:
            return True
        proto = proto.upper()
        if proto in RTP_PROTOS or proto in _OPAQUE_PROTOS:
            return True
        return proto.startswith("UDP/") and "TLS" not in proto and "SAVP" not in proto


class Session(Struct, frozen=True, array_like=True):
    """One description. `origin` and `name` are the values of o= and s= as written."""

    origin: str
    name: str
    connection: Connection | None
    lines: tuple[str, ...]
    media: tuple[Media, ...]


def address_type(host: str) -> str:
    return "IP6" if ":" in host else "IP4"


def attribute_values(lines: tuple[str, ...], name: str) -> list[str]:
    """The values of every `a=name:value` among `lines`, in order."""
    prefix = f"a={name}:"
    return [line[len(prefix) :].strip() for line in lines if line.startswith(prefix)]


def same_except_origin(one: Session, other: Session) -> bool:
    """Whether two say the same but for o=: if so its version stays, else it goes up by one (RFC 3264 §8)."""
    return (
        one.media == other.media
        and one.connection == other.connection
        and one.lines == other.lines
        and one.name == other.name
    )
