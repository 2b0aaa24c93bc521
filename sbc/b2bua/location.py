"""What crosses of an emergency caller's INVITE besides his number: where he is (RFC 6442), by reference or in a part of
the body. Of other calls nothing of it crosses. Used by `call` and `setup`.
"""

from typing import Final

from msgspec import Struct

from sbc.b2bua.identity import crossing_fields
from sbc.sip.errors import ParseError
from sbc.sip.message import Fields, Request
from sbc.sip.multipart import PIDF, SDP, Part, is_multipart, join, parts_of, with_session


class Location(Struct, frozen=True):
    """Geolocation fields, and the parts of the body that are no session description."""

    fields: Fields = ()
    parts: tuple[Part, ...] = ()

    def beside(self, description: bytes, boundary: str) -> tuple[str, bytes]:
        """Content-Type and body with our session description. `boundary`: letters and digits, unguessable."""
        if not self.parts:
            return SDP, description
        parts = with_session(self.parts, description) if description else self.parts
        return join(parts, boundary)


NOWHERE: Final = Location()
_OF_THE_BODY: Final = frozenset(("Content-Type", "Content-ID", "Content-Disposition"))


def location_of(invite: Request) -> Location:
    """A body that cannot be read has been refused at the door; here it is as good as none."""
    value = invite.header("Content-Type") or ""
    parts: tuple[Part, ...] = ()
    if invite.body and is_multipart(value):
        try:
            parts = parts_of(invite.body, value)
        except ParseError:
            parts = ()
    elif invite.body and invite.content_type == PIDF:
        parts = (Part(tuple([field for field in invite.fields if field[0] in _OF_THE_BODY]), invite.body),)
    return Location(crossing_fields(invite), tuple([part for part in parts if _crosses(part)]))


def _crosses(part: Part) -> bool:
    """Not what describes a session, whatever it is said to be for, nor what does not say what it is: either may name
    addresses of the inside."""
    return part.content_type != SDP and any(name == "Content-Type" for name, _ in part.fields)
