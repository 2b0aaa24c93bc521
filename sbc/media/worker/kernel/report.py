"""What the helper says when it has attached the program: one JSON line. Shared by `attach` and `engine`."""

from hashlib import blake2b

from msgspec import Struct


class Report(Struct, frozen=True):
    """`devices`: where the program is attached now. `places`: each address that was asked for; empty, or why packets to
    it are not the kernel's. `reason`: all of these in one line, or what kept everything from working.
    """

    devices: tuple[str, ...] = ()
    places: dict[str, str] = {}
    reason: str = ""


def handle_of(node: str) -> int:
    """The number of a node's filter among those of our priority; not 0."""
    return int.from_bytes(blake2b(node.encode(errors="surrogateescape"), digest_size=4).digest()) | 1
