"""Event and Subscription-State (RFC 6665 §8.2.1, §8.2.3, §8.4): what a subscription is to, and how it stands.

Read leniently: None for what cannot be read. Nothing is decided here. Who uses it: `b2bua.beside`, `b2bua.transfer`.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.headers.session import LARGEST_DELTA
from sbc.sip.params import Params, param, params_text, parse_params
from sbc.sip.scan import is_token, unquoted

# event-type = token-nodot *( "." token-nodot ): a package, and templates as in "presence.winfo"
_TYPE: Final = re.compile(r"[A-Za-z0-9\-!%*_+`'~]++(?:\.[A-Za-z0-9\-!%*_+`'~]++){0,8}", re.ASCII)
_LONGEST_TYPE: Final = 256  # characters


class Event(Struct, frozen=True):
    """`package`: the event type, templates included, compared byte by byte (§8.2.1). `params`: all but the id.

    Parameters of some packages name a dialog (RFC 4235 §3.1): they are not to be shown to the other side as they are.
    """

    package: str
    params: Params = ()
    id: str | None = None

    def __str__(self) -> str:
        own = "" if self.id is None else f";id={self.id}"
        return f"{self.package}{own}{params_text(self.params)}"


class SubscriptionState(Struct, frozen=True):
    """`state`: "active", "pending", "terminated" or another token; `reason` likewise; both in lower case. Seconds."""

    state: str
    expires: int | None = None
    reason: str | None = None
    retry_after: int | None = None

    def __str__(self) -> str:
        reason = "" if self.reason is None else f";reason={self.reason}"
        expires = "" if self.expires is None else f";expires={self.expires}"
        retry_after = "" if self.retry_after is None else f";retry-after={self.retry_after}"
        return f"{self.state}{reason}{expires}{retry_after}"


def parse_event(text: str) -> Event | None:
    name, params = _split(text, "Event")
    if params is None or len(name) > _LONGEST_TYPE or _TYPE.fullmatch(name) is None:
        return None
    own = param(params, "id")
    if own is not None and not is_token(own):
        return None
    return Event(name, tuple([item for item in params if item[0] != "id"]), own)


def parse_subscription_state(text: str) -> SubscriptionState | None:
    """A parameter that cannot be read counts as absent; unknown ones are left out."""
    name, params = _split(text, "Subscription-State")
    state = name.lower()
    if params is None or not is_token(state):
        return None
    reason = unquoted(param(params, "reason") or "").lower()
    return SubscriptionState(
        state,
        _seconds(param(params, "expires")),
        reason if is_token(reason) else None,
        _seconds(param(params, "retry-after")),
    )


def _split(text: str, header: str) -> tuple[str, Params | None]:
    name, semicolon, rest = text.partition(";")
    try:
        return (name.strip(" \t"), parse_params(rest, header) if semicolon else ())
    except ParseError:
        return (name, None)


def _seconds(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return min(int(digits), LARGEST_DELTA) if len(digits) <= 10 else LARGEST_DELTA
