"""A real Chromium with the page in it: started with nothing of anybody's, and watched for what it asks for and says."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from .children import missing, program

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*",
)
DESK = {"width": 1280, "height": 860}
PHONE = {"width": 320, "height": 640}
# What is there when a view is drawn; without anything to show, a sentence.
_MARKS = {
    "": (".figures",),
    "calls": ("tr[data-ref]", ".empty"),
    "call": ("svg.body", ".ladder-box + *", "section .empty"),
    "peers": ("article",),
    "alarms": ("h2",),
    "records": ("tbody tr", ".empty:not([role])"),
    "report": (".figures",),
    "charts": (".plot canvas", ".empty:not([role])"),
}


@contextmanager
def chromium() -> Iterator[Browser]:
    path = program("chromium")
    with tempfile.TemporaryDirectory(prefix="sbc-page-") as home, sync_playwright() as driver:
        # Without a home of its own, the browser would read the operator's.
        homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), home)
        env: dict[str, str | float | bool] = {**os.environ, **homes}
        browser = driver.chromium.launch(executable_path=path, headless=True, args=list(FLAGS), env=env)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """One window on the page. `asked`: every address that it has asked for; `complaints`: errors, and what was
    forbidden.
    """

    def __init__(self, browser: Browser, url: str, *, scheme: str = "light", size: Any = DESK, **options: Any) -> None:
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(
            color_scheme=scheme, viewport=size, reduced_motion="reduce", timezone_id="Europe/Zurich", **options
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self._heard(said.type, said.text))

    def _heard(self, kind: str, text: str) -> None:
        # A refused or lost request is the browser's own line, and the page's business to show.
        if kind == "error" and "Failed to load resource" not in text:
            self.complaints.append(text)

    def goes(self, view: str = "") -> Page:
        """To a view, by its address; waits until what comes after its heading is there."""
        self.page.goto(f"{self.url}#/{view}")
        kind, _, one = view.partition("/")
        self.page.locator(", ".join(f"main {mark}" for mark in _MARKS["call" if one else kind])).first.wait_for()
        return self.page

    @property
    def asked_elsewhere(self) -> list[str]:
        own = urlsplit(self.url).netloc
        return [url for url in self.asked if urlsplit(url).netloc != own and not url.startswith(("blob:", "data:"))]

    def close(self) -> None:
        self.context.close()


def axe() -> str:
    """The checker's source: axe-core, as npm has it, in a package of the extra `test`."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        missing("axe-core is not installed (extra `test`)")
    return Path(found.origin).with_name("axe.min.js").read_text("utf-8")


def violations(page: Page, source: str) -> list[str]:
    """What axe calls serious or critical, in a line each."""
    page.evaluate(source)  # over the debugger, so the page's policy does not see it
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['impact']} {one['id']}: {node['html'][:160]} {node['failureSummary'][:300]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than the screen."""
    width: int = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width
