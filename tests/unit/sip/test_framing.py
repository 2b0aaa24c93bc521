"""Messages out of a stream, whatever pieces they come in."""

import pytest

from sbc.core import limits
from sbc.sip.framing import BadFrame, Ping, StreamFramer

from .messages import request

ONE = request()
TWO = request(line="BYE sip:bob@example.net SIP/2.0", cseq="103 BYE", body=b"", content_length="0")


def frames(*chunks):
    framer = StreamFramer()
    return [frame for chunk in chunks for frame in framer.feed(chunk, 0.0)]


def octet_by_octet(data):
    return [data[i : i + 1] for i in range(len(data))]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ONE, [ONE]),
        (ONE + TWO, [ONE, TWO]),
        (ONE + b"\r\n" + TWO, [ONE, TWO]),
        (b"\r\n\r\n", [Ping()]),
        (b"\r\n\r\n\r\n\r\n" + ONE + b"\r\n\r\n" + TWO, [Ping(), Ping(), ONE, Ping(), TWO]),
        (b"\r\n", []),
        (b"\r\n\r\n\r\n" + ONE, [Ping(), ONE]),
    ],
)
def test_messages_and_pings_come_in_order_however_they_are_cut(data, expected):
    assert frames(data) == expected
    assert frames(*octet_by_octet(data)) == expected


@pytest.mark.parametrize("name", ["Content-Length", "content-length  ", "L", "l\t"])
def test_the_length_is_found_under_all_its_names(name):
    data = request(f"{name}: {5}", content_length=None)
    assert frames(data) == [data]


def test_a_folded_length_is_read():
    data = request(content_length="\r\n 5")
    assert frames(data) == [data]


# BOUND: MESSAGE_OCTETS
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (request(content_length=None), "missing Content-Length"),
        (request("X-Content-Length: 5", content_length=None), "missing Content-Length"),
        (request("l: 6"), "repeated Content-Length"),
        (request(content_length="-5"), "bad Content-Length"),
        (request(content_length="5, 5"), "bad Content-Length"),
        (request(content_length=""), "bad Content-Length"),
        (request(content_length="9" * 5000), "bad Content-Length"),
        (request(content_length=str(limits.MESSAGE_OCTETS)), "message too large"),
    ],
)
def test_a_stream_that_cannot_be_framed_is_broken_at_once(data, reason):
    head = data[: data.index(b"\r\n\r\n") + 4]
    assert frames(data + ONE) == [BadFrame(head, reason)]
    assert frames(*octet_by_octet(data + ONE)) == [BadFrame(head, reason)]


# BOUND: HEADER_SECTION_OCTETS
@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_a_header_section_has_an_end_or_the_stream_is_broken(excess):
    start = request("X: ", body=b"")
    pad = limits.HEADER_SECTION_OCTETS + excess - len(start)
    data = request("X: " + "x" * pad, body=b"", content_length="0")
    assert len(data) == limits.HEADER_SECTION_OCTETS + excess
    expected = [data] if excess <= 0 else [BadFrame(data[: limits.HEADER_SECTION_OCTETS], "header section too large")]
    assert frames(data) == expected
    assert frames(*octet_by_octet(data)) == expected


def test_a_broken_stream_keeps_nothing_that_follows():
    framer = StreamFramer()
    framer.feed(request(content_length=None), 0.0)
    assert framer.feed(ONE, 1.0) == []
    assert framer.deadline is None
    assert not framer._buffer


# BOUND: INCOMPLETE_MESSAGE_SECONDS
def test_a_message_must_be_complete_ten_seconds_after_its_first_octet():
    framer = StreamFramer()
    assert framer.deadline is None
    framer.feed(ONE[:1], 100.0)
    framer.feed(ONE[1:50], 105.0)
    assert framer.deadline == 100.0 + limits.INCOMPLETE_MESSAGE_SECONDS
    framer.feed(ONE[50:], 106.0)
    assert framer.deadline is None


# BOUND: INCOMPLETE_MESSAGE_SECONDS
def test_the_time_of_a_message_starts_when_the_one_before_is_complete():
    framer = StreamFramer()
    framer.feed(ONE[:50], 100.0)
    framer.feed(ONE[50:] + TWO[:10], 104.0)
    assert framer.deadline == 104.0 + limits.INCOMPLETE_MESSAGE_SECONDS


def test_a_keep_alive_half_received_has_no_deadline():
    framer = StreamFramer()
    framer.feed(b"\r\n\r", 100.0)
    assert framer.deadline is None


def test_the_blank_line_is_sought_only_where_it_was_not_sought_before():
    framer = StreamFramer()
    buffer = framer._buffer = _Counting()
    for octet in octet_by_octet(request("X: " + "x" * 5000)[:5000]):
        framer.feed(octet, 0.0)
    assert buffer.sought <= 4 * 5000


class _Counting(bytearray):
    """Counts the octets that it was searched through."""

    sought = 0

    def find(self, sub, start=0, end=None):
        self.sought += len(self) - start
        return super().find(sub, start, len(self) if end is None else end)


# RFC: 5626
def test_a_pong_is_taken_by_whoever_awaits_it():
    """§3.5.1: a single CRLF. The next one is one as well, and not the second half of a ping."""
    framer = StreamFramer()
    for _ in range(3):
        assert framer.feed(b"\r\n", 0.0) == []
        assert framer.take_pong()
    assert not framer.take_pong()
    assert framer.feed(b"\r\n", 0.0) == []
    assert framer.feed(b"\r\n", 0.0) == [Ping()]
    assert not framer.take_pong()
