"""The pages become HTML without a warning, links and anchors checked, and the HTML asks no other host for anything."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOADED = {"img": "src", "script": "src", "iframe": "src", "audio": "src", "video": "src", "source": "src"}
ELSEWHERE = re.compile(r"(?i)^\s*(?:[a-z][a-z0-9+.-]*:)?//")


class Requests(HTMLParser):
    """What a browser fetches by itself: pictures, scripts, style sheets; not links that can be followed."""

    def __init__(self):
        super().__init__()
        self.urls = []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if tag in LOADED:
            self.urls.append(named.get(LOADED[tag]) or "")
        if tag == "link" and "canonical" not in (named.get("rel") or ""):
            self.urls.append(named.get("href") or "")


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    missing = [name for name in ("sphinx", "myst_parser", "furo") if importlib.util.find_spec(name) is None]
    if missing:
        reason = f"not installed: {', '.join(missing)} (the extra `docs`)"
        (pytest.fail if os.environ.get("SBC_TEST_NO_SKIP") else pytest.skip)(reason)
    out = tmp_path_factory.mktemp("html")
    argv = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(out / "html")]
    done = subprocess.run([*argv, "-d", str(out / "trees")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return out / "html"


@pytest.mark.slow
def test_every_page_is_built(html):
    written = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(html).with_suffix("") for path in html.rglob("*.html")}
    assert len(written) > 20
    assert written - built == set()


@pytest.mark.slow
def test_no_page_asks_another_host_for_anything(html):
    asked = {}
    for page in html.rglob("*.html"):
        requests = Requests()
        requests.feed(page.read_text("utf-8"))
        assert requests.urls, f"{page} has no style sheet, so this test reads nothing"
        asked[page.name] = [url for url in requests.urls if ELSEWHERE.match(url)]
    for sheet in html.rglob("*.css"):
        urls = re.findall(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""", sheet.read_text("utf-8"))
        asked[sheet.name] = [url for pair in urls for url in pair if ELSEWHERE.match(url)]
    assert {name: urls for name, urls in asked.items() if urls} == {}


@pytest.mark.slow
def test_state_diagrams_are_drawn_not_shown_as_text(html):
    page = (html / "reference" / "state-diagrams.html").read_text("utf-8")
    assert page.count("<svg viewBox") == 4
    assert "stateDiagram-v2" not in page
