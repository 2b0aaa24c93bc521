"""Direction of a stream and its algebra (RFC 3264 §5.1, §6.1, §8.4; RFC 8866 §6.7).

A direction is always told from the side of whoever wrote the description.
The hold of RFC 2543, a connection address of 0.0.0.0, is read here as what it means: send me nothing.
"""

import enum
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from sbc.sdp.model import Connection, Media, Session


class Direction(enum.StrEnum):
    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        return self is Direction.SENDRECV or self is Direction.SENDONLY

    @property
    def receives(self) -> bool:
        return self is Direction.SENDRECV or self is Direction.RECVONLY

    @property
    def is_hold(self) -> bool:
        """The writer does not want to hear the other side (RFC 3264 §8.4)."""
        return not self.receives

    @staticmethod
    def of(*, sends: bool, receives: bool) -> "Direction":
        if sends:
            return Direction.SENDRECV if receives else Direction.SENDONLY
        return Direction.RECVONLY if receives else Direction.INACTIVE

    def reversed(self) -> "Direction":
        """The same stream as the other side sees it."""
        return Direction.of(sends=self.receives, receives=self.sends)

    def intersect(self, other: "Direction") -> "Direction":
        """What both allow, told from the same side."""
        return Direction.of(sends=self.sends and other.sends, receives=self.receives and other.receives)


LINES: Final = {f"a={direction}": direction for direction in Direction}


def direction_of(session: Session, media: Media) -> Direction:
    """What the stream does, with session-level direction and address inherited and the old hold applied."""
    direction = stated_direction(media.lines) or stated_direction(session.lines) or Direction.SENDRECV
    if is_hold_address(media.connection or session.connection):
        return direction.intersect(Direction.SENDONLY)
    return direction


def stated_direction(lines: Iterable[str]) -> Direction | None:
    for line in lines:
        direction = LINES.get(line)
        if direction is not None:
            return direction
    return None


def directed(session: Session, media: Media, direction: Direction) -> Media:
    """The same stream with another direction; itself where that is the one that it has."""
    if direction_of(session, media) is direction:
        return media
    lines = tuple([line for line in media.lines if line not in LINES])
    return replace(media, lines=(*lines, f"a={direction}"))


def undirected(session: Session) -> Session:
    """What it says besides directions, to be compared."""
    streams = [replace(media, lines=_without_direction(media.lines)) for media in session.media]
    return replace(session, media=tuple(streams), lines=_without_direction(session.lines))


def _without_direction(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple([line for line in lines if line not in LINES])


def is_hold_address(connection: Connection | None) -> bool:
    """0.0.0.0 (RFC 3264 §8.4), its IPv6 form, and the names under .invalid that RFC 6157 uses for the same."""
    if connection is None:
        return False
    address = connection.address
    return address in {"0.0.0.0", "::"} or address.lower().endswith(".invalid")
