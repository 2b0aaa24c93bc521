"""What the admin API sees of the running program."""

from collections import Counter

import pytest

from sbc.b2bua.snapshot import CallView, EngineView, LoadView
from sbc.policy.load import Source, parse_policy
from sbc.runtime.driver import Driver
from sbc.runtime.view import ProgramView
from sbc.trace.recorder import Recorder

POLICY = b"""
interfaces:
  inside: {sip: ["udp:127.0.0.10:5060"], media: 127.0.0.10}
pbxs:
  office: {interface: inside, address: "sip:127.0.0.30:5060", dids: ["+14155550100"]}
routes:
  - {name: home, from: office, to: dids}
"""

QUALITY = {"ingress": [{"codec": "PCMU", "packets": 50, "engine": "kernel"}], "egress": []}
CALL = CallView("abc", "answered", "office", "carrier", None, "", "", 0.0, quality=QUALITY)


class Engine:
    def __init__(self):
        self.trace = Recorder()
        self.begun = 0

    def snapshot(self, now, newest=None):
        return EngineView("hq", ready=True, transactions=int(now))

    def load(self):
        self.begun += 30
        return LoadView(begun=self.begun)

    def call_view(self, ref):
        return CALL if ref == CALL.ref else None


@pytest.fixture
def view():
    engine, clock = Engine(), [100.0]
    view = ProgramView(
        engine,
        Driver(engine, lambda *_: None, now=lambda: 100.0),
        parse_policy([Source("policy.yaml", POLICY)]),
        Counter(tcp_unknown_source=2),
        now=lambda: clock[0],
        wall_at_zero=lambda: 1_000.0,
        tasks=lambda: 3,
        log_dropped=lambda: 5,
    )
    view.driver = view._driver
    view.clock = clock
    view.tapes = engine.trace
    return view


def test_the_engine_is_asked_when_somebody_asks(view):
    assert view.engine().transactions == 100


def test_drops_of_all_parts_are_in_one_list(view):
    view.driver.failures = 1
    runtime = view.runtime()
    assert runtime.tasks == 3
    assert runtime.dropped == (("engine_failure", 1), ("log_queue_full", 5), ("tcp_unknown_source", 2))


def test_the_load_of_the_last_seconds_and_minutes(view):
    view.sample()
    view.clock[0] = 105.0
    view.sample()
    assert view.runtime().calls_per_second == 6.0
    assert [sample.attempts for sample in view.history(10)] == [30]


def test_how_long_it_has_run(view):
    view.clock[0] = 160.0
    runtime = view.runtime()
    assert (runtime.started_at, runtime.uptime_seconds) == (1_100.0, 60.0)


@pytest.mark.parametrize(("beat_at", "alive"), [(99.0, True), (90.0, False)])
def test_a_loop_that_has_not_turned_for_long_is_not_alive(view, beat_at, alive):
    view.driver.beat_at = beat_at
    assert view.runtime().alive is alive


def test_a_ladder_is_drawn_of_a_call_that_is_remembered(view):
    assert view.ladder("abc") is None
    view.tapes.note("abc", 1.0, "routed by home")
    view.tapes.begins("abc", 0, "office")
    assert "routed by home" in view.ladder("abc")
    assert view.ladder("abc").split()[:2] == ["office", "sbc"]


def test_why_asks_the_policy(view):
    why = view.why("office", "+14155550100", None)
    assert not why.refused
    assert "home" in why.text
    assert view.why("office", "+442079460000", None).refused
    with pytest.raises(ValueError, match="nobody"):
        view.why("nobody", "1", None)


def test_of_a_running_call_its_media_so_far_is_told(view):
    view.tapes.note("abc", 1.0, "routed by home")
    view.tapes.begins("abc", 0, "office")
    found = view.trace("abc")
    assert found.running
    assert found.peers == {"ingress": "office"}
    assert found.wall_at_zero == 1_000.0
    assert "media from office: PCMU, 50 packets, relayed by the kernel" in str(found.entries[-1].note)
    assert "routed by home" in view.ladder("abc")


def test_of_a_call_that_is_over_only_its_tape_is_told(view):
    view.tapes.note("abc", 1.0, "routed by home")
    view.tapes.end("abc", failed=True, at=2.0)
    found = view.trace("abc")
    assert not found.running
    assert len(found.entries) == 1
    assert view.trace("nobody") is None
