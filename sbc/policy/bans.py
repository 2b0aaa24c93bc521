"""The key `sbc.bans`: which sources are banned, for how long. Strangers only; `peering.bans` keeps the table."""

from typing import Final

from sbc.policy import values
from sbc.policy.documents import Node
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.protection import BanRules
from sbc.policy.schema import Key, one, read_fields, some

_LONGEST: Final = 30 * 86_400.0  # seconds; an address belongs to somebody else by then
_SIGNATURE_CHARACTERS: Final = (4, 64)  # a shorter word stands in the names of honest telephones
_SIGNATURES: Final = 64


def _lasting(text: str) -> float:
    seconds = values.duration(text)
    if not 1 <= seconds <= _LONGEST:
        raise UnfitError(f"`{text}` is out of range", "expected 1s to 30d")
    return seconds


def _signature(text: str) -> str:
    shortest, longest = _SIGNATURE_CHARACTERS
    if not (shortest <= len(text) <= longest and text.isascii() and text.isprintable()):
        raise UnfitError(f"`{text}` is no signature", f"expected {shortest} to {longest} printable ASCII characters")
    return text.lower()


BANS: Final = (
    Key("strikes", "a number", "offences of a source that ban it", one(values.within(1, 1_000)), default="10"),
    Key("within", "a duration", "the time in which they are counted; at most 1d", one(values.timer), default="60s"),
    Key("for", "a duration", "that a ban lasts; 1s to 30d", one(_lasting), default="10m"),
    Key(
        "nftables",
        "true or false",
        "the kernel drops what banned sources send to our SIP ports, too; takes `sbc-bans.service`, or root",
        one(values.flag),
        default="false",
    ),
    Key(
        "signatures",
        "a text or a list of them",
        "words by which scanners are known, besides those that we know: in User-Agent, From, To, Contact, in any case",
        some(one(_signature)),
    ),
)


def read_bans(node: Node, problems: Problems) -> BanRules | None:
    """`off`, or a mapping."""
    if node.text == "off":
        return BanRules(is_on=False)
    if node.pairs is None:
        problems.wrong(node.where, f"`bans` is {node.kind}", "expected off, or a mapping")
        return None
    fields = read_fields(node, BANS, "`bans`", problems)
    signatures = tuple(dict.fromkeys(at.value for at in fields.get("signatures", ())))
    if len(signatures) > _SIGNATURES:
        problems.wrong(fields.place("signatures"), f"{len(signatures)} signatures", f"expected at most {_SIGNATURES}")
    return BanRules(
        strikes=fields.get("strikes", 10),
        within=fields.get("within", 60.0),
        lasts=fields.get("for", 600.0),
        nftables=fields.get("nftables", False),
        signatures=signatures,
    )
