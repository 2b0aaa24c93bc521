"""A text that must not be shown: a password, a private key."""

from msgspec import Struct


class Secret(Struct, frozen=True):
    """A text that prints as nothing, so that no log, trace or error shows it."""

    text: str

    def __repr__(self) -> str:
        return "Secret(***)"
