"""Inputs that are kept: the corpus of a target in one text file, an input a line, escaped as Python escapes octets;
each crash in a file of its own, as it came, named by what it was.
"""

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent


def corpus(name: str) -> list[bytes]:
    """What has reached new code before; nothing for a new target."""
    file = HERE / "corpus" / f"{name}.txt"
    if not file.exists():
        return []
    return [
        line.encode("ascii").decode("unicode_escape").encode("latin-1") for line in file.read_text().split("\n")[:-1]
    ]


def keep_corpus(name: str, inputs: list[bytes]) -> None:
    lines = [data.decode("latin-1").encode("unicode_escape").decode("ascii") + "\n" for data in inputs]
    (HERE / "corpus" / f"{name}.txt").write_text("".join(lines))


def crashes(name: str) -> dict[str, bytes]:
    """By what they were."""
    return {file.name: file.read_bytes() for file in sorted((HERE / "crashes" / name).glob("*"))}
