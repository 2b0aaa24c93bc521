"""What an operator does to a running `sbc run`, and what it tells of itself: reload, a kill, alarms by webhook."""

import http.server
import json
import re
import signal
import socket
import sqlite3
import threading
import time

import pytest

PATIENCE = 20.0

pytestmark = [pytest.mark.loopback, pytest.mark.slow]


def limit(sbc):
    [path] = [path for path in sbc.get("/api/v1/paths")["paths"] if path["trunk"] == "carrier"]
    return path["limit"]


def trunk(sbc):
    [found] = [trunk for trunk in sbc.get("/api/v1/trunks")["trunks"] if trunk["name"] == "carrier"]
    return found


# --- reload -----------------------------------------------------------------------------------------------------------


def test_a_hangup_signal_puts_a_changed_cap_in_force(start):
    sbc = start(trunk=", call_paths: 4").ready()
    assert limit(sbc) == 4
    sbc.write_policy(trunk=", call_paths: 6")
    sbc.process.send_signal(signal.SIGHUP)
    sbc.until(lambda: sbc.events("reload.done"))
    assert limit(sbc) == 6


def test_a_policy_with_errors_changes_nothing_and_all_of_them_are_logged(start):
    sbc = start(trunk=", call_paths: 4").ready()
    sbc.write_policy(trunk=", call_paths: x, cps: y")
    sbc.process.send_signal(signal.SIGHUP)
    sbc.until(lambda: len(sbc.events("reload.refused")) == 2)
    assert all("policy.yaml:10:" in event["text"] for event in sbc.events("reload.refused"))
    assert limit(sbc) == 4
    sbc.process.send_signal(signal.SIGTERM)
    assert sbc.ends() == 0


def test_the_api_reloads_and_names_what_needs_a_restart(start):
    sbc = start(trunk=", call_paths: 4").ready()
    sbc.write_policy(ports="20000-20199", trunk=", call_paths: 5")
    said = sbc.ask("POST", "/api/v1/reload")
    assert said["status"] == 409
    (problem,) = said["problems"]
    assert re.fullmatch(rf"{sbc.policy}:\d+:\d+: (.*)", problem)[1] == (
        "media.ports: `20000-20199` instead of `20000-20999` needs a restart"
    )
    assert limit(sbc) == 4
    sbc.write_policy(ports="20000-20999")
    assert sbc.ask("POST", "/api/v1/reload")["summary"] == "trunks: ~ carrier"
    assert limit(sbc) == 5


# --- what survives ----------------------------------------------------------------------------------------------------


def test_an_order_survives_a_kill(start, tmp_path):
    first = start(data_dir=tmp_path / "data").ready()
    assert first.ask("POST", "/api/v1/trunks/carrier/busyout")["state"] == "busyout"
    kept = tmp_path / "data" / "state.db"
    first.until(lambda: sqlite3.connect(kept).execute("SELECT key FROM state").fetchall() == [("busyout/carrier",)])
    first.kill()

    second = start("two", data_dir=tmp_path / "data").ready()
    assert trunk(second)["state"] == "busyout"


def test_a_damaged_state_is_moved_aside_and_stops_nothing(start, tmp_path):
    folder = damaged(tmp_path / "data")
    sbc = start(data_dir=folder).ready()
    [event] = sbc.events("state.unreadable")
    assert event["alarm"]
    assert (folder / event["moved_to"]).read_bytes().startswith(b"no database")


# --- alarms -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def webhook():
    """A web server that takes posts and remembers them."""
    posts = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.posts = posts
        server.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_on_loopback_alone_nobody_is_told_what_the_kernel_engine_lacks(start):
    sbc = start().ready()
    [worker] = sbc.get("/api/v1/status")["media"]
    assert (worker["engine"], worker["reason"]) == ("userland", "")
    assert not sbc.events("media.engine")


def test_who_asks_for_the_kernel_engine_is_told_why_it_is_not(start, monkeypatch):
    monkeypatch.setenv("SBC_BPFFS", "/nowhere")
    sbc = start(ports="20000-20999, engine: kernel").ready()
    sbc.until(lambda: sbc.events("media.engine"))
    [line] = sbc.events("media.engine")
    assert (line["level"], line["engine"]) == ("warning", "userland")
    assert line["reason"]


def test_a_dead_trunk_and_its_return_are_posted(start, host, webhook):
    health = ", health: {options: 1s, retry: 200ms, timeout: 1s, fall: 2, rise: 1}"
    sbc = start(sbc=f', alerts: {{webhook: "{webhook.url}"}}', trunk=health).ready()
    until(lambda: webhook.posts)
    path, kind, body = webhook.posts[0]
    assert (path, kind) == ("/hook", "application/json")
    assert (body["event"], body["node"], body["peer"]) == ("peer.down", "test", "carrier")
    assert "refused" in body["why"]
    assert trunk(sbc)["state"] == "down"

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as carrier:
        carrier.bind((f"{host}.40", 5060))
        carrier.settimeout(PATIENCE)
        request, source = carrier.recvfrom(4096)
        assert request.startswith(b"OPTIONS sip:")
        lines = request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        kept = [line for line in lines if line.split(b":")[0] in {b"Via", b"From", b"To", b"Call-ID", b"CSeq"}]
        carrier.sendto(b"\r\n".join([b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""]), source)
        until(lambda: len(webhook.posts) > 1)
        assert webhook.posts[1][2]["event"] == "peer.up"


def damaged(folder):
    folder.mkdir()
    (folder / "state.db").write_bytes(b"no database at all" * 100)
    return folder


def test_an_alarm_of_the_runtime_is_posted(start, webhook, tmp_path):
    start(data_dir=damaged(tmp_path / "data"), sbc=f', alerts: {{webhook: "{webhook.url}"}}').ready()
    until(lambda: webhook.posts)
    assert webhook.posts[0][2]["event"] == "state.unreadable"


def test_a_dead_webhook_holds_up_nothing(start, tmp_path):
    sbc = start(data_dir=damaged(tmp_path / "data"), sbc=', alerts: {webhook: "http://127.0.0.1:9/"}').ready()
    sbc.until(lambda: sbc.events("alerts.not_posted"))
    assert sbc.get("/api/v1/status")["ready"]
    begun = time.monotonic()
    sbc.process.send_signal(signal.SIGTERM)
    assert sbc.ends() == 0
    assert time.monotonic() - begun < 8
