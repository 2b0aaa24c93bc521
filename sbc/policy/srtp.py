"""The key `srtp` of a peer: whether its media is encrypted, where the keys come from, and by which suites."""

from collections.abc import Sequence
from typing import Any, Final

from sbc.core.address import Transport
from sbc.policy.documents import Node
from sbc.policy.model import Listener, Server
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.protection import SUITES, Keying, SrtpRules, Suite
from sbc.policy.schema import At, Fields, Key, choice, every, nearest, one, read_fields

_MODES: Final = ("off", "optional", "required")
_KEYINGS: Final[tuple[Keying, ...]] = ("sdes", "dtls")
_NICKNAMES: Final[dict[str, Suite]] = {
    "AES_CM_128": "AES_CM_128_HMAC_SHA1_80",
    "AES_128_CM_HMAC_SHA1_80": "AES_CM_128_HMAC_SHA1_80",
    "AES_128_CM_HMAC_SHA1_32": "AES_CM_128_HMAC_SHA1_32",
    "AES_128_GCM": "AEAD_AES_128_GCM",
    "AES_256_GCM": "AEAD_AES_256_GCM",
}


def _suite(text: str) -> Suite:
    for suite in SUITES:
        if suite == text.upper():
            return suite
    meant = _NICKNAMES.get(text.upper())
    hint = f"did you mean `{meant}`?" if meant else nearest(text.upper(), SUITES)
    raise UnfitError(f"`{text}` is no suite that we know", hint)


def _keying(text: str) -> Keying:
    for keying in _KEYINGS:
        if keying == text:
            return keying
    raise UnfitError(f"`{text}` is no way to agree upon keys", f"expected {' or '.join(_KEYINGS)}")


SRTP: Final = (
    Key(
        "mode",
        "off, optional or required",
        "optional: it is offered RTP with keys beside it, and what it answers and offers is taken; required: plain RTP "
        "gets 488, in its offers and its answers",
        choice(*_MODES),
        default="required",
    ),
    Key(
        "keying",
        "sdes, dtls or a list of them",
        "sdes: keys in the session description (RFC 4568), which TLS has to protect; dtls: by a handshake of the two "
        "ends (RFC 5763). Taken in this order; where it is required, the first one is offered",
        every(one(_keying)),
        default="sdes",
    ),
    Key(
        "suites",
        "a suite or a list of them",
        f"offered in this order: {', '.join(SUITES)}",
        every(one(_suite)),
        default="all, in this order",
    ),
)


def read_srtp(node: Node, problems: Problems) -> SrtpRules | None:
    """A word is its mode."""
    if node.pairs is None:
        mode = choice(*_MODES)(node, problems)
        return None if mode is None else SrtpRules(mode)
    fields = read_fields(node, SRTP, "`srtp`", problems)
    keying, suites = _once(fields, "keying", problems), _once(fields, "suites", problems)
    rules = SrtpRules(fields.get("mode", "required"))
    return SrtpRules(rules.mode, keying or rules.keying, suites or rules.suites)


def check_srtp(fields: Fields, interface: Fields | None, problems: Problems) -> None:
    """The keys of one peer against each other, and against the interface that it is on."""
    rules: SrtpRules = fields.get("srtp", SrtpRules())
    if rules.mode == "off":
        return
    place = fields.place("srtp")
    if "sdes" in rules.keying and _may_be_plain(fields, interface):
        problems.warn(
            place,
            f"`srtp: {rules.mode}` with keys in messages that TLS need not carry",
            "whoever reads the messages hears the calls; expected its servers, or `transports`, to be tls alone",
        )
    if rules.mode == "required" and fields.get("t38") == "pass" and "t38" in fields.found:
        problems.warn(
            fields.place("t38"),
            "`t38: pass` means nothing with `srtp: required`",
            "nothing encrypts T.38, so it is refused; `t38: refuse` says so",
        )


def _may_be_plain(fields: Fields, interface: Fields | None) -> bool:
    """Whether anything that has keys in it may come or go by another transport than TLS."""
    transports = [at.value for at in fields.get("transports", ())]
    if transports:
        return any(transport != "tls" for transport in transports)
    listeners: Sequence[Listener] = [] if interface is None else [at.value for at in interface.get("sip", ())]
    if listeners and all(listener.transport is Transport.TLS for listener in listeners):
        return False
    servers: list[Server] = [at.value for at in (*fields.get("address", ()), *fields.get("servers", ()))]
    return not servers or any(server.transport is not Transport.TLS for server in servers)


def _once(fields: Fields, name: str, problems: Problems) -> tuple[Any, ...]:
    listed: Sequence[At] = fields.get(name, ())
    seen: dict[Any, At] = {}
    for at in listed:
        other = seen.setdefault(at.value, at)
        if other is not at:
            problems.wrong(at.where, f"`{at.value}` is listed twice", f"expected it once; first at {other.where}")
    return tuple(seen)
