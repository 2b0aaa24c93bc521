"""Where the kernel engine's pins are. Light to import: a worker without that engine asks whether there are any."""

# pathlib is slow to import, and a restart is a gap that callers hear:
# ruff: noqa: PTH112

import os
from hashlib import blake2b
from typing import Final

_NODE_LETTERS: Final = 64


def root_of_pins() -> str:
    """A BPF file system, mounted by the machine or the unit."""
    return os.environ.get("SBC_BPFFS") or "/sys/fs/bpf"


def directory_of(node: str) -> str:
    """A name that a BPF file system takes (it refuses dots), and no other node's."""
    name = "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "_" for one in node)[:_NODE_LETTERS]
    if name != node or not name:
        name += "-" + blake2b(node.encode(errors="surrogateescape"), digest_size=4).hexdigest()
    return f"{root_of_pins()}/sbc/{name}"


def is_anything_left(node: str) -> bool:
    """By an engine that is in force, or by one that was: see `leftovers`."""
    return os.path.isdir(directory_of(node))
