"""What a message that cannot be read raises, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sbc.core.errors import TheirFaultError

if TYPE_CHECKING:
    from sbc.sip.message import Request


class ParseError(TheirFaultError):
    """`status` is the answer that a request deserves; `reason` its phrase, without anything that the peer wrote.

    `partial` is what could be read of a request, where that suffices to answer it.
    """

    def __init__(self, reason: str, *, status: int = 400, header: str | None = None) -> None:
        super().__init__(f"{header}: {reason}" if header else reason)
        self.reason = reason
        self.status = status
        self.header = header
        self.partial: Request | None = None
