"""What a trace keeps to itself of a message: digits that somebody has dialled within a call, and credentials.

A PIN or the number of a card is dialled in an INFO, whose bodies have many types (application/dtmf-relay and others);
some systems use NOTIFY (RFC 4730). Such a body is left out as a whole. Of credentials the computed response is
(RFC 3261 §22.4). It reads octets and no grammar, because what no parser accepts is traced too. Used by `recorder`, for
whoever reads; a message that is only kept costs nothing here.
"""

import re
from typing import Final

MASKED: Final = b"(not shown)\r\n"
_END_OF_HEADER: Final = re.compile(rb"\r?\n\r?\n")
_DIALLING: Final = re.compile(rb"dtmf|digit|kpml|telephone-event|hook-?flash", re.IGNORECASE)
_TYPES: Final = re.compile(rb"\r?\n(?:content-type|c)[ \t]*:([^\r\n]*)", re.IGNORECASE)
_CREDENTIALS: Final = re.compile(
    rb"(\r?\n(?:proxy-)?authorization[ \t]*:)[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*", re.IGNORECASE
)


def masked(data: bytes) -> bytes:
    """The message as it may be shown; the same object where nothing is to be hidden."""
    end = _END_OF_HEADER.search(data)
    header = data if end is None else data[: end.start()]
    shown = data
    if end is not None and end.end() < len(data) and _holds_digits(header, data[end.end() :]):
        shown = data[: end.end()] + MASKED
    if b"uthorization" in header or b"UTHORIZATION" in header:
        shown = _CREDENTIALS.sub(rb"\1 (not shown)", shown)
    return shown


def _holds_digits(header: bytes, body: bytes) -> bool:
    if header[:4].upper() == b"INFO":
        return True
    kind = _TYPES.search(header)
    if kind is None:
        return False
    is_multipart = b"multipart" in kind[1].lower()
    return _DIALLING.search(body if is_multipart else kind[1]) is not None
