"""Log lines: masked, in order, and never in the way."""

import io
import json
import logging
import os
import subprocess
import sys
import threading

import pytest
import structlog

from sbc.b2bua.commands import Log
from sbc.core import limits
from sbc.policy.model import LogRules
from sbc.runtime import logging as logging_module
from sbc.runtime.logging import LogWriter, mask, masked


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


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nothing_that_turns_or_hides_text_is_written_as_it_is(log_format):
    stream, writer = written(log_format)
    with writer:
        writer.perform(Log("info", "odd", (("why", "\u202egnp.exe \u2066x\u200b\ufeff\xad\U000e0041"),)))
    (line,) = stream.getvalue().splitlines()
    assert "u202egnp.exe" in line
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


# BOUND: LOG_LINES
def test_a_stalled_pipe_costs_lines_and_not_time(monkeypatch):
    monkeypatch.setattr("sbc.core.limits.LOG_LINES", 10)
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
        ("too.low", {}),
        ("cdr.not_stored", {"alarm": True}),
    ]
    assert "4155550100" not in stream.getvalue()


# --- the policy's rules -----------------------------------------------------------------------------------------------


def test_numbers_are_shown_whole_where_the_policy_says_so_and_still_command_no_terminal():
    stream, writer = written(rules=LogRules(numbers="full"))
    with writer:
        writer.perform(Log("info", "call.started", (("caller", "+14155550100"), ("why", "\x1b[2J of 02079460000"))))
    (line,) = lines(stream)
    assert (line["caller"], line["why"]) == ("+14155550100", "\\x1b[2J of 02079460000")


def test_a_reload_changes_level_and_numbers_for_all_sources():
    stream, writer = written(rules=LogRules(level="error"))
    with writer:
        writer.perform(Log("info", "one", ()))
        structlog.get_logger().warning("two")
        writer.set_rules(LogRules(level="debug"))
        writer.perform(Log("debug", "three", ()))
        structlog.get_logger().debug("four")
    assert [line["event"] for line in lines(stream)] == ["three", "four"]


def test_the_end_of_an_alarm_is_noticed_at_every_level():
    told = []
    _, writer = written(rules=LogRules(level="error"))
    writer.notice = lambda event, _fields: told.append(event)
    with writer:
        writer.perform(Log("info", "peer.up", (("peer", "a"),)))
        structlog.get_logger().info("media.worker_started", worker=0)
    assert told == ["peer.up", "media.worker_started"]


# --- what a line may be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "\udcff\x00\u2028", '"\\', b"\xff", float("nan"), 2**70, -(2**70), object(), ["a\nb", "\udc80"], {"\udcff": 1},
        "x" * 10**6,
    ],
)  # fmt: skip
def test_a_line_is_json_and_one_line_whatever_a_value_is(value):
    stream, writer = written()
    with writer:
        writer.perform(Log("info", "odd", (("value", value), ("ref", "abc"))))
    assert writer.dropped == 0
    (line,) = lines(stream)
    assert line["ref"] == "abc"
    assert len(stream.getvalue()) < 30_000


def test_no_text_of_an_exception_can_pass_for_a_line_of_its_own():
    stream, writer = written("console")
    with writer:
        error = ValueError("a\n2025-01-31T09:00:00.000Z [info     ] call.ended")
        structlog.get_logger().error("engine.failure", exc_info=error)
    first, *rest = stream.getvalue().splitlines()
    assert "engine.failure" in first
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_a_value_that_cannot_be_printed_costs_its_line_and_no_other():
    class Broken:
        def __str__(self):
            raise RuntimeError

    stream, writer = written()
    with writer:
        writer.perform(Log("info", "one", (("value", Broken()),)))
        writer.perform(Log("info", "two", ()))
    assert [line["event"] for line in lines(stream)] == ["two", "log.dropped"]


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def said():
        with LogWriter(stream := Terminal(), "console") as writer:
            writer.perform(Log("error", "x", ()))
        return stream.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in said()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in said()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_journald_is_told_the_priority_of_each_line(log_format, monkeypatch):
    reader, fd = os.pipe()
    status = os.fstat(fd)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    with os.fdopen(fd, "w") as stream, LogWriter(stream, log_format) as writer:
        writer.perform(Log("error", "peer.down", ()))
        writer.perform(Log("warning", "server.down", ()))
        writer.perform(Log("info", "peer.up", ()))
        structlog.get_logger().error("engine.failure", exc_info=ValueError("a\nb"))
    with os.fdopen(reader) as written_there:
        said = written_there.read().splitlines()
    assert [line[:3] for line in said[:4]] == ["<3>", "<4>", "<6>", "<3>"]
    assert {line[:3] for line in said[3:]} == {"<3>"}


def test_a_stream_that_journald_does_not_read_gets_no_priorities(monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    reader, fd = os.pipe()
    with os.fdopen(fd, "w") as stream, LogWriter(stream, "json") as writer:
        writer.perform(Log("error", "peer.down", ()))
    with os.fdopen(reader) as written_there:
        assert written_there.read().startswith("{")


# --- a log that does not flow -----------------------------------------------------------------------------------------


class Pipe:
    """A real one. `told` is what the alarm board would hear."""

    def __init__(self):
        self.reader, fd = os.pipe()
        self.stream = os.fdopen(fd, "w")
        self.writer = LogWriter(self.stream, "json")
        self.told = []
        self.writer.notice = lambda event, fields: self.told.append((event, dict(fields)))

    def fill(self):
        for _ in range(1_000):
            self.writer.perform(Log("info", "filler", (("text", "x" * 400),)))

    def wait_until(self, condition):
        for _ in range(500):
            if condition():
                return
            threading.Event().wait(0.01)
        raise AssertionError(self.told)

    def alarms(self):
        return [(event, fields.get("reason")) for event, fields in self.told if event.startswith("log.")]


@pytest.fixture
def pipe():
    made = Pipe()
    yield made
    made.stream.close()


def drained(pipe):
    """All that comes, until the end of the writer."""
    parts = []
    reading = threading.Thread(target=lambda: parts.extend(iter(lambda: os.read(pipe.reader, 65_536), b"")))
    reading.start()
    return parts, reading


def test_a_pipe_that_nobody_reads_is_an_alarm_without_a_line_and_its_end_is_said(pipe, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.LOG_LINES", 500)
    with pipe.writer as writer:
        pipe.fill()
        pipe.wait_until(lambda: writer._writing_since is not None and writer._queue.qsize() > 100)
        since = writer._writing_since
        writer.look(since + 1.0)
        assert pipe.alarms() == [("log.stalled", "there are more than can be written")]
        writer.look(since + 4.0)
        writer.look(since + 12.0)
        assert pipe.alarms()[1:] == [("log.stalled", "nobody reads them")]
        assert all(fields["alarm"] for event, fields in pipe.told if event == "log.stalled")
        parts, reading = drained(pipe)
        pipe.wait_until(lambda: writer._queue.empty() and writer._writing_since is None)
        writer.look(since + 20.0)
        writer.look(since + 22.0)
        assert pipe.alarms()[2:] == [("log.flowing", None)]
    pipe.stream.close()
    reading.join(5)
    os.close(pipe.reader)
    said = [json.loads(line) for line in b"".join(parts).decode().splitlines()]
    events = [line["event"] for line in said]
    assert events.count("log.dropped") == 1
    assert events[-1] == "log.flowing"
    dropped = next(line["lines"] for line in said if line["event"] == "log.dropped")
    assert dropped == writer.dropped > 100


def test_an_end_of_the_program_does_not_wait_for_a_stalled_pipe():
    program = """
import sys, time
from sbc.b2bua.commands import Log
from sbc.runtime.logging import LogWriter
with LogWriter(sys.stderr, "json") as writer:
    for _ in range(1_000):
        writer.perform(Log("info", "filler", (("text", "x" * 400),)))
    time.sleep(0.2)
"""
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    try:
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()
        child.stderr.close()


def test_a_disk_that_is_full_is_an_alarm_until_a_line_is_written(monkeypatch):
    is_full = [True]

    class Disk(io.StringIO):
        def write(self, text):
            if is_full[0]:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream, told = Disk(), []
    with LogWriter(stream, "json") as writer:
        writer.notice = lambda event, fields: told.append((event, fields.get("reason")))
        writer.perform(Log("info", "lost", ()))
        written_there(writer)
        writer.look(0.0)
        writer.look(5.0)
        assert told[1:] == [("log.stalled", "No space left on device")]
        written_there(writer)
        is_full[0] = False
        writer.look(10.0)  # says it again, which is the first line that finds room
        written_there(writer)
        writer.look(12.0)
        assert told[-1] == ("log.flowing", None)
    events = [line["event"] for line in lines(stream)]
    assert events[0] == "log.stalled"
    assert set(events) == {"log.stalled", "log.dropped", "log.flowing"}


def written_there(writer):
    """The thread has tried everything."""
    for _ in range(500):
        if writer._queue.empty() and writer._writing_since is None:
            threading.Event().wait(0.05)
            return
        threading.Event().wait(0.01)
    raise AssertionError


def test_a_line_that_was_torn_does_not_spoil_the_next_one(monkeypatch):
    taken, room = bytearray(), [10]

    def write(_fd, data):
        if not room[0]:
            raise OSError(28, "No space left on device")
        part = bytes(data[: room[0]])
        room[0] -= len(part)
        taken.extend(part)
        return len(part)

    monkeypatch.setattr(os, "write", write)
    descriptor = logging_module._Descriptor(2)
    for _ in range(2):
        with pytest.raises(OSError, match="No space"):
            descriptor.write('{"event": "first"}\n')
    room[0] = 1_000
    descriptor.write('{"event": "second"}\n')
    assert taken.decode().splitlines() == ['{"event": ', '{"event": "second"}']


# BOUND: LOG_FIELD_CHARACTERS, LOG_EXCEPTION_CHARACTERS
def test_a_field_is_cut():
    assert len(masked("why", "x" * 100_000)) == limits.LOG_FIELD_CHARACTERS
    assert len(masked("exception", "x" * 100_000)) == limits.LOG_EXCEPTION_CHARACTERS
