"""What is wrong with a policy, said like a compiler says it: all at once, each with its place.

A problem reads `file:line:column: what is wrong; what was expected`. Used by everything that reads policy files.
"""

from collections.abc import Iterable

from msgspec import Struct

from sbc.core.errors import OperatorError
from sbc.policy.model import Where


class Problem(Struct, frozen=True):
    where: Where
    wrong: str
    expected: str

    def __str__(self) -> str:
        return f"{self.where}: {self.wrong}; {self.expected}"


class PolicyError(OperatorError):
    """The policy cannot be used; nothing of it takes effect. Its text has one line per problem."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class UnfitError(Exception):
    """A text that does not fit its key. Inside this package only; the reader adds the place."""

    def __init__(self, wrong: str, expected: str) -> None:
        super().__init__(f"{wrong}; {expected}")
        self.wrong = wrong
        self.expected = expected


class Problems:
    """Collects. Warnings are problems that stop nothing; some of them are of secrets, without which nothing may run."""

    def __init__(self) -> None:
        self.errors: dict[Problem, None] = {}  # a set that keeps its order
        self.warnings: list[Problem] = []
        self.unresolved: list[Problem] = []

    def wrong(self, where: Where, wrong: str, expected: str) -> None:
        self.errors[Problem(where, wrong, expected)] = None

    def warn(self, where: Where, wrong: str, expected: str) -> None:
        self.warnings.append(Problem(where, wrong, expected))

    def lack_secret(self, where: Where, wrong: str, expected: str) -> None:
        self.warn(where, wrong, expected)
        self.unresolved.append(self.warnings[-1])

    def raise_any(self, files: tuple[str, ...]) -> None:
        """Raises what was collected, in the order of the files and of the lines in them."""
        if self.errors:
            raise PolicyError(ordered(self.errors, files))


def ordered(problems: Iterable[Problem], files: tuple[str, ...]) -> tuple[Problem, ...]:
    """In the order of the files and of the lines in them."""
    rank = {file: n for n, file in enumerate(files)}
    return tuple(sorted(problems, key=lambda p: (rank.get(p.where.file, -1), p.where.line, p.where.column)))
