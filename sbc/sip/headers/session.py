"""Session-Expires and Min-SE (RFC 4028 §4, §5): how long a session lives without a refresh, and who refreshes it.

Read leniently: None for what cannot be read. Nothing is decided here. Who uses it: `sip.dialog.session_timer`.
"""

import re
from typing import Final, Literal

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.message import Request, Response
from sbc.sip.params import Params, param, parse_params
from sbc.sip.scan import unquoted

Refresher = Literal["uac", "uas"]

LARGEST_DELTA: Final = 2**32 - 1  # delta-seconds; a larger one is read as this, as that of Expires (RFC 3261 §20.19)

_REFRESHERS: Final[dict[str, Refresher]] = {"uac": "uac", "uas": "uas"}
_DELTA: Final = re.compile(r"[ \t]*+([0-9]++)[ \t]*+(?:;(.*))?", re.DOTALL | re.ASCII)


class SessionExpires(Struct, frozen=True):
    """`refresher`: "uac" is who sent the request, "uas" who answers it; None: not said."""

    seconds: int
    refresher: Refresher | None = None

    def __str__(self) -> str:
        return str(self.seconds) if self.refresher is None else f"{self.seconds};refresher={self.refresher}"


def parse_session_expires(text: str) -> SessionExpires | None:
    """A refresher that is neither of the two counts as none; two that contradict each other as a broken value."""
    found = _delta(text)
    if found is None:
        return None
    seconds, params = found
    return SessionExpires(seconds, _REFRESHERS.get(unquoted(param(params, "refresher") or "").lower()))


def session_expires_of(message: Request | Response) -> SessionExpires | None:
    text = message.header("Session-Expires")
    return None if text is None else parse_session_expires(text)


def min_se_of(message: Request | Response) -> int | None:
    """In seconds, as it stands: below 90 too, which it "MUST NOT be" (§5)."""
    text = message.header("Min-SE")
    found = None if text is None else _delta(text)
    return None if found is None else found[0]


def _delta(text: str) -> tuple[int, Params] | None:
    match = _DELTA.fullmatch(text)
    if match is None:
        return None
    digits = match[1].lstrip("0") or "0"
    seconds = min(int(digits), LARGEST_DELTA) if len(digits) <= 10 else LARGEST_DELTA
    try:
        return (seconds, () if match[2] is None else parse_params(match[2], "Session-Expires"))
    except ParseError:
        return None
