"""Method names. Methods are plain strings, compared as they are: they are case-sensitive (RFC 3261 §7.1)."""

from typing import Final

KNOWN_METHODS: Final = frozenset({
    "INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER",
    "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "INFO", "REFER", "UPDATE", "PRACK",
})  # fmt: skip
