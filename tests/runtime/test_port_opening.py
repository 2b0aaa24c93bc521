"""Media ports: an address on which none can be opened stops a start, and is an alarm later."""

import structlog

from sbc.b2bua.commands import HoldPorts, OpenPorts
from sbc.b2bua.events import PortsLost, PortsOpened
from sbc.policy.model import MediaSettings
from sbc.runtime.port_opening import PortOpening

INSIDE = "127.0.0.10"


class Pool:
    """`error`: what the system says; `free`: ports that it gives."""

    def __init__(self):
        self.error = None
        self.lost = []
        self.free = (10_000,)

    def open_ports(self, local, pairs):
        if self.error is not None:
            raise self.error
        return PortsOpened(local, self.free[:pairs])

    def hold_ports(self, local, ports):
        return self.lost, "somebody has them"

    def why_short(self):
        return "every one is in use"


def opening():
    pool, events = Pool(), []
    return pool, events, PortOpening(pool, MediaSettings(10_000, 10_999), events.append)


def test_what_is_opened_is_told_to_the_engine():
    _, events, ports = opening()
    ports.perform(OpenPorts(INSIDE, 1))

    assert events == [PortsOpened(INSIDE, (10_000,))]
    assert ports.started() == []


def test_no_port_at_the_start_is_a_problem_with_its_range_and_reason():
    pool, events, ports = opening()
    pool.free = ()
    ports.perform(OpenPorts(INSIDE, 1))

    assert ports.started() == [f"media.ports 10000-10999 on {INSIDE}: none can be opened: every one is in use"]
    assert events == [PortsOpened(INSIDE, ())]


def test_in_a_next_life_an_address_without_ports_is_an_alarm_and_stops_nothing():
    pool, _, _ = opening()
    ports = PortOpening(pool, MediaSettings(10_000, 10_999), [].append, is_restart=True)
    pool.error = OSError(99, "Cannot assign requested address")
    with structlog.testing.capture_logs() as log:
        ports.perform(OpenPorts(INSIDE, 1))

    assert ports.started() == []
    assert [(line["event"], line["alarm"]) for line in log] == [("media.no_ports", True)]


def test_an_address_that_is_lost_later_is_an_alarm_until_it_is_back():
    pool, events, ports = opening()
    ports.started()
    pool.error = OSError(99, "Cannot assign requested address")
    with structlog.testing.capture_logs() as log:
        ports.perform(OpenPorts(INSIDE, 1))
        pool.error = None
        ports.perform(OpenPorts(INSIDE, 1))
        ports.perform(OpenPorts(INSIDE, 1))

    assert [(line["event"], line.get("alarm", False)) for line in log] == [
        ("media.no_ports", True),
        ("media.ports_opened", False),
    ]
    assert events == [PortsOpened(INSIDE, ()), *[PortsOpened(INSIDE, (10_000,))] * 2]
    assert ports.started() == []


def test_ports_of_calls_that_go_on_are_held_without_a_word():
    _, events, ports = opening()
    ports.hold(HoldPorts(INSIDE, (10_000, 10_002)))
    assert events == []


def test_those_that_cannot_be_had_are_an_alarm_and_the_engine_is_told():
    pool, events, ports = opening()
    pool.lost = [10_002]
    with structlog.testing.capture_logs() as log:
        ports.hold(HoldPorts(INSIDE, (10_000, 10_002)))

    assert events == [PortsLost(INSIDE, (10_002,), "somebody has them")]
    assert [(line["event"], line["alarm"], line["pairs"]) for line in log] == [("media.ports_lost", True, 1)]
