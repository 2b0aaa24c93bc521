"""The key `health`: how a peer's servers are watched. `peering.health` does the watching."""

from typing import Final

from sbc.policy import values
from sbc.policy.documents import Node
from sbc.policy.model import Health
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import Key, one, read_fields

_DEFAULT: Final = Health()

HEALTH: Final = (
    Key("options", "a duration", "from one OPTIONS to the next while a server is up", one(values.timer), default="30s"),
    Key("retry", "a duration", "the same after a failure, and while it is not up", one(values.timer), default="5s"),
    Key(
        "timeout",
        "a duration",
        "no reply within it: the probe has failed; the next one waits for that",
        one(values.timer),
        default="4s, or `retry` if that is shorter",
    ),
    Key(
        "fall",
        "1 to 20",
        "probes, calls or registrations that fail in a row until a server is down",
        one(values.within(1, 20)),
        default="3",
    ),
    Key("rise", "1 to 20", "replies in a row until it is up again", one(values.within(1, 20)), default="2"),
)


def read_health(node: Node, problems: Problems) -> Health | None:
    """None, as for an absent key, where it is off."""
    if node.pairs is None:
        found: Health | None = one(_word)(node, problems)
        return found
    fields = read_fields(node, HEALTH, "`health`", problems)
    retry = fields.get("retry", _DEFAULT.retry)
    return Health(
        options=fields.get("options", _DEFAULT.options),
        retry=retry,
        timeout=fields.get("timeout", min(_DEFAULT.timeout, retry)),
        fall=fields.get("fall", _DEFAULT.fall),
        rise=fields.get("rise", _DEFAULT.rise),
    )


def _word(text: str) -> Health | None:
    if text == "passive":
        return Health(passive=True)
    if text == "off":
        return None
    raise UnfitError(f"`{text}` is not a choice here", "expected a mapping, passive or off")
