"""Session descriptions in the messages of a leg: found in what came, labelled in what goes. They are octets here."""

from sbc.sip.errors import ParseError
from sbc.sip.message import Fields, Request, Response
from sbc.sip.multipart import description_of

SDP_TYPE: Fields = (("Content-Type", "application/sdp"),)


def description(message: Request | Response) -> bytes:
    """The session description that a peer sent, also within a multipart body; nothing where that cannot be read."""
    if not message.body:
        return b""
    try:
        return description_of(message)
    except ParseError:
        return b""


def labelled(fields: Fields, body: bytes) -> Fields:
    """The header fields of a message with this description, if it has one."""
    return (*fields, *SDP_TYPE) if body else fields
