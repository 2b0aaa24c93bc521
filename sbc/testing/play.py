"""A script for any machine: feed an event, say what must come out, let time pass.

What came out and nobody looked at is an error at the next step and at the end of the script: forgetting to look fails.
A mismatch shows expected and actual line by line.

    with Playbook(machine) as play:
        play.feeds(CallerRang()).expects(Dial(route))
        play.passes(30.0).expects(CancelDial())
"""

import difflib
from types import TracebackType
from typing import Any, Protocol, Self

from sbc.testing.timeline import run_until


class Playable(Protocol):
    def handle(self, event: Any, now: float) -> list[Any]: ...

    def tick(self, now: float) -> list[Any]: ...

    def next_deadline(self) -> float | None: ...


class Capture:
    """Stands in an expectation for a value that is not known yet; `value` is what it was compared with first."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.value: Any = None

    def __eq__(self, other: object) -> bool:
        if self.value is None:
            self.value = other
        return bool(self.value == other)

    def __repr__(self) -> str:
        return f"Capture({self.value!r})"


class Playbook:
    def __init__(self, machine: Playable, *, at: float = 0.0) -> None:
        self.machine = machine
        self.now = at
        self._out: list[Any] = []
        self._looked = True

    def feeds(self, event: Any) -> "Playbook":
        self._check_looked(f"before {event!r}")
        self._out = self.machine.handle(event, self.now)
        self._looked = False
        return self

    def passes(self, seconds: float) -> "Playbook":
        """Let only time pass; `expects` then sees the outputs of the whole span, in order."""
        self._check_looked(f"before {seconds} s pass")
        end = self.now + seconds
        self._out = [out for _, out in run_until(self.machine, self.now, end)]
        self.now = end
        self._looked = False
        return self

    def expects(self, *expected: Any) -> "Playbook":
        self._looked = True
        actual = self._out
        if list(expected) != actual:
            raise AssertionError(_difference(expected, actual))
        return self

    def takes(self) -> list[Any]:
        """The outputs themselves, where equality is not the question."""
        self._looked = True
        return self._out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _value: object, _traceback: TracebackType | None) -> None:
        if kind is None:
            self._check_looked("at the end")

    def _check_looked(self, when: str) -> None:
        if not self._looked and self._out:
            raise AssertionError(f"nobody looked at these outputs {when}: {self._out!r}")


def _difference(expected: tuple[Any, ...], actual: list[Any]) -> str:
    lines = difflib.ndiff([repr(item) for item in expected], [repr(item) for item in actual])
    return "outputs differ (- expected, + actual):\n" + "\n".join(line.rstrip("\n") for line in lines)
