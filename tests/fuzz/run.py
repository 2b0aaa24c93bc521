"""Runs a campaign as a process and reads its figures. libFuzzer prints `#N KIND cov: C ft: F corp: … exec/s: E`.

`cov` counts branches that were taken, `ft` those together with how often and what was compared.
"""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.fuzz import inputs
from tests.fuzz import target as targets

_FIGURES: Final = re.compile(r"^#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+).*?exec/s: (\d+)", re.MULTILINE)
_RUNS: Final = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
_INPUT_OCTETS: Final = 8_192  # of one input; more makes it slow and finds nothing that fewer would not
_INPUT_SECONDS: Final = 10  # for one input; more is a defect
_MEMORY: Final = 2_048  # MiB
_KEPT: Final = 150  # inputs of one target
_KEPT_OCTETS: Final = 8_192  # of them together

# Linux counts what a process weighed before it became another program as that program's own peak, and libFuzzer ends
# what has ever weighed too much. The child of a small shell has not been the tests' process, which may be large.
SMALL_PARENT: Final = ("sh", "-c", '"$@"; exit $?', "sh")


class Campaign:
    """`seconds`: how long, once everything is imported. `found`: where what broke it is kept, by default among
    the crashes. `folder`: for its own use.
    """

    HEADING: Final = (
        f"{'target':18} {'executions':>11} {'per second':>11} {'branches':>9} {'features':>9} {'inputs':>7}"
    )

    def __init__(self, name: str, folder: Path, *, seconds: int, found: Path | None = None) -> None:
        self.name = name
        self._seconds = seconds
        self._folder = folder
        self.story = ""
        self.failed = False
        self.executions = 0
        self._found = found or targets.HERE / "crashes" / name

    def run(self) -> str:
        """The line of figures."""
        folder = self._folder
        (folder / "corpus").mkdir()
        self._found.mkdir(parents=True, exist_ok=True)
        target = targets.load(self.name)
        known = [*target.seeds, *inputs.corpus(self.name), *inputs.crashes(self.name).values()]
        for i, data in enumerate(known):
            (folder / "corpus" / f"{i:05}").write_bytes(data)
        words = self._words(target.words)
        done = self._libfuzzer(
            f"-max_total_time={self._seconds}", *words, "-use_value_profile=0",
            f"-artifact_prefix={self._found}/", str(folder / "corpus"),
        )  # fmt: skip
        self.story = done.stdout + done.stderr  # atheris prints what was raised to the first, libFuzzer its own reasons
        self.failed = done.returncode != 0
        with contextlib.suppress(OSError):
            self._found.rmdir()  # where it is empty
        return self._figures(done.stderr)

    def _words(self, words: tuple[bytes, ...]) -> list[str]:
        """A dictionary for libFuzzer; none, where the target has no words."""
        file = self._folder / "words"
        escaped = ["".join([f"\\x{octet:02x}" for octet in word]) for word in words]
        file.write_text("".join([f'"{word}"\n' for word in escaped]))
        return [f"-dict={file}"] if words else []

    def smallest(self) -> list[bytes]:
        """Inputs that reached something new when they were found, seeds left out, the smallest first."""
        known = set(targets.load(self.name).seeds)
        found = {file.read_bytes() for file in (self._folder / "corpus").iterdir()} - known
        kept: list[bytes] = []
        for data in sorted(found, key=lambda data: (len(data), data))[:_KEPT]:
            if sum(map(len, kept)) + len(data) > _KEPT_OCTETS:
                break
            kept.append(data)
        return kept

    def _libfuzzer(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *SMALL_PARENT, sys.executable, "-m", "tests.fuzz.campaign", self.name, f"-max_len={_INPUT_OCTETS}",
                f"-timeout={_INPUT_SECONDS}", f"-rss_limit_mb={_MEMORY}", *options,
            ],
            cwd=targets.HERE.parents[1],
            env=os.environ | {"PYTHONHASHSEED": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )  # fmt: skip

    def _figures(self, text: str) -> str:
        last = _FIGURES.findall(text)[-1:] or [("0",) * 5]
        executions, branches, features, found, _ = map(int, last[0])
        done = _RUNS.search(text)
        seconds = self._seconds
        if done:
            executions, seconds = int(done[1]), max(1, int(done[2]))
        self.executions = executions
        rate = executions // seconds
        end = "  FAILED" if self.failed else ""
        return f"{self.name:18} {executions:11,} {rate:11,} {branches:9,} {features:9,} {found:7,}{end}"


def keep(campaign: Campaign) -> None:
    inputs.keep_corpus(campaign.name, campaign.smallest())
