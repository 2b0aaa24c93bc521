"""What the admin API sees of the running program."""

from collections import Counter

import pytest

from sbc.b2bua.snapshot import EngineView
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


class Engine:
    def __init__(self):
        self.trace = Recorder()

    def snapshot(self, now):
        return EngineView("hq", ready=True, transactions=int(now))


@pytest.fixture
def view():
    engine = Engine()
    view = ProgramView(
        engine,
        Driver(engine, lambda *_: None, now=lambda: 100.0),
        parse_policy([Source("policy.yaml", POLICY)]),
        Counter(tcp_unknown_source=2),
        now=lambda: 100.0,
        tasks=lambda: 3,
        log_dropped=lambda: 5,
    )
    view.driver = view._driver
    view.trace = engine.trace
    return view


def test_the_engine_is_asked_when_somebody_asks(view):
    assert view.engine().transactions == 100


def test_drops_of_all_parts_are_in_one_list(view):
    view.driver.failures = 1
    runtime = view.runtime()
    assert runtime.tasks == 3
    assert runtime.dropped == (("engine_failure", 1), ("log_queue_full", 5), ("tcp_unknown_source", 2))


@pytest.mark.parametrize(("beat_at", "alive"), [(99.0, True), (90.0, False)])
def test_a_loop_that_has_not_turned_for_long_is_not_alive(view, beat_at, alive):
    view.driver.beat_at = beat_at
    assert view.runtime().alive is alive


def test_a_ladder_is_drawn_of_a_call_that_is_remembered(view):
    assert view.ladder("abc") is None
    view.trace.note("abc", 1.0, "routed by home")
    view.trace.begins("abc", 0, "office")
    assert "routed by home" in view.ladder("abc")
    assert view.ladder("abc").split()[:2] == ["office", "sbc"]


def test_why_asks_the_policy(view):
    why = view.why("office", "+14155550100", None)
    assert not why.refused
    assert "home" in why.text
    assert view.why("office", "+442079460000", None).refused
    with pytest.raises(ValueError, match="nobody"):
        view.why("nobody", "1", None)
