"""The admin API on real sockets, and the sockets themselves: permissions, left-overs, errors for operators."""

import socket
import stat
import threading
from contextlib import asynccontextmanager, closing
from functools import partial

import httpx2
import pytest
import trio
from msgspec import structs

from sbc.admin.exchange import problem
from sbc.b2bua.events import DrainOrdered, DrillOrdered, HangUpOrdered
from sbc.b2bua.snapshot import EngineView
from sbc.cdr.store import CdrWriter
from sbc.core import limits
from sbc.core.errors import OperatorError
from sbc.peering.views import PingView
from sbc.policy.changes import Change, Changes
from sbc.runtime.admin_socket import open_admin_socket
from sbc.runtime.http import serve_admin

from .state import CALL, StillState

pytestmark = pytest.mark.loopback


class Served:
    def __init__(self, address, orders):
        self.address = address
        self.orders = orders

    async def ask(self, path, method="GET", headers=None, content=None):
        uds = self.address.removeprefix("unix:") if self.address.startswith("unix:") else None
        base = "http://localhost" if uds else f"http://{self.address}"
        transport = httpx2.AsyncHTTPTransport(uds=uds)
        async with httpx2.AsyncClient(base_url=base, transport=transport) as client:
            return await client.request(method, path, headers=headers, content=content)


@asynccontextmanager
async def serving(folder, address="127.0.0.1:0", state=None, order=None, **options):
    orders = []
    start = partial(serve_admin, address, state or StillState(), order or orders.append, folder, **options)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(10):
            yield Served(await nursery.start(start), orders)
        nursery.cancel_scope.cancel()


async def test_the_api_is_served_over_tcp(tmp_path):
    async with serving(tmp_path) as served:
        assert (await served.ask("/api/v1/status")).json()["name"] == "hq"
        missing = await served.ask("/nowhere")
        assert missing.status_code == 404
        assert missing.headers["content-type"] == "application/problem+json"
        assert (await served.ask("/metrics")).headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.ipv6
async def test_the_api_is_served_over_ipv6(tmp_path):
    async with serving(tmp_path, "[::1]:0") as served:
        assert (await served.ask("/healthz")).status_code == 200


async def test_the_api_is_served_over_a_unix_socket_for_user_and_group_only(tmp_path):
    path = tmp_path / "admin"

    async with serving(tmp_path, f"unix:{path}") as served:
        assert served.address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert (await served.ask("/healthz")).status_code == 200

    assert not path.exists()


async def test_an_order_reaches_the_engine(tmp_path):
    async with serving(tmp_path) as served:
        reply = await served.ask(f"/api/v1/calls/{CALL.ref}", "DELETE")

    assert reply.status_code == 202
    assert served.orders == [HangUpOrdered(CALL.ref)]


# BOUND: ADMIN_BODY_OCTETS
async def test_a_drain_takes_its_deadline_from_the_query_or_the_body(tmp_path):
    async with serving(tmp_path) as served:
        assert (await served.ask("/api/v1/drain?deadline=1m", "POST")).status_code == 202
        assert (await served.ask("/api/v1/drain", "POST", content=b'{"deadline": "2m"}')).status_code == 202
        assert (await served.ask("/api/v1/drain", "POST", content=b"x" * 5000)).status_code == 413

    assert served.orders == [DrainOrdered(160.5, is_leaving=True), DrainOrdered(220.5, is_leaving=True)]


class Pinged(StillState):
    """Its first answer comes at once, its second when the state has been looked at three times."""

    def __init__(self):
        super().__init__()
        self.token = None
        self.looks = 0

    def order(self, event):
        assert event.peer == "carrier-a"
        self.token = event.token

    def engine(self):
        self.looks += 1
        late = (200, 12.5) if self.looks > 4 else (None, None)
        pings = () if self.token is None else (
            PingView(self.token, "s", "udp:192.0.2.1:5060", 200, 1.5),
            PingView(self.token, "s", "udp:192.0.2.2:5060", *late),
        )  # fmt: skip
        return structs.replace(super().engine(), pings=pings)


async def test_a_ping_waits_for_all_its_answers(tmp_path):
    state = Pinged()
    async with serving(tmp_path, state=state, order=state.order) as served:
        reply = await served.ask("/api/v1/peers/carrier-a/ping", "POST")

    assert [result["milliseconds"] for result in reply.json()["results"]] == [1.5, 12.5]


async def test_a_ping_does_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("sbc.admin.control.PING_SECONDS", 0.05)
    state = Pinged()
    state.looks = -9999
    async with serving(tmp_path, state=state, order=state.order) as served:
        reply = await served.ask("/api/v1/peers/carrier-a/ping", "POST")

    assert [result["status"] for result in reply.json()["results"]] == [200, None]


async def test_a_reload_is_done_or_refused_with_every_problem(tmp_path):
    problems = []

    async def reload():
        return problems or Changes(trunks=Change(added=("carrier-b",)))

    async with serving(tmp_path, reload=reload) as served:
        done = await served.ask("/api/v1/reload", "POST")
        problems += ["a.yaml:1:1: no", "b.yaml:1:1: no"]
        refused = await served.ask("/api/v1/reload", "POST")

    assert (done.status_code, done.json()["summary"]) == (200, "trunks: + carrier-b")
    assert (refused.status_code, refused.json()["problems"]) == (409, problems)


async def test_a_program_without_policy_files_cannot_reload(tmp_path):
    async with serving(tmp_path) as served:
        assert (await served.ask("/api/v1/reload", "POST")).status_code == 409


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:1"])
async def test_a_web_page_of_another_origin_gives_no_orders(tmp_path, origin):
    async with serving(tmp_path) as served:
        headers = {"origin": origin.format(own=served.address)}
        assert (await served.ask("/api/v1/drain", "POST", headers)).status_code == 403
        assert (await served.ask("/api/v1/status", "GET", headers)).status_code == 200
        for own in ({"origin": f"http://{served.address}"}, {"origin": origin, "sec-fetch-site": "same-origin"}):
            assert (await served.ask("/api/v1/drill/office", "POST", own)).status_code == 200

    assert served.orders == [DrillOrdered("office", on=True)] * 2


async def test_cdrs_come_from_the_store(tmp_path, record):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1"), record("r2", egress="carrier-b")])
        async with serving(tmp_path) as served:
            first = (await served.ask("/api/v1/cdrs?limit=1")).json()
            second = (await served.ask(f"/api/v1/cdrs?next={first['next']}")).json()
            trunk = (await served.ask("/api/v1/cdrs?trunk=carrier-b&last=5")).json()
            wrong = await served.ask("/api/v1/cdrs?next=nonsense")

    assert [shown["ref"] for shown in first["cdrs"]] == ["r1"]
    assert [shown["ref"] for shown in second["cdrs"]] == ["r2"]
    assert second["next"] is None
    assert [shown["ref"] for shown in trunk["cdrs"]] == ["r2"]
    assert wrong.status_code == 400


async def test_a_store_that_is_not_there_is_503(tmp_path):
    async with serving(tmp_path) as served:
        assert (await served.ask("/api/v1/cdrs")).status_code == 503


async def test_a_bug_is_500_and_the_server_goes_on(tmp_path):
    class Broken(StillState):
        def ladder(self, ref):
            raise RuntimeError(ref)

    async with serving(tmp_path, state=Broken()) as served:
        reply = await served.ask("/api/v1/calls/x/ladder")
        assert reply.status_code == 500
        assert reply.headers["content-type"] == "application/problem+json"
        assert (await served.ask("/healthz")).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8088", "127.0.0.1.evil.example", "[", "a:b:c"])
async def test_a_browser_that_was_lured_by_dns_rebinding_is_refused(tmp_path, host):
    async with serving(tmp_path) as served:
        assert (await served.ask("/api/v1/calls", headers={"host": host})).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8088", "127.0.0.1", "[::1]:8088", "[::1]", "LOCALHOST:1"])
async def test_own_names_are_served(tmp_path, host):
    async with serving(tmp_path) as served:
        assert (await served.ask("/api/v1/calls", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_a_client_that_stops_reading_does_not_hold_up_the_end(tmp_path, kind):
    many = StillState(EngineView("hq", ready=True, calls=(CALL,) * 20_000))
    address = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/admin"
    with socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) as stuck:
        if kind == "tcp":
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with serving(tmp_path, address, many) as served:
            host, _, port = served.address.removeprefix("unix:").rpartition(":")
            stuck.connect((host, int(port)) if kind == "tcp" else str(tmp_path / "admin"))
            stuck.sendall(b"GET /api/v1/calls HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await served.ask("/healthz")  # by now the answer to the other one is under way
            before_the_end = trio.current_time()

        assert trio.current_time() - before_the_end < 2.0


async def test_a_failure_of_the_web_server_costs_one_connection(tmp_path, monkeypatch):
    class Failing:
        def __init__(self, *_):
            pass

        def __await__(self):
            raise RuntimeError("no")

    async with serving(tmp_path) as served:
        with monkeypatch.context() as patched:
            patched.setattr("sbc.runtime.http_clients._Connection", Failing)
            with pytest.raises(httpx2.TransportError):
                await served.ask("/healthz")
        assert (await served.ask("/healthz")).status_code == 200


def test_a_taken_port_is_an_operators_error():
    with closing(open_admin_socket("127.0.0.1:0")) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OperatorError, match=f"admin 127.0.0.1:{port}: another program listens there already"):
            open_admin_socket(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8088", "sbc.example.com:8088"])
def test_an_address_that_is_not_loopback_needs_a_token(address):
    with pytest.raises(OperatorError, match="beyond loopback the API needs a token"):
        open_admin_socket(address)


def test_a_socket_left_by_a_crash_is_replaced(tmp_path):
    path = tmp_path / "admin"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()

    open_admin_socket(f"unix:{path}").close()


def test_a_socket_that_is_served_is_not_stolen(tmp_path):
    with (
        closing(open_admin_socket(f"unix:{tmp_path}/admin")),
        pytest.raises(OperatorError, match="listens there already"),
    ):
        open_admin_socket(f"unix:{tmp_path}/admin")


def test_a_file_at_the_sockets_path_is_left_as_it_is(tmp_path):
    path = tmp_path / "admin"
    path.write_text("notes")

    with pytest.raises(OperatorError, match="left as it is"):
        open_admin_socket(f"unix:{path}")

    assert path.read_text() == "notes"


def test_a_folder_that_does_not_exist_is_said(tmp_path):
    with pytest.raises(OperatorError, match="the folder does not exist"):
        open_admin_socket(f"unix:{tmp_path}/nowhere/admin")


# BOUND: CDR_QUESTION_SECONDS
async def test_a_question_that_takes_too_long_is_ended(tmp_path, record, monkeypatch):
    monkeypatch.setattr(limits, "CDR_QUESTION_SECONDS", -1.0)
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record(f"r{n}") for n in range(3000)])
        async with serving(tmp_path) as served:
            reply = await served.ask("/api/v1/cdrs?number=nobody")
    assert reply.status_code == 503
    assert "takes too long" in reply.json()["detail"]


# BOUND: CDR_READERS
async def test_only_so_many_questions_are_asked_at_a_time_and_more_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "CDR_READERS", 2)
    go_on, at_once, lock = threading.Event(), [], threading.Lock()

    def ask_store(_folder, _question):
        with lock:
            at_once.append(1)
        go_on.wait(5)
        return problem(503, "as this test wants it")

    monkeypatch.setattr("sbc.runtime.http._ask_store", ask_store)
    async with serving(tmp_path) as served, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(served.ask, "/api/v1/cdrs")
        while len(at_once) < 2:  # noqa: ASYNC110 - it is a count
            await trio.sleep(0.01)
        assert (await served.ask("/healthz")).status_code == 200, "and nothing else waits for them"
        assert len(at_once) == 2
        go_on.set()
    assert len(at_once) == 5
