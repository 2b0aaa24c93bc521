"""The commands of every page are run, in order, at an SBC with the policy `policies/office` and a call that is up.

The tutorial has a test of its own; the README's commands are those of `.ci/run`. What is not run says why in its page.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sbc.testing.pages import Block, blocks, missing_lines

from .children import Child, program, until
from .kit import KitPhone
from .namespaces import Namespaces

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
OTHERWISE = {"first-call.md", "contributing.md", "systemd.md"}  # run by test_tutorial, .ci/run and test_systemd
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in OTHERWISE]
PLACES = {"/etc/sbc": "policy", "/var/lib/sbc": "var", "/tmp/": "./"}  # what a page names, in the test's folder
EXAMPLE = r"\bREF\b|\bk3v7q2mxya\b"  # the call of all pages
HARMLESS = {"sbc", "curl", "sqlite3", "sleep"}  # anything else might change the machine
SQLITE = """\
#!{python}
import sqlite3, sys
print(*sqlite3.connect(f"file:{{sys.argv[-2]}}?mode=ro", uri=True).execute(sys.argv[-1]), sep="\\n")
"""
UNDO = (("DELETE", "drill/office"), ("DELETE", "drill/branch"), ("DELETE", "trunks/carrier-a/busyout"),
        ("DELETE", "trunks/carrier-b/busyout"), ("DELETE", "drain"), ("DELETE", "testcall"))  # fmt: skip


class Site:
    """A folder with the policy, the running SBC, and a telephone on each side of it."""

    def __init__(self, folder: Path, namespaces: Namespaces) -> None:
        self.folder, self._prefix = folder, namespaces.enter("sbc")
        shutil.copytree(ROOT / "policies" / "office", folder / "policy")
        for name in ("policies", "systemd", "docs"):
            (folder / name).symlink_to(ROOT / name)
        self._environment = {**os.environ, "PATH": f"{self._programs()}:{os.environ['PATH']}", "COLUMNS": "200"}
        self.sbc = Child("sbc", [*self._prefix, "sbc", "run", "policy"], folder, env=self._environment)
        self.sbc.until("sbc: ready")
        with namespaces.inside("sbc"):
            self.office, self.carrier = KitPhone("127.0.0.30"), KitPhone("127.0.0.40")
        self.carrier.answers_by_itself()
        self.ref = ""

    def _programs(self) -> Path:
        """`sbc` of this environment, and a sqlite3 that reads where there is none."""
        folder = self.folder / "bin"
        folder.mkdir()
        (folder / "sbc").symlink_to(Path(sys.executable).parent / "sbc")
        if shutil.which("sqlite3") is None:
            (folder / "sqlite3").write_text(SQLITE.format(python=sys.executable))
            (folder / "sqlite3").chmod(stat.S_IRWXU)
        return folder

    def runs(self, command: str) -> subprocess.CompletedProcess[str]:
        for place, here in PLACES.items():
            command = command.replace(place, here)
        argv = [*self._prefix, "bash", "-o", "pipefail", "-c", re.sub(EXAMPLE, self.ref, command)]
        return subprocess.run(
            argv, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """One that is up meanwhile, unless a command ends it."""
        party = self.office.calls("+12125550123", through="127.0.0.10")
        self.office.is_talking(party)
        refs = re.findall(r"\b[a-z0-9]{12}\b", self.runs("sbc calls").stdout)
        self.ref = refs[0]
        try:
            yield
        finally:
            if self.ref in self.runs("sbc calls").stdout:
                self.office.hangs_up(party)
            until(lambda: self.ref not in self.runs("sbc calls").stdout, "the end of the call")
            for method, path in UNDO:
                self.runs(f"curl -s -X {method} http://127.0.0.1:8088/api/v1/{path}")

    def stop(self) -> None:
        for phone in (self.office, self.carrier):
            phone.stop()
        self.sbc.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    if os.geteuid() != 0:
        program("a-root-shell")
    program("curl")
    with Namespaces(program("ip")) as namespaces:
        site = Site(tmp_path_factory.mktemp("site"), namespaces)
        yield site
        site.stop()


def _runnable(page: Path) -> list[Block]:
    found = [block for block in blocks(page.read_text("utf-8")) if "not run" not in block.marks]
    return [block for block in found if block.language == "sh" or "shows" in block.marks]


def _pages() -> Sequence[object]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if _runnable(page)]


@pytest.mark.parametrize("page", _pages())
def test_the_commands_of_a_page_work(site, page):
    with site.call():
        output = ""
        for block in _runnable(page):
            place = f"{page.name}:{block.line}"
            if "shows" in block.marks:
                missing = missing_lines(block.text, output)
                assert not missing, f"{place}: the page shows lines that are not there:\n{missing}\n\n{output}"
                continue
            output = ""
            for command in block.commands:
                assert command.split()[0] in HARMLESS, f"{place}: {command}: say `<!-- not run: REASON -->`"
                done = site.runs(_with_what_is_installed(command))
                output += done.stdout + done.stderr
                assert done.returncode == int(block.marks.get("status", 0)), f"{place}: {command}\n{output}"


def _with_what_is_installed(command: str) -> str:
    """`sbc … | jq …` without jq where there is none."""
    first, *others = command.split(" | ")
    return command if all(shutil.which(other.split()[0]) for other in others) else first


def test_the_queries_of_the_page_about_records_are_answered(site):
    with site.call():
        pass
    until(lambda: "normal" in site.runs("sbc cdr list").stdout, "a record")
    page = (ROOT / "docs" / "reference" / "cdr.md").read_text("utf-8")
    queries = [block.text for block in blocks(page) if block.language == "sql"]
    database = sqlite3.connect(site.folder / "var" / "cdr.db")
    assert len(queries) >= 2
    assert database.execute(queries[0]).fetchall()
    for query in queries:
        database.execute(query).fetchall()
