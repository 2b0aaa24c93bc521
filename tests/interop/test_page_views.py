"""The page against canned data: every view by its rules, in a real Chromium. The real SBC is in test_page.py."""

import os
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest

if find_spec("playwright") is None and not os.environ.get("SBC_TEST_NO_SKIP"):
    pytest.skip("playwright is not installed (extra `test`)", allow_module_level=True)

from playwright.sync_api import Browser, expect

from . import page_data
from .page_browser import DESK, PHONE, Watched, axe, chromium, sideways, violations
from .page_stub import PageStub

pytestmark = [pytest.mark.interop, pytest.mark.slow]

VIEWS = (
    "", "calls", "calls/c-0001", "peers", "peers/carrier-a/messages", "alarms", "records", "records/r-0003", "report",
    "charts",
)  # fmt: skip
Open = Callable[..., Watched]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def stub() -> Iterator[PageStub]:
    stub = PageStub()
    yield stub
    stub.stop()


@pytest.fixture
def window(browser: Browser, stub: PageStub) -> Iterator[Open]:
    """`window(scheme=…, size=…)`. At the end nothing may have been forbidden, failed, or asked for elsewhere."""
    opened: list[Watched] = []

    def open_(**options) -> Watched:
        opened.append(Watched(browser, stub.url, **options))
        return opened[-1]

    yield open_
    for watched in opened:
        watched.close()
        assert watched.complaints == []
        assert watched.asked_elsewhere == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_view(window: Open, scheme, size):
    source, watched = axe(), window(scheme=scheme, size=size)
    for view in VIEWS:
        page = watched.goes(view)
        found = violations(page, source)
        assert not found, f"{view}:\n" + "\n".join(found)


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_no_view_is_wider_than_the_screen(window: Open, width):
    watched = window(size={"width": width, "height": 700})
    for view in VIEWS:
        page = watched.goes(view)
        assert sideways(page) <= 0, view


def test_a_hostile_name_is_text_and_what_hides_in_it_is_seen(window: Open):
    watched = window()
    for view in ("", "calls", "calls/c-0003", "records", "calls/c-0001"):
        page = watched.goes(view)
        if view == "calls/c-0001":
            page.locator("[data-n='0']").click()
        expect(page.locator("main")).to_contain_text('<img src=x onerror="window.pwned=1">')
        assert page.evaluate("() => window.pwned === undefined && !document.querySelector('img, main script')")
        assert not re.search("[\u202e\u200b]", page.locator("body").inner_text())
    assert "⟨U+202E⟩" in watched.goes("").locator("main").inner_text()


def test_call_paths_say_used_bought_and_todays_peak(window: Open):
    page = window().goes()
    meter = page.get_by_role("meter", name="Call paths of carrier-a")
    expect(meter).to_have_attribute("aria-valuetext", "19 of 30 call paths used, 8 in and 11 out; today's peak 27")
    bar, peak = meter.bounding_box(), meter.locator(".peak").bounding_box()
    assert (peak["x"] + 1 - bar["x"]) / bar["width"] == pytest.approx(27 / 30, abs=0.02)


def test_one_way_audio_is_said_plainly_and_can_be_filtered(window: Open):
    page = window().goes("calls")
    expect(page.locator("[data-ref='c-0003'] .wrong")).to_contain_text("One-way audio: nothing heard from carrier-a")
    page.get_by_label("bad sound only").check()
    shown = page.locator("tr[data-ref]")
    expect(shown).to_have_count(3)
    assert shown.evaluate_all("rows => rows.map((row) => row.dataset.ref)") == ["c-0003", "c-0007", "c-0014"]


def test_calls_are_found_by_number_peer_and_state(window: Open):
    page = window().goes("calls")
    page.get_by_label("Search").fill("0012 office")
    expect(page.locator("tr[data-ref]")).to_have_count(1)
    page.get_by_label("Search").fill("")
    page.get_by_label("State").select_option("ringing")
    expect(page.locator("tr[data-ref]")).to_have_count(3)


def test_calls_come_change_and_go_while_one_looks(window: Open, stub: PageStub):
    page = window().goes("calls")
    expect(page.locator("tr[data-ref]")).to_have_count(24)
    stub.tell_calls([page_data.call(99, state="ringing"), page_data.call(1, state="ending")], gone=("c-0002",))
    expect(page.locator("[data-ref='c-0099']")).to_contain_text("ringing")
    expect(page.locator("[data-ref='c-0001']")).to_contain_text("ending")
    expect(page.locator("[data-ref='c-0001'] button")).to_have_count(0)
    expect(page.locator("[data-ref='c-0002']")).to_have_count(0)


def test_a_list_that_is_held_keeps_its_order_and_says_who_has_gone(window: Open, stub: PageStub):
    page = window().goes("calls")
    page.get_by_label("hold the list still").check()
    stub.tell_calls([page_data.call(99, started_at=page_data.ago(0))], gone=("c-0001",))
    first = page.locator("tr[data-ref]").first
    expect(first).to_contain_text("ended")
    assert first.get_attribute("data-ref") == "c-0001"
    expect(page.locator("[data-ref='c-0099']")).to_have_count(0)


def test_only_rows_whose_call_has_changed_are_touched(window: Open, stub: PageStub):
    page = window().goes("calls")
    page.locator(".calls tbody tr").first.wait_for()
    page.evaluate(
        """() => { window.touched = new Set();
        new MutationObserver((all) => { for (const one of all) {
          const at = one.target.nodeType === 1 ? one.target : one.target.parentElement;
          if (!at?.closest('.ticks')) window.touched.add(at?.closest('[data-ref]')?.dataset.ref ?? 'the table'); } })
        .observe(document.querySelector('.calls tbody'),
                 {subtree: true, childList: true, characterData: true, attributes: true}); }"""
    )
    stub.tell_calls([page_data.call(5, state="ringing")])
    expect(page.locator("[data-ref='c-0005']")).to_contain_text("ringing")
    assert page.evaluate("() => [...window.touched]") == ["c-0005"]


def test_an_action_asks_says_what_will_be_and_gives_focus_back(window: Open, stub: PageStub):
    page = window().goes("calls/c-0001")
    button = page.get_by_role("button", name="Hang up …")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Both sides of call c-0001 get a BYE")
    expect(dialog).to_contain_text("No other call is touched.")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(button).to_be_focused()
    assert stub.asked("DELETE", "calls/c-0001") == []
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Hang up").click()
    expect(dialog).to_contain_text("is being ended on both sides")
    assert len(stub.asked("DELETE", "calls/c-0001")) == 1


@pytest.mark.parametrize(
    ("view", "button", "verb", "order", "said"),
    [
        ("peers", "Busy out …", "Busy out", ("POST", "trunks/carrier-a/busyout"), "carrier-a is now busyout"),
        ("peers", "Restore …", "Restore", ("DELETE", "trunks/emergency/busyout"), "emergency is now up"),
        ("peers", "Drill …", "Start the drill", ("POST", "drill/office"), "office is now drill"),
        ("peers", "End the drill …", "End the drill", ("DELETE", "drill/branch"), "branch is now up"),
        ("", "Drain …", "Drain", ("POST", "drain"), "Draining: 24 calls up"),
    ],
)
def test_every_action_gives_its_order(window: Open, stub: PageStub, view, button, verb, order, said):
    page = window().goes(view)
    page.get_by_role("button", name=button, exact=True).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("What does not")
    dialog.get_by_role("button", name=verb, exact=True).click()
    expect(dialog).to_contain_text(said)
    assert len(stub.asked(*order)) == 1


def test_a_drain_takes_its_deadline_along_and_can_be_taken_back(window: Open, stub: PageStub):
    page = window().goes()
    page.get_by_role("button", name="Drain …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Deadline").fill("2h")
    dialog.get_by_role("button", name="Drain", exact=True).click()
    expect(dialog).to_contain_text("Draining")
    assert stub.asked("POST", "drain") == ['{"deadline":"2h"}']
    dialog.get_by_role("button", name="Close").click()
    stub.change(status=stub.state["status"] | {"draining": True, "ready": False})
    expect(page.get_by_role("banner")).to_contain_text("draining")
    page.get_by_role("button", name="Take the drain back …").click()
    dialog.get_by_role("button", name="Take new calls").click()
    expect(dialog).to_contain_text("New calls are taken again")
    assert len(stub.asked("DELETE", "drain")) == 1


def test_a_refused_reload_shows_every_problem_on_its_line(window: Open):
    page = window().goes()
    page.get_by_role("button", name="Reload policy …").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Reload", exact=True).click()
    expect(dialog.get_by_role("listitem")).to_have_count(2)
    expect(dialog.get_by_role("listitem").first).to_contain_text("policy/10-trunks.yaml:14:")
    expect(dialog).to_contain_text("the one in force stays")


def test_a_ping_shows_each_address(window: Open):
    page = window().goes("peers")
    page.get_by_role("button", name="Ping").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("answered 200 after 12.4 ms")
    expect(page.get_by_role("dialog")).to_contain_text("no answer yet")


def test_the_ladder_can_be_walked_read_selected_and_copied(window: Open):
    watched = window(permissions=["clipboard-read", "clipboard-write"])
    page = watched.goes("calls/c-0001")
    first = page.get_by_role("button", name="INVITE sdp, office to sbc at 0.000 s")
    first.focus()
    page.keyboard.press("ArrowDown")
    second = page.get_by_role("button", name="100 Trying (INVITE), sbc to office at 0.002 s")
    expect(second).to_be_focused()
    page.keyboard.press("Enter")
    message = page.get_by_role("region", name="sbc to office")
    expect(message).to_contain_text("SIP/2.0 100 Trying")
    expect(message).to_contain_text("udp · 192.0.2.1:5060 → 192.0.2.10:5060")
    message.get_by_role("button", name="Close").click()
    expect(second).to_be_focused()
    expect(page.locator(".remark").first).to_contain_text("via carrier-b, then carrier-a")
    page.get_by_role("button", name="Copy as text").click()
    expect(page.get_by_text("Copied as text.")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()").startswith("0.000  office -- INVITE --> sbc")
    page.evaluate("() => getSelection().selectAllChildren(document.querySelector('svg.body'))")
    assert "503 Service Unavailable (INVITE)" in page.evaluate("() => String(getSelection())")
    page.get_by_text("The ladder as text").click()
    expect(page.get_by_role("listitem").filter(has_text="0.021 s: carrier-b to SBC: 503")).to_have_count(1)


def test_a_token_is_asked_for_kept_out_of_addresses_and_goes_with_a_download(browser: Browser):
    stub = PageStub(token="a-token-of-the-policy")
    watched = Watched(browser, stub.url)
    try:
        page = watched.page
        page.goto(f"{stub.url}#/calls/c-0001")
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_text("The token was not accepted.")).to_be_visible()
        page.get_by_label("Token").fill("a-token-of-the-policy")
        page.keyboard.press("Enter")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download pcap").click()
        assert download.value.suggested_filename == "c-0001.pcap"
        assert download.value.path().read_bytes() == b"\xd4\xc3\xb2\xa1"
        assert not any("a-token" in url for url in watched.asked)
        assert page.evaluate("() => [localStorage.length, sessionStorage.length]") == [0, 1]
        assert watched.complaints == []
    finally:
        watched.close()
        stub.stop()


def test_a_lost_connection_is_said_with_its_age_and_ends_by_itself(window: Open, stub: PageStub):
    page = window().goes()
    expect(page.get_by_text("Connection lost.")).to_have_count(0)
    stub.is_silent = True
    stub.drop_readers()
    expect(page.get_by_text("Connection lost.")).to_be_visible()
    expect(page.locator(".lost")).to_contain_text(re.compile(r"last seen \d+ s ago; next try in \d+ s"))
    stub.is_silent = False
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_text("Connection lost.")).to_have_count(0)


def test_alarms_are_spoken_once_and_counted_in_the_title(window: Open, stub: PageStub):
    page = window().goes()
    news = page.get_by_role("status", name="Alarms")
    expect(page).to_have_title("(2) Overview – border-1")
    expect(news).to_be_empty()
    fresh = page_data.alarm("cdr.not_stored", "", "call records cannot be stored: disk full", 1)
    stub.change(alarms=[fresh, *stub.state["alarms"]])
    expect(news).to_have_text("1 new alarm: call records cannot be stored: disk full")
    expect(page).to_have_title("(3) Overview – border-1")
    news.evaluate("""(region) => { window.said = 0; new MutationObserver(() => window.said++)
        .observe(region, {subtree: true, childList: true, characterData: true}); }""")
    for count in range(2, 6):
        stub.change(alarms=[fresh | {"count": count}, *stub.state["alarms"][1:]])
    expect(page.locator(".alarms").first).to_contain_text("5 times")
    assert page.evaluate("() => window.said") == 0


def test_an_alarm_says_nothing_twice(window: Open, stub: PageStub):
    fields = {"peer": "carrier-b", "why": "no reply to OPTIONS", "attempts": 12}
    one = page_data.alarm("peer.down", "peer carrier-b", "No call can reach carrier-b: no reply to OPTIONS.", 9)
    page = window().goes("alarms")
    expect(page.locator(".alarms").first).to_be_visible()
    stub.change(alarms=[one | {"fields": fields}])
    expect(page.locator(".alarms").first).to_contain_text("No call can reach carrier-b: no reply")
    expect(page.locator(".alarms .fields")).to_have_text("attempts12")


def test_records_go_back_page_by_page_and_none_is_missed_or_shown_twice(window: Open):
    page, seen = window().goes("records"), []
    for number in (1, 2, 3):
        expect(page.get_by_text(f"page {number}, newest first")).to_be_visible()
        seen += page.locator("tbody th a").evaluate_all("all => all.map((a) => a.hash)")
        if number < 3:
            page.get_by_role("button", name="Next page").click()
    assert seen == [f"#/records/{cdr['ref']}" for cdr in reversed(page_data.CDRS)]
    expect(page.get_by_role("button", name="Next page")).to_have_count(0)


def test_records_are_searched_by_what_the_address_says(window: Open, stub: PageStub):
    page = window().goes("records")
    page.get_by_label("Number").fill("0004")
    page.get_by_label("Cause").select_option("unreachable")
    page.get_by_label("Order").select_option("oldest")
    page.get_by_label("Ended from").fill("2025-01-31T10:00")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody th a")).to_have_count(1)
    assert page.url.endswith("#/records?number=0004&cause=unreachable&since=2025-01-31T09%3A00%3A00.000Z&order=oldest")
    assert any("since=2025-01-31T09%3A00%3A00.000Z&limit=50" in path for _, path, _ in stub.orders)
    page.get_by_role("button", name="Details of").click()
    expect(page.locator("tr.extra")).to_contain_text("sip:carrier-a.example:5060")


def test_every_chart_has_a_table_and_is_drawn(window: Open):
    page = window().goes("charts")
    expect(page.locator(".plot canvas")).to_have_count(5)
    page.get_by_text("Call paths used as a table").click()
    table = page.get_by_role("table", name=re.compile("^Call paths used"))
    expect(table.get_by_role("columnheader")).to_have_text(["Minute", "carrier-a (30 bought)", "carrier-b (30 bought)"])
    expect(table.get_by_role("row")).to_have_count(61)


def test_it_can_be_used_with_the_keyboard_alone(window: Open):
    page = window().goes()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.get_by_role("link", name="Alarms").first.focus()
    page.keyboard.press("Enter")
    heading = page.get_by_role("heading", level=1, name="Alarms")
    expect(heading).to_be_focused()
    page.keyboard.press("Tab")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_times_are_local_or_utc_as_one_likes(window: Open):
    page = window().goes("records")
    first = page.locator("tbody time").first
    utc = first.get_attribute("datetime")[11:19]
    expect(first).not_to_have_text(utc)
    page.get_by_label("UTC").check()
    expect(first).to_contain_text(utc)


def test_a_peers_messages_beside_calls_are_a_ladder_with_the_time_of_day(window: Open):
    page = window().goes("peers")
    page.get_by_role("link", name="Messages beside calls of carrier-a").click()
    expect(page.get_by_role("heading", name="carrier-a: messages beside calls")).to_be_visible()
    expect(page.locator(".ladder .arrow")).to_have_count(2)
    expect(page.locator(".ladder svg.heads text")).to_have_text(["carrier-a", "sbc"])
    expect(page.locator(".ladder .remark")).to_contain_text("registration.rejected: 401")
    assert all(re.search(r"\d\d:\d\d:\d\d$", text) for text in page.locator(".ladder text.at").all_text_contents())
    page.locator(".ladder .arrow").first.click()
    expect(page.get_by_role("heading", name="sbc to carrier-a", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download pcap").click()
    assert download.value.suggested_filename == "carrier-a.pcap"
