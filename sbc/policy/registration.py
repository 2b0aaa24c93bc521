"""The key `register`: this trunk's carrier wants to be registered with. `peering.registration` does it."""

from typing import Final

from sbc.policy import addresses, values
from sbc.policy.documents import Node
from sbc.policy.model import Register
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import Key, one, read_fields

_DEFAULT: Final = Register("", "")

REGISTER: Final = (
    Key("aor", "sip:USER@HOST or sips:USER@HOST", "the address of record", one(addresses.aor), required=True),
    Key(
        "expires",
        "60s to 1d",
        "asked for; the carrier may shorten it",
        one(values.seconds_within("60s", "1d")),
        default="600s",
    ),
    Key("gin", "true", "all the trunk's numbers at once (RFC 6140)", one(values.flag), default="false"),
    Key(
        "keepalive",
        "a duration",
        "between the CRLFs that keep a NAT's binding open; 0s: none",
        one(values.patience),
        default="30s",
    ),
)


def read_register(node: Node, problems: Problems) -> Register | None:
    """None, as for an absent key, where it is false."""
    if node.pairs is None:
        return one(_false)(node, problems)  # type: ignore[no-any-return]
    fields = read_fields(node, REGISTER, "`register`", problems)
    user, host, is_sips = fields.get("aor", ("", "", False))
    return Register(
        user=user,
        host=host,
        expires=fields.get("expires", _DEFAULT.expires),
        gin=fields.get("gin", _DEFAULT.gin),
        keepalive=fields.get("keepalive", _DEFAULT.keepalive),
        is_sips=is_sips,
        where=fields.where,
    )


def _false(text: str) -> None:
    if text != "false":
        raise UnfitError("`register` without an AOR", "expected {aor: sip:USER@HOST}, or false")
