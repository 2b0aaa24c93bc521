"""The tutorial, followed to the letter: its files, its commands, two telephones, a call; nothing else is known here.

It runs in a network namespace of its own, since the page names addresses and ports.
"""

import importlib.util
import json
import os
import shlex
import stat
import subprocess
import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sbc.testing.pages import Block, blocks, missing_lines

from .baresip import loudest
from .children import Child, program, until

pytestmark = [pytest.mark.interop, pytest.mark.root, pytest.mark.slow]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "first-call.md"
API = "http://127.0.0.1:8088/api/v1/"


class Reader:
    """Somebody at a machine with several terminals, who does what the page says and nothing else."""

    def __init__(self, folder: Path, prefix: Sequence[str]) -> None:
        self.folder, self.ref = folder, "REF"
        self.output = ""  # of the last commands
        self.outputs: dict[str, str] = {}  # by command
        self.terminals: dict[str, Child] = {}
        self.prefix = prefix
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "HOME": str(folder), "COLUMNS": "200"}

    def follows(self, block: Block) -> None:
        place, marks = f"{PAGE.name}:{block.line}", block.marks
        if "not run" in marks:
            return
        if "file" in marks:
            (self.folder / marks["file"]).write_text(block.text)
        elif "type" in marks:
            self._types(marks["terminal"], marks["type"], marks.get("until"))
        elif "terminal" in marks:
            self._opens(marks["terminal"], block, marks["until"])
        elif "shows" in marks:
            missing = missing_lines(block.text, self.output)
            assert not missing, f"{place}: the page shows lines that are not there:\n{missing}\n\n{self.output}"
        elif block.language == "sh":
            self._runs(block, int(marks.get("status", 0)), place)
        else:
            pytest.fail(f"{place}: nothing says what this block is for")

    def asks(self, path: str) -> Any:
        done = self._run(f"curl -sf {shlex.quote(urllib.parse.urljoin(API, path))}")
        assert done.returncode == 0, path
        return json.loads(done.stdout)

    def stops(self) -> None:
        for child in self.terminals.values():
            child.stop()

    # --- one at a time ------------------------------------------------------------------------------------------------

    def _runs(self, block: Block, status: int, place: str) -> None:
        self.output = ""
        for command in block.commands:
            if command.startswith("cd "):
                self.folder /= command.removeprefix("cd ")
                continue
            done = self._run(command.replace("REF", self.ref))
            self.outputs[command] = done.stdout + done.stderr
            self.output += self.outputs[command]
            assert done.returncode == status, f"{place}: {command}: {done.returncode}\n{self.output}"

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        argv = [*self.prefix, "sh", "-c", command]
        return subprocess.run(
            argv, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )

    def _opens(self, terminal: str, block: Block, words: str) -> None:
        (command,) = block.commands
        argv = [*self.prefix, "sh", "-c", f"exec {command}"]
        self.terminals[terminal] = child = Child(terminal, argv, self.folder, env=self._environment, keep_stdin=True)
        child.until(words)

    def _types(self, terminal: str, keys: str, words: str | None) -> None:
        child = self.terminals[terminal]
        assert child.process.stdin
        child.process.stdin.write(keys.encode())
        child.process.stdin.flush()
        child.until(words) if words else child.wait()


def test_the_tutorial_leads_to_a_call_its_ladder_its_record_and_its_line_in_the_report(namespaces, tmp_path, stack):
    for name in ("baresip", "curl"):
        program(name)
    reader = Reader(tmp_path, namespaces.enter("sbc"))
    stack.callback(reader.stops)
    for block in blocks(PAGE.read_text("utf-8")):
        reader.follows(block)
        if "Call established" in block.marks.get("until", ""):
            _the_call_is_seen(reader)

    (record,) = reader.asks("cdrs")["cdrs"]
    assert (record["ref"], record["cause"], record["ended_by"]) == (reader.ref, "normal", "caller")
    (row,) = reader.asks("report")["rows"]
    assert (row["trunk"], row["direction"], row["calls"], row["answered"], row["peak_paths"]) == (
        "carrier", "outbound", 1, 1, 1
    )  # fmt: skip
    assert row["day"] in reader.outputs["sbc cdr report"]
    assert "BYE" in reader.outputs["sbc trace REF"]
    assert loudest(reader.folder / "desk", 1000) > 0.1 > loudest(reader.folder / "desk", 400)
    assert loudest(reader.folder / "world", 400) > 0.1 > loudest(reader.folder / "world", 1000)
    sbc = reader.terminals["sbc"]
    sbc.interrupt()
    assert sbc.wait() == 0


def _the_call_is_seen(reader: Reader) -> None:
    """By the API and the page in a browser, while it lasts."""
    until(lambda: reader.asks("calls")["calls"][0]["state"] == "answered", "the answer")
    (call,) = reader.asks("calls")["calls"]
    reader.ref = call["ref"]
    assert reader.asks("status")["calls"] == 1
    assert [path["used"] for path in reader.asks("paths")["paths"]] == [1]
    _the_page_shows(reader, call["called"])


def _the_page_shows(reader: Reader, number: str) -> None:
    """In a Chromium that is where the reader is; it speaks to its driver by pipes."""
    if importlib.util.find_spec("playwright") is None:
        if os.environ.get("SBC_TEST_NO_SKIP"):
            pytest.fail("playwright is not installed")
        return
    from .page_browser import FLAGS, sync_playwright

    wrapper = reader.folder / "chromium"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([*reader.prefix, program("chromium")])} "$@"\n')
    wrapper.chmod(stat.S_IRWXU)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=wrapper, args=list(FLAGS), env={"HOME": str(reader.folder)})
        page = browser.new_page()
        page.goto("http://127.0.0.1:8088/")
        page.get_by_role("link", name="Calls").first.click()
        page.get_by_text(number).first.wait_for(timeout=10_000)
        browser.close()
