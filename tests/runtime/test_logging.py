"""Log lines: masked, in order, and never in the way."""

import io
import json
import logging
import threading

import pytest
import structlog

from sbc.b2bua.commands import Log
from sbc.runtime.logging import LogWriter, mask


def written(log_format="json", **how):
    """What a block of logging writes, as it is when the writer has ended."""
    stream = io.StringIO()
    return stream, LogWriter(stream, log_format, **how)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("call to +14155550100 ended", "call to …00 ended"),
        ("sip:02079460000@example.com", "sip:…00@example.com"),
        ("tel:+44-20-7946-0000", "tel:…00"),
        ("udp:127.0.0.10:20000 on 198.51.100.255", "udp:127.0.0.10:20000 on 198.51.100.255"),
        ("call h7k3pq2abc, 911, 1001", "call h7k3pq2abc, 911, 1001"),
        ("after 12.3456789 s", "after 12.3456789 s"),
    ],
)
def test_telephone_numbers_are_masked_and_nothing_else(text, shown):
    assert mask(text) == shown


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_octets_of_a_peer_cannot_command_the_terminal_or_break_the_line(log_format):
    stream, writer = written(log_format)
    with writer:
        writer.perform(Log("info", "odd", (("caller", "\x1b[2Jx"), ("text", "\x1b[31m\r\udcff\u2028\x9b1m"))))
    (line,) = stream.getvalue().splitlines()
    assert "\\x1b" in line
    assert line.isprintable()


def test_fields_that_hold_numbers_are_masked_however_short():
    stream, writer = written()
    with writer:
        writer.perform(Log("info", "call.started", (("ref", "abc"), ("caller", "2001"), ("called", "+14155550100"))))
    (line,) = lines(stream)
    assert line["event"] == "call.started"
    assert line["level"] == "info"
    assert (line["ref"], line["caller"], line["called"]) == ("abc", "…01", "…00")
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_list_is_written_for_people(log_format):
    stream, writer = written(log_format)
    with writer:
        writer.put("info", "media.engine", {"devices": ["eth0", "eth1"], "numbers": ("+14155550100",)})
    assert "eth0, eth1" in stream.getvalue()
    assert "['" not in stream.getvalue()
    assert "+1415" not in stream.getvalue()


def test_an_address_is_no_number():
    stream, writer = written()
    with writer:
        writer.perform(Log("info", "binding.added", (("pbx", "office"), ("from", "192.0.2.8:40484"))))
    (line,) = lines(stream)
    assert line["from"] == "192.0.2.8:40484"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_is_not_known_yet_is_left_out(log_format):
    stream, writer = written(log_format)
    with writer:
        writer.perform(Log("info", "call.started", (("ref", "abc"), ("egress", None), ("sessions", 0))))
    assert "egress" not in stream.getvalue()
    assert "sessions" in stream.getvalue()


def test_all_sources_go_through_the_same_door_in_order():
    stream, writer = written()
    with writer:
        structlog.get_logger("tcp").warning("tcp.something", remote="127.0.0.1:5060")
        logging.getLogger("hypercorn").warning("library of +14155550100")
        writer.plain("sbc: ready name=hq admin=off")
        structlog.get_logger().error("last")
    raw = stream.getvalue().splitlines()
    assert raw[2] == "sbc: ready name=hq admin=off"
    assert [json.loads(line)["event"] for line in (raw[0], raw[1], raw[3])] == ["tcp.something", "library", "last"]
    assert "4155550100" not in stream.getvalue()


def test_an_exception_is_written_with_where_it_came_from():
    stream, writer = written()
    with writer:
        try:
            int("a bug with +14155550100")
        except ValueError as error:
            structlog.get_logger().error("engine.failure", exc_info=error)
    (line,) = lines(stream)
    assert "ValueError: invalid literal for int() with base 10: 'a bug with …00'" in line["exception"]


def test_lines_below_the_level_are_not_written():
    stream, writer = written()
    with writer:
        writer.perform(Log("debug", "detail", ()))
        structlog.get_logger().debug("detail")
    assert stream.getvalue() == ""


def test_the_console_form_is_one_line_that_does_not_look_like_the_ready_line():
    stream, writer = written("console")
    with writer:
        writer.perform(Log("warning", "sbc: ready or not", (("reason", "a\nb"),)))
    (line,) = stream.getvalue().splitlines()
    assert not line.startswith("sbc: ready")


class Stalled(io.StringIO):
    """A pipe that nobody reads, until `gate` opens."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()

    def write(self, text):
        self.gate.wait(5)
        return super().write(text)


def test_a_stalled_pipe_costs_lines_and_not_time(monkeypatch):
    monkeypatch.setattr("sbc.runtime.logging.QUEUE_LINES", 10)
    stream = Stalled()
    writer = LogWriter(stream, "json")
    with writer:
        for n in range(100):
            writer.perform(Log("info", f"line {n}", ()))
        dropped = writer.dropped
        stream.gate.set()
    assert 88 <= dropped <= 90
    events = [line["event"] for line in lines(stream)]
    assert events[0] == "line 0"
    assert len(events) == 100 - dropped + 1
    assert lines(stream)[-1] == lines(stream)[-1] | {"event": "log.dropped", "lines": dropped}


def test_a_closed_pipe_ends_nothing():
    class Closed(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    writer = LogWriter(Closed(), "json")
    with writer:
        writer.perform(Log("info", "nobody reads this", ()))
    assert writer.dropped >= 1


def test_whoever_watches_for_alarms_is_told_of_every_line_as_it_was_said():
    stream, writer = written()
    told = []
    writer.notice = lambda event, fields: told.append((event, dict(fields)))
    with writer:
        writer.perform(Log("error", "peer.down", (("alarm", True), ("caller", "+14155550100"))))
        writer.perform(Log("debug", "too.low", ()))
        structlog.get_logger("x").error("cdr.not_stored", alarm=True)
    assert told == [
        ("peer.down", {"alarm": True, "caller": "+14155550100"}),
        ("cdr.not_stored", {"alarm": True}),
    ]
    assert "4155550100" not in stream.getvalue()
