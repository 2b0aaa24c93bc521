"""The key `session_timer` of a peer: RFC 4028's interval and its least value. `sip.dialog.session_timer` runs it."""

from typing import Final, Literal

from sbc.policy import values
from sbc.policy.documents import Node
from sbc.policy.model import SessionTimerRules
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import Key, one, read_fields

_DEFAULT: Final = SessionTimerRules()


def _interval(text: str) -> float:
    """Of 90 seconds or more: "The absolute minimum" (§4), also for Min-SE (§5). Whole ones, as the header has them."""
    seconds = values.duration(text)
    if seconds < 90:
        raise UnfitError(f"`{text}` is below the least session timer", "expected 90s or more (RFC 4028 §4)")
    if seconds > 86_400 or seconds != int(seconds):
        raise UnfitError(f"`{text}` is no session timer", "expected whole seconds, at most 1d")
    return seconds


SESSION_TIMER: Final = (
    Key(
        "expires",
        "90s to 1d",
        "asked for: a call that nobody has refreshed for so long ends; RFC 4028 §4 wants 30m or more",
        one(_interval),
        default="1800s, or `min` if that is longer",
    ),
    Key("min", "90s to 1d", "the shortest that we agree to; below it, 422", one(_interval), default="90s"),
)


def read_session_timer(node: Node, problems: Problems) -> SessionTimerRules | Literal["off"] | None:
    if node.pairs is None:
        word: Literal["off"] | None = one(_off)(node, problems)
        return word
    fields = read_fields(node, SESSION_TIMER, "`session_timer`", problems)
    minimum = fields.get("min", _DEFAULT.minimum)
    expires = fields.get("expires", max(_DEFAULT.expires, minimum))
    if expires < minimum:
        problems.wrong(
            fields.place("expires"),
            f"`expires` of {expires:g}s is below `min` of {minimum:g}s",
            f"expected {minimum:g}s or more; `min` is at {fields.place('min')}",
        )
    return SessionTimerRules(expires, minimum)


def _off(text: str) -> str:
    if text != "off":
        raise UnfitError(f"`{text}` is no session timer", "expected a mapping of expires and min, or off")
    return text
