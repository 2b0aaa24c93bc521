"""Finds the targets, and gives one an input: what it accepts is an answer, everything else goes up."""

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

HERE: Final = Path(__file__).parent


class Target(Struct, frozen=True):
    name: str
    instrumented: tuple[str, ...]
    accepts: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]
    check: Callable[[bytes], None]

    def take(self, data: bytes) -> bool:
        """Whether it was accepted. Raises what is a defect."""
        try:
            self.check(data)
        except self.accepts:
            return False
        return True


def names() -> list[str]:
    """Of all targets."""
    return sorted(module.name for module in pkgutil.iter_modules([str(HERE / "targets")]))


def load(name: str) -> Target:
    """Imports what it fuzzes; whoever wants that watched imports by this."""
    module = importlib.import_module(f"{__package__}.targets.{name}")
    return Target(
        name, module.INSTRUMENTED, module.ACCEPTS, tuple(module.SEEDS), getattr(module, "WORDS", ()), module.check
    )
