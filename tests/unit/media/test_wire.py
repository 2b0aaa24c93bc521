import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.limits import CONTROL_MESSAGE_OCTETS
from sbc.media import wire
from sbc.media.worker.service import STREAMS_PER_REPORT

numbers = st.integers(0, 2**63)
words = st.text(max_size=20)
remotes = st.builds(wire.Remote, words, numbers, numbers)
ends = st.builds(wire.End, words, numbers, st.none() | remotes, st.sampled_from(["strict", "address"]))
maps = st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple)
sides = st.sampled_from(["ingress", "egress"])
streams = st.lists(
    st.builds(
        wire.Stream,
        ends,
        ends,
        st.booleans(),
        maps,
        maps,
        st.none() | st.tuples(st.integers(-1, 127), st.integers(-1, 127)),
        st.tuples(numbers, numbers),
        st.lists(sides, max_size=2).map(tuple),
    ),
    max_size=3,
).map(tuple)
counts = st.lists(numbers, min_size=9, max_size=9).map(lambda values: wire.EndCount(*values))
stream_counts = st.lists(st.builds(wire.StreamCount, counts, counts), max_size=3).map(tuple)
sessions = st.lists(st.builds(wire.SessionCount, words, numbers, stream_counts), max_size=3).map(tuple)


@given(
    st.builds(wire.PutSession, words, numbers, streams, st.booleans())
    | st.builds(wire.AddPorts, words, st.lists(numbers).map(tuple))
    | st.builds(wire.DeleteSession, words)
    | st.builds(wire.Query, words)
    | st.builds(wire.PlayDigit, words, numbers, sides, words, numbers)
)
def test_requests_come_back_as_they_were_said(request: wire.Request) -> None:
    assert wire.decode_request(wire.encode(request)) == request


@given(
    st.builds(wire.Running, numbers, numbers)
    | st.builds(wire.SessionEnded, words, stream_counts)
    | st.builds(wire.Report, sessions, st.booleans())
    | st.builds(wire.DigitHeard, words, numbers, sides, words, numbers)
    | st.builds(wire.Refused, words, words)
)
def test_replies_come_back_as_they_were_said(reply: wire.Reply) -> None:
    assert wire.decode_reply(wire.encode(reply)) == reply


@given(st.binary(max_size=200))
def test_nonsense_raises_only_the_named_error(data: bytes) -> None:
    for decode in (wire.decode_request, wire.decode_reply):
        with contextlib.suppress(msgspec.DecodeError):
            decode(data)


def test_a_request_of_a_client_before_resuming_was_known_is_understood() -> None:
    old = msgspec.msgpack.encode({"type": "PutSession", "ref": "a", "generation": 1, "streams": []})
    assert wire.decode_request(old) == wire.PutSession("a", 1, (), resumed=False)


# BOUND: CONTROL_MESSAGE_OCTETS
@pytest.mark.parametrize("n", [1, 16])
def test_the_largest_report_fits_a_control_message(n: int) -> None:
    most = wire.EndCount(*[2**63] * 9)
    count = wire.SessionCount("r" * 10, 2**31, (wire.StreamCount(most, most),) * n)
    report = wire.Report((count,) * (STREAMS_PER_REPORT // n), last=False)
    assert len(wire.encode(report)) <= CONTROL_MESSAGE_OCTETS
