"""Makes the pictures of docs/howto/web-page.md from canned data:

python -m tests.interop.page_pictures docs/howto/pictures
"""

import sys
from pathlib import Path

from . import page_data
from .page_browser import Watched, chromium
from .page_stub import PageStub

_DESK = {"width": 1120, "height": 740}
_PHONE = {"width": 390, "height": 780}
_OCTETS = 150_000


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stub = PageStub()
    _make_plausible(stub)
    with chromium() as browser:
        for name, view, scheme, size in (
            ("overview", "", "light", _DESK),
            ("calls", "calls", "dark", _DESK),
            ("ladder", "calls/c-0001", "light", _DESK),
            ("phone", "", "light", _PHONE),
        ):
            watched = Watched(browser, stub.url, scheme=scheme, size=size)
            page = watched.goes(view)
            if name == "ladder":
                page.locator("[data-n='4']").click()
                page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
            page.wait_for_timeout(1200)
            path = folder / f"{name}.png"
            page.screenshot(path=path)
            assert path.stat().st_size < _OCTETS, path
            watched.close()
    stub.stop()


def _make_plausible(stub: PageStub) -> None:
    """Without the hostile caller: a picture is to show an ordinary bad day."""
    stub.calls["c-0003"] |= {"caller": "+14155550003"}
    stub.state["alarms"][1] |= {"text": "one-way audio: nothing heard from carrier-a"}
    for entry in stub.answers["GET calls/c-0001/trace"][1]["entries"]:
        if entry["message"]:
            entry["message"] = entry["message"].replace(page_data.HOSTILE, "Reception")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
