"""A new version takes over under 50 calls a second: `sbc restart`, with a journal that the old version has written.

The new version is this one with other numbers: its own, and that of the journal's values, of which it reads the former,
too. It is installed as an upgrade is: in the place of the old one, while that runs.
"""

import shutil
import sqlite3
import time
from collections import Counter
from pathlib import Path

import pytest

import sbc
from sbc.b2bua.journal import PREFIX, VERSION

from .children import is_full, until
from .crowd_story import Story, seed
from .lab import ENGINES

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow, pytest.mark.alone]

CALLS, RATE, RESTARTS = (500, 50.0, 10) if is_full() else (60, 50.0, 2)
ROOM = 500
APART_SECONDS = 6.0
BACK_SECONDS = 2.0
WAIT_SECONDS = 0.15
# What is being set up in the moment of the restart may fail, and nothing else: calls ring for 0.75 s here on average,
# so that at 50/s some forty are being set up at any time.
SET_UP_AT_ONCE = RATE * 1.5
NEW = "99.0"


class Installed:
    """`place` is what Python finds; what is there is a link that an upgrade turns to another version."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "installed"
        self._folder = folder
        self.turn_to(self._copy("old", sbc.__version__, VERSION))

    def upgrade(self, n: int) -> str:
        """Each is newer than the one before; its version."""
        version = f"{NEW}.{n}"
        self.turn_to(self._copy(f"new-{n}", version, VERSION + n))
        return version

    def turn_to(self, packages: Path) -> None:
        link = self._folder / "link"
        link.symlink_to(packages)
        link.replace(self.place)

    def _copy(self, name: str, version: str, journal: int) -> Path:
        packages = self._folder / name
        shutil.copytree(Path(sbc.__file__).parent, packages / "sbc", ignore=shutil.ignore_patterns("__pycache__"))
        _replace(packages / "sbc/__init__.py", f'"{sbc.__version__}"', f'"{version}"')
        path = packages / "sbc/b2bua/journal.py"
        _replace(path, f"VERSION: Final = {VERSION}", f"VERSION: Final = {journal}")
        _replace(
            path, f"READS: Final = frozenset({{{VERSION}}})", f"READS: Final = frozenset({{{journal - 1}, {journal}}})"
        )
        return packages


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, path
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_new_version_takes_over_under_load(lab, tmp_path, engine):
    chosen = seed()
    print(f"SBC_TEST_SEED={chosen}")
    installed = Installed(tmp_path)
    told = Story(lab, engine, chosen, calls=CALLS, room=ROOM, folder=tmp_path, env={"PYTHONPATH": str(installed.place)})
    with told.crowd as crowd:
        told.begins(RATE)
        pids = told.node.child.pid, told.node.status()["media"][0]["pid"]
        moments = []
        for n in range(1, RESTARTS + 1):
            time.sleep(told.rng.uniform(0.5, 1.0) * APART_SECONDS)
            version = installed.upgrade(n)
            assert told.node.status()["version"] != version
            moments.append(time.time())
            told.deaths.append(moments[-1])
            print(told.node.says("restart").strip())
            until(lambda version=version: told.node.status()["version"] == version, f"version {version}")
            crowd.probe.back_after(time.time(), 10)
            told.outages.append(crowd.probe.longest_wait(moments[-1]))
        time.sleep(APART_SECONDS)
        told.prints(f"{RESTARTS} upgrades, {engine}")
        assert (told.node.child.pid, told.node.status()["media"][0]["pid"]) == pids
        told.is_calm()
        failed = [call for call in crowd.calls if call.status not in (200, 486, 487) and not call.is_shed]
        print(f"{len(failed)} of {len(crowd.calls)} calls failed in set-up, by {RESTARTS} restarts")
        astray = [
            call for call in failed if not any(at <= call.final_at and call.placed_at <= at + 5 for at in moments)
        ]
        assert not astray, astray[0].story()
        assert len(failed) <= SET_UP_AT_ONCE * RESTARTS
        told.calls_are_there()
        assert _versions_in_journal(told.node.folder)[VERSION + RESTARTS] >= CALLS
        told.ends_well()
    sound = crowd.sound
    assert (sound.lost(), sound.doubled(), sound.astray()) == ([], 0, [])
    told.is_within(sound.longest_wait(), WAIT_SECONDS, "a packet was under way for seconds")
    told.was_back_within(BACK_SECONDS)


def _versions_in_journal(folder: Path) -> Counter[int]:
    """Of the values of calls: each of those that stayed was held and resumed under the new version."""
    connection = sqlite3.connect(f"file:{folder}/data/state.db?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT value FROM state WHERE key LIKE ?", (f"{PREFIX}%",)).fetchall()
    finally:
        connection.close()
    return Counter(value[0] for (value,) in rows)
