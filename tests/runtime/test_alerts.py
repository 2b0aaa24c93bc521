"""Alarms on their way to the webhook: what is posted, how often, how long it is tried, and what it never holds up."""

import errno
import json
import socket
import ssl
import threading
from collections import Counter

import pytest
import structlog
import trio

from sbc.core.commands import Alert
from sbc.policy.load import Source, parse_policy
from sbc.runtime.alerts import Alerts

POLICY = """
interfaces: {{lan: {{sip: [udp:127.0.0.1:5060], media: 127.0.0.1}}}}
trunks: {{{trunk}: {{interface: lan, servers: ["sip:127.0.0.2"]}}}}
"""

URL = "https://hooks.example/secret"
WALL = 1_738_314_000.125  # 2025-01-31T09:00:00.125Z


def quickstart(trunk):
    return parse_policy([Source("p.yaml", POLICY.format(trunk=trunk).encode())])


class Answer:
    def __init__(self, status):
        self.status_code = status


class Webhook:
    """`says`: a status, an exception, or None for silence."""

    def __init__(self):
        self.says = 200
        self.posts = []
        self.tried_at = []
        self.closed = False

    async def post(self, url, *, content, headers):
        self.tried_at.append(trio.current_time())
        assert headers == {"Content-Type": "application/json"}
        if self.says is None:
            await trio.sleep_forever()
        if isinstance(self.says, Exception):
            raise self.says
        if 200 <= self.says < 300:
            self.posts.append((url, json.loads(content)))
        return Answer(self.says)

    async def aclose(self):
        self.closed = True

    @property
    def bodies(self):
        return [body for _, body in self.posts]

    @property
    def events(self):
        return [body["event"] for body in self.bodies]


@pytest.fixture
def webhook():
    return Webhook()


@pytest.fixture
async def alerts(webhook, nursery):
    async def client():
        return webhook

    started = trio.current_time()
    made = Alerts(
        "hq",
        URL,
        Counter(),
        wall=lambda: WALL + trio.current_time() - started,
        now=lambda: trio.current_time() - started,
        open_client=client,
    )
    await nursery.start(made.run)
    return made


async def settle(seconds=0.01):
    await trio.sleep(seconds)


async def test_an_alert_of_the_engine_is_posted_as_it_is_with_its_numbers(alerts, autojump_clock, webhook):
    alerts.perform(Alert("call.emergency", (("ref", "abc"), ("caller", "+14155550100"), ("called", "911"))))
    await settle()
    assert webhook.posts == [
        (
            URL,
            {
                "event": "call.emergency",
                "at": "2025-01-31T09:00:00.125Z",
                "node": "hq",
                "ref": "abc",
                "caller": "+14155550100",
                "called": "911",
            },
        )
    ]
    assert alerts.waiting == 0


async def test_every_emergency_call_is_posted(alerts, autojump_clock, webhook):
    for ref in "abc":
        alerts.perform(Alert("call.emergency", (("ref", ref),)))
    await settle()
    assert [body["ref"] for body in webhook.bodies] == ["a", "b", "c"]


async def test_a_log_line_is_posted_if_it_is_an_alarm_and_masked_as_the_log_is(alerts, autojump_clock, webhook):
    alerts.notice("call.ended", {"ref": "abc"})
    alerts.notice("odd.line", {"alarm": False})
    alerts.notice("peer.down", {"alarm": True, "peer": "office", "why": "no answer for +14155550100", "odd": None})
    await settle()
    [body] = webhook.bodies
    assert (body["event"], body["peer"], body["why"]) == ("peer.down", "office", "no answer for …00")
    assert not {"alarm", "odd"} & body.keys()


async def test_fields_can_be_anything_and_cannot_replace_the_head(alerts, autojump_clock, webhook):
    fields = {"event": "x", "node": "y", "n": 1 << 80, "f": float("nan"), "s": "\udcff", "long": "z" * 9_999, "o": URL}
    alerts.notice("media.worker_died", fields | {"alarm": True, "is": True, "t": (1, 2)})
    await settle()
    [body] = webhook.bodies
    assert (body["event"], body["node"], body["is"], body["t"], body["f"]) == (
        "media.worker_died", "hq", True, "1, 2", None,
    )  # fmt: skip
    assert body["s"] == "\\udcff"
    assert len(body["long"]) == 2_000


async def test_the_same_alarm_is_posted_once_in_five_minutes_and_then_says_how_often(alerts, autojump_clock, webhook):
    for _ in range(10):
        alerts.notice("cdr.not_stored", {"alarm": True, "records": 1})
        await settle(20.0)
    assert webhook.events == ["cdr.not_stored"]
    await settle(101.0)
    alerts.notice("cdr.not_stored", {"alarm": True, "records": 1})
    await settle()
    assert [body.get("repeated") for body in webhook.bodies] == [None, 9]


async def test_alarms_of_different_subjects_are_different_and_those_of_different_calls_are_not(
    alerts, autojump_clock, webhook
):
    for peer in ("a", "b"):
        alerts.notice("peer.down", {"alarm": True, "peer": peer})
    for ref in ("x", "y"):
        alerts.notice("media.ports_exhausted", {"alarm": True, "ref": ref, "local": "192.0.2.1"})
    await settle()
    assert webhook.events == ["peer.down", "peer.down", "media.ports_exhausted"]


async def test_what_clears_an_alarm_is_posted_and_the_next_one_is_new(alerts, autojump_clock, webhook):
    alerts.notice("peer.up", {"peer": "a"})  # nobody was told that it was down
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    alerts.notice("peer.up", {"peer": "b"})
    alerts.notice("peer.up", {"peer": "a"})
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    await settle()
    assert webhook.events == ["peer.down", "peer.up", "peer.down"]


async def test_what_is_not_taken_is_tried_again_with_growing_pauses(alerts, autojump_clock, webhook):
    webhook.says = OSError("no route to host")
    begun = trio.current_time()
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    await settle(200.0)
    pauses = [round(at - begun, 3) for at in webhook.tried_at]
    assert pauses == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    assert alerts.waiting == 1
    webhook.says = 204
    await settle(60.0)
    assert webhook.events == ["peer.down"]
    assert webhook.bodies[0]["at"] == "2025-01-31T09:00:00.125Z"  # when it was said
    assert alerts._drops == {}


@pytest.mark.parametrize("says", [503, 429, None])
async def test_a_busy_or_silent_webhook_is_tried_again(alerts, autojump_clock, webhook, says):
    webhook.says = says
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    await settle(10.5)
    webhook.says = 200
    await settle(10.0)
    assert webhook.events == ["peer.down"]


def beneath(cause):
    error = RuntimeError("https://alerts.example/secret-path")
    error.__cause__ = ExceptionGroup("", [cause])
    return error


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "secret"), "connection refused"),
        (OSError(errno.ENETUNREACH, "secret"), "network is unreachable"),
        (socket.gaierror(socket.EAI_NONAME, "secret"), "its name has no address"),
        (ssl.SSLCertVerificationError(), "TLS: no reason given"),
        (ValueError("secret"), "RuntimeError"),
    ],
)
async def test_why_it_was_not_taken_is_said_without_the_url(alerts, autojump_clock, webhook, cause, reason):
    webhook.says = beneath(cause)
    with structlog.testing.capture_logs() as said:
        alerts.notice("peer.down", {"alarm": True, "peer": "a"})
        await settle()
    assert [line["reason"] for line in said if line["event"] == "alerts.not_posted"] == [reason]
    assert "secret" not in str(said)


async def test_after_an_hour_nobody_needs_it_any_more(alerts, autojump_clock, webhook):
    webhook.says = 500
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    with structlog.testing.capture_logs() as said:
        await settle(3_700.0)
    assert alerts.waiting == 0
    assert alerts._drops == {"alerts_not_posted": 1}
    assert said[-1]["event"] == "alerts.dropped"
    assert said[-1]["reason"] == "the webhook said 500"


@pytest.mark.parametrize("status", [302, 400, 404])
async def test_a_refusal_for_good_holds_up_no_others(alerts, autojump_clock, webhook, status):
    webhook.says = status
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    await settle()
    webhook.says = 200
    alerts.notice("peer.down", {"alarm": True, "peer": "b"})
    await settle()
    assert [body["peer"] for body in webhook.bodies] == ["b"]
    assert alerts._drops == {"alerts_not_posted": 1}


# BOUND: ALERTS
async def test_the_queue_is_bounded_and_the_oldest_goes_first(alerts, autojump_clock, webhook, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.ALERTS", 3)
    webhook.says = 503
    for n in range(6):
        alerts.perform(Alert("call.emergency", (("ref", str(n)),)))
        await settle()
    webhook.says = 200
    await settle(10.0)
    assert [body["ref"] for body in webhook.bodies] == ["0", "3", "4", "5"]  # the first was on its way
    assert alerts._drops == {"alerts_not_posted": 2}


# BOUND: ALARMS
async def test_remembered_subjects_are_bounded(alerts, autojump_clock, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.ALARMS", 5)
    for n in range(50):
        alerts.notice("peer.down", {"alarm": True, "peer": str(n)})
    assert len(alerts.alarms()) == 5


async def test_alarms_come_from_any_thread(alerts, autojump_clock, webhook):
    alerts._wall, alerts._now = lambda: WALL, lambda: 0.0
    threads = [
        threading.Thread(target=alerts.notice, args=("peer.down", {"alarm": True, "peer": str(n)})) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await settle()
    assert len(webhook.posts) == 20


async def test_a_reload_changes_where_posts_go_at_once_those_that_wait_too(alerts, autojump_clock, webhook):
    webhook.says = 503
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    await settle(40.0)
    webhook.says = 200
    alerts.set_webhook("https://other.example/")
    await settle()
    assert [url for url, _ in webhook.posts] == ["https://other.example/"]

    webhook.says = 503
    alerts.notice("peer.down", {"alarm": True, "peer": "b"})
    await settle()
    alerts.set_webhook(None)
    await settle()
    assert alerts.waiting == 0
    webhook.says = 200
    alerts.notice("peer.down", {"alarm": True, "peer": "c"})
    alerts.perform(Alert("call.emergency"))
    await settle(100.0)
    assert len(webhook.posts) == 1


async def test_a_policy_without_a_webhook_posts_nothing_and_still_knows_its_alarms():
    alerts = Alerts("hq", None, Counter())
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    alerts.notice("peer.down", {"alarm": True, "peer": "b"})
    alerts.notice("peer.up", {"peer": "a"})
    alerts.perform(Alert("call.emergency", (("ref", "x"), ("called", "911"))))
    assert alerts.waiting == 0
    assert {(one.event, one.subject, one.is_active) for one in alerts.alarms()} == {
        ("peer.down", "peer a", False),
        ("peer.down", "peer b", True),
        ("call.emergency", "ref x", True),
    }


async def test_a_new_webhook_is_told_what_is_wrong_now(nursery, autojump_clock, webhook):
    async def client():
        return webhook

    alerts = Alerts("hq", None, Counter(), now=trio.current_time, open_client=client)
    await nursery.start(alerts.run)
    alerts.notice("peer.down", {"alarm": True, "peer": "a", "why": "no answer"})
    alerts.notice("peer.down", {"alarm": True, "peer": "b"})
    alerts.notice("peer.up", {"peer": "b"})
    alerts.set_webhook(URL)
    alerts.set_webhook(URL)
    await settle()
    assert [(body["event"], body["peer"], body["why"]) for body in webhook.bodies] == [("peer.down", "a", "no answer")]


async def test_that_the_webhook_fails_is_an_alarm_on_the_board_and_not_posted_to_it(alerts, autojump_clock, webhook):
    webhook.says = 503
    say = structlog.testing.capture_logs
    with say() as said:
        alerts.notice("peer.down", {"alarm": True, "peer": "a"})
        await settle(2.0)
    [line] = [line for line in said if line["event"] == "alerts.not_posted"]
    alerts.notice(line["event"], line)
    assert [one.event for one in alerts.alarms() if one.is_active] == ["alerts.not_posted", "peer.down"]
    webhook.says = 200
    with say() as said:
        await settle(10.0)
    alerts.notice(said[0]["event"], said[0])
    await settle()
    assert [one.event for one in alerts.alarms() if one.is_active] == ["peer.down"]
    assert webhook.events == ["peer.down"]


async def test_after_a_reload_alarms_of_what_is_gone_are_over(alerts, autojump_clock):
    policy = quickstart(trunk="a")
    for trunk in ("a", "b"):
        alerts.notice("registration.failing", {"alarm": True, "trunk": trunk})
        alerts.notice("peer.down", {"alarm": True, "peer": trunk})
    alerts.notice("interface.down", {"alarm": True, "interface": "nowhere"})
    for local in ("127.0.0.1", "192.0.2.9"):
        alerts.notice("media.no_ports", {"alarm": True, "local": local})
    alerts.set_policy(policy)
    assert {(one.event, one.subject) for one in alerts.alarms() if one.is_active} == {
        ("media.no_ports", "local 127.0.0.1"),
        ("peer.down", "peer a"),
    }


async def test_a_clock_that_is_set_at_boot_makes_no_alarm_too_old_to_be_posted(nursery, autojump_clock, webhook):
    wall = [86_400.0]

    async def client():
        return webhook

    alerts = Alerts("hq", URL, Counter(), wall=lambda: wall[0], now=trio.current_time, open_client=client)
    await nursery.start(alerts.run)
    webhook.says = OSError("no network yet")
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    await settle(0.5)
    wall[0] = WALL
    await settle(5.0)
    webhook.says = 200
    await settle(60.0)
    assert webhook.events == ["peer.down"]


async def test_a_client_that_cannot_be_made_ends_nothing(nursery, autojump_clock):
    async def client():
        raise OSError("no descriptor")

    alerts = Alerts("hq", URL, Counter(), now=trio.current_time, open_client=client)
    await nursery.start(alerts.run)
    alerts.notice("peer.down", {"alarm": True, "peer": "a"})
    await settle(100.0)
    assert alerts.waiting == 1


async def test_the_url_which_often_is_a_secret_does_not_stand_in_the_log(alerts, autojump_clock, webhook):
    webhook.says = OSError(f"cannot reach {URL}")
    with structlog.testing.capture_logs() as said:
        alerts.notice("peer.down", {"alarm": True, "peer": "a"})
        await settle(4_000.0)
    assert {line["event"] for line in said} == {"alerts.not_posted", "alerts.dropped"}
    assert "secret" not in str(said)


async def test_a_worker_that_runs_again_clears_its_own_alarm_and_no_other(alerts, autojump_clock, webhook):
    for worker in (0, 1):
        alerts.notice("media.worker_died", {"alarm": True, "worker": worker})
    alerts.notice("media.worker_started", {"worker": 0})
    await settle()
    assert [(body["event"], body["worker"]) for body in webhook.bodies] == [
        ("media.worker_died", 0),
        ("media.worker_died", 1),
        ("media.worker_started", 0),
    ]
