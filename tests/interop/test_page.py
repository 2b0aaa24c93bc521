"""The page of a real `sbc run` in a real Chromium, with 200 live calls: quick, with no request elsewhere, obeyed."""

import os
import re
import socket
import statistics
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("playwright") is None and not os.environ.get("SBC_TEST_NO_SKIP"):
    pytest.skip("playwright is not installed (extra `test`)", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect

from . import page_data
from .children import until
from .node import Node
from .page_browser import DESK, PHONE, Watched, axe, chromium, sideways, violations
from .page_stub import PageStub
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CALLS = 200
_TALK_MS = 150_000
_BRANCH = 'pbxs: {{branch: {{interface: inside, address: "sip:{net}.31:5060", dids: ["+14155550200"]}}}}'
_CLICKS = 16  # an even number, so that what is switched on is off again
# Times from a click to the frame that shows what came of it, by the page's own clock.
_CLICK_TIMES = """async ([selector, clicks]) => {
  const times = [];
  for (let n = 0; n < clicks; n++) {
    await new Promise((done) => setTimeout(done, 150 + 37 * (n % 4)));
    const start = performance.now();
    document.querySelector(selector).click();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    times.push(performance.now() - start);
  }
  return times;
}"""


class PageNode(Node):
    """Its admin API is on TCP, because no browser speaks over a Unix socket."""

    def start(self) -> None:
        where = f"{self.inside}:8088"
        path = self.folder / "policy" / "all.yaml"
        path.write_text(path.read_text().replace(f"admin: unix:{self.admin}", f"admin: {where}"))
        self.url = f"http://{where}/"
        super().start()
        until(self._is_listening, "the admin API", 10)

    def _is_listening(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex((self.inside, 8088)) == 0

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path.lstrip("/"), timeout=10) as answer:
            body: bytes = answer.read()
        return body


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def live(request, net: str, tmp_path, started) -> PageNode:
    """An SBC with 200 calls that are up."""
    node = started(
        PageNode(
            tmp_path,
            inside=f"{net}.10",
            outside=f"{net}.20",
            pbx=f"{net}.30",
            carrier=f"{net}.40",
            trunk_more="call_paths: 300",
            more=_BRANCH.format(net=net),
        )
    )
    request.node.nodes = [node]
    started(Sipp("carrier", "uas", tmp_path, local=node.carrier, calls=CALLS + 50, more=("-l", "400")))
    to, lasting = f"{node.inside}:5060", {"calls": CALLS, "rate": 50, "talk_ms": _TALK_MS}
    started(Sipp("pbx", "uac", tmp_path, local=node.pbx, remote=to, more=("-l", "400"), **lasting))
    until(lambda: node.status()["calls"] == CALLS, f"{CALLS} calls", 30, node.status)
    return node


def test_with_200_live_calls_it_is_quick_asks_nobody_else_and_axe_is_content(live: PageNode, browser: Browser):
    source, watched = axe(), Watched(browser, live.url)
    page = watched.goes("calls")
    expect(page.locator("tr[data-ref]")).to_have_count(CALLS)
    _is_quick(browser, page)
    page.locator("tr[data-ref] a").first.click()
    page.locator("svg.body [role=button]").first.click()
    expect(page.locator(".message pre")).to_contain_text("INVITE sip:")
    page.locator(".remark").first.wait_for()
    ref = page.url.rpartition("/")[2]
    for scheme, size in (("light", DESK), ("dark", PHONE)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size(size)
        for view in ("", "calls", f"calls/{ref}", "peers", "alarms", "records", "report", "charts"):
            watched.goes(view)
            found = violations(page, source)
            assert not found, f"{scheme} {view}:\n" + "\n".join(found[:10])
            assert sideways(page) <= 0, view
    with page.expect_download() as download:
        watched.goes(f"calls/{ref}").get_by_role("link", name="Download pcap").click()
    assert download.value.path().read_bytes()[:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x0a\x0d\x0d\x0a")
    watched.close()
    assert watched.asked
    assert watched.asked_elsewhere == []
    assert watched.complaints == []
    assert live.complaints() == []


def test_500_calls_that_all_change_every_second_can_still_be_worked_with(browser: Browser):
    stub = PageStub()
    stub.calls = {call["ref"]: call for call in page_data.calls(500)}
    watched = Watched(browser, stub.url)
    try:
        page = watched.goes("calls")
        expect(page.locator("tr[data-ref]")).to_have_count(500)
        page.evaluate(
            """() => { window.blocked = 0; window.from = performance.now();
            new PerformanceObserver((all) => { for (const one of all.getEntries()) window.blocked += one.duration; })
            .observe({type: 'longtask'}); }"""
        )
        for second in range(4):
            stub.tell_calls([_moved(call, second) for call in stub.calls.values()])
            page.wait_for_timeout(1000)
        _is_quick(browser, page, 8)
        share = page.evaluate("() => window.blocked / (performance.now() - window.from)")
        print(f"long tasks took {100 * share:.0f} % of the time")
        assert share < 0.5
        page.get_by_label("Search").fill("0444")
        expect(page.locator("tr[data-ref]")).to_have_count(1)
    finally:
        watched.close()
        stub.stop()
    assert watched.complaints == []


def test_every_action_works_and_is_seen_in_the_sbc(live: PageNode, browser: Browser):
    watched = Watched(browser, live.url)
    page = watched.goes("calls")
    ref = page.locator("tr[data-ref]").first.get_attribute("data-ref")
    page.locator(f"[data-ref='{ref}'] button").click()
    _confirms(page, "Hang up", "is being ended")
    expect(page.locator(f"[data-ref='{ref}']")).to_have_count(0)
    until(
        lambda: [cdr["cause"] for cdr in live.cdrs() if cdr["ref"] == ref] == ["operator"], "its record", 5, live.cdrs
    )
    assert live.status()["calls"] == CALLS - 1

    page = watched.goes("peers")
    _orders(page, "carrier-a", "Busy out …", "Busy out", "carrier-a is now busyout")
    until(lambda: _state(live, "trunks", "carrier-a") == "busyout", "the busy-out")
    _orders(page, "carrier-a", "Restore …", "Restore", "carrier-a is now")
    until(lambda: _state(live, "trunks", "carrier-a") != "busyout", "the trunk to be back")
    _orders(page, "branch", "Drill …", "Start the drill", "branch is now drill")
    until(lambda: _state(live, "pbxs", "branch") == "drill", "the drill")
    _orders(page, "branch", "End the drill …", "End the drill", "branch is now")
    until(lambda: _state(live, "pbxs", "branch") != "drill", "the end of the drill")

    page = watched.goes()
    page.get_by_role("button", name="Drain …").click()
    _confirms(page, "Drain", f"Draining: {CALLS - 1} calls up")
    until(lambda: not live.status()["ready"], "the drain")
    expect(page.get_by_role("banner")).to_contain_text("draining")
    page.get_by_role("button", name="Take the drain back …").click()
    _confirms(page, "Take new calls", "New calls are taken again")
    until(lambda: live.status()["ready"], "the end of the drain")
    expect(page.get_by_role("banner")).to_contain_text("ready")

    live.change("call_paths: 300", "call_paths: 250")
    page.get_by_role("button", name="Reload policy …").click()
    _confirms(page, "Reload", "The new policy is in force.")
    until(lambda: live.limits()["carrier-a"] == 250, "the new limit")
    expect(page.get_by_role("meter", name="Call paths of carrier-a")).to_have_attribute("aria-valuetext", _of(250))
    live.change("call_paths: 250", "call_paths: many")
    page.get_by_role("button", name="Reload policy …").click()
    _confirms(page, "Reload", "the one in force stays", "all.yaml:22:17: `many` is not a number")
    assert live.limits()["carrier-a"] == 250
    assert live.status()["calls"] == CALLS - 1, "none of this may touch another call"
    watched.close()
    assert watched.complaints == []
    assert watched.asked_elsewhere == []


def test_it_says_when_the_sbc_is_gone_and_comes_back_with_it(net: str, tmp_path, started, browser: Browser):
    node = started(PageNode(tmp_path, inside=f"{net}.10", outside=f"{net}.20", pbx=f"{net}.30", carrier=f"{net}.40"))
    watched = Watched(browser, node.url)
    page = watched.goes()
    expect(page.get_by_role("banner")).to_contain_text("ready")
    node.child.stop()
    expect(page.get_by_text("Connection lost.")).to_be_visible()
    node.start()
    expect(page.get_by_text("Connection lost.")).to_have_count(0, timeout=20_000)
    watched.close()


def _is_quick(browser: Browser, page: Page, times: int = 4) -> None:
    """A click that takes rows away or brings them back is shown within so many times what a click takes in an empty
    window, on this machine, now; two frames of the screen are always allowed. The lower quartile of each: what else the
    machine does can only add.
    """
    empty = browser.new_page()
    empty.set_content("<button onclick='this.textContent += 1'>x</button>")
    idle = statistics.quantiles(empty.evaluate(_CLICK_TIMES, ["button", _CLICKS]))[0]
    empty.close()
    busy = statistics.quantiles(page.evaluate(_CLICK_TIMES, [".filters [type=checkbox]", _CLICKS]))[0]
    print(f"a click is shown after {busy:.0f} ms, in an empty window after {idle:.0f} ms")
    assert busy <= times * max(idle, 33), (busy, idle)


def _moved(call: dict[str, Any], second: int) -> dict[str, Any]:
    quality = call["quality"]
    rows = [row | {"packets": row["packets"] + 50 * second, "jitter_ms": second} for row in quality["ingress"]]
    return call | {"quality": quality | {"ingress": rows}}


def _orders(page: Page, peer: str, button: str, verb: str, said: str) -> None:
    page.get_by_role("article", name=peer).get_by_role("button", name=button, exact=True).click()
    _confirms(page, verb, said)


def _confirms(page: Page, verb: str, *said: str) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=verb, exact=True).click()
    for text in said:
        expect(dialog).to_contain_text(text)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


def _state(node: Node, kind: str, name: str) -> str:
    return next(str(peer["state"]) for peer in node.ask(kind)[kind] if peer["name"] == name)


def _of(limit: int) -> Any:
    return re.compile(rf"^{CALLS - 1} of {limit} call paths used")
