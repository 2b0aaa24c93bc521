"""The fake worker does what the real one does, whatever it is told: random requests and packets to both."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sbc.media import wire

from .worker_subjects import CARRIER, INSIDE, OUTSIDE, PBX, RTCP, STRANGER, STUN, Fake, MemoryService, rtp

_REMOTES = st.sampled_from(
    [None, wire.Remote(PBX, 40000, 40001), wire.Remote(CARRIER, 40000, 0), wire.Remote("::1", 9, 9)]
)
_ENDS = st.builds(
    wire.End,
    st.sampled_from([INSIDE, OUTSIDE]),
    st.sampled_from([20000, 20002, 20004, 30000]),
    _REMOTES,
    st.sampled_from(["strict", "address", "nat"]),
    st.just(("127.0.0.64/29",)),
    st.integers(0, 1),
    st.booleans(),
)
_REFS = st.sampled_from(["a", "b", "c"])
_PUTS = st.builds(
    wire.PutSession,
    _REFS,
    st.integers(0, 3),
    st.lists(st.builds(wire.Stream, _ENDS, _ENDS, st.booleans()), max_size=2).map(tuple),
)
_PACKETS = st.tuples(
    st.sampled_from([PBX, CARRIER, STRANGER]),
    st.integers(0, 2),
    st.sampled_from([INSIDE, OUTSIDE]),
    st.sampled_from([20000, 20001, 20002, 20003]),
    st.sampled_from([rtp(0), rtp(1), rtp(2), rtp(3), rtp(4), RTCP, STUN]),
)
_STEPS = _PUTS | _PACKETS | st.builds(wire.DeleteSession, _REFS) | st.builds(wire.Query, _REFS)


@given(st.lists(_STEPS, max_size=30))
def test_the_fake_and_the_real_worker_answer_and_relay_alike(
    steps: list[wire.PutSession | wire.DeleteSession | wire.Query | tuple[str, int, str, int, bytes]],
) -> None:
    fake, real = Fake(), MemoryService()
    for step in steps:
        if isinstance(step, tuple):
            assert fake.send(*step) == real.send(*step)
        else:
            assert [_without_words(reply) for reply in fake.say(step)] == [_without_words(r) for r in real.say(step)]


def _without_words(reply: wire.Reply) -> wire.Reply:
    """Also without what only one of them has: jitter, the name of the engine, the very last of many strangers."""
    match reply:
        case wire.Refused(ref=ref):
            return wire.Refused(ref, "")
        case wire.SessionEnded(ref=ref, streams=streams):
            return wire.SessionEnded(ref, _plain(streams))
        case wire.Report(sessions=sessions, last=last):
            return wire.Report(tuple(replace(one, streams=_plain(one.streams)) for one in sessions), last)
        case _:
            return reply


def _plain(streams: tuple[wire.StreamCount, ...]) -> tuple[wire.StreamCount, ...]:
    return tuple(wire.StreamCount(_common(stream.ingress), _common(stream.egress)) for stream in streams)


def _common(count: wire.EndCount) -> wire.EndCount:
    return replace(count, jitter_ms=0.0, jitter_max_ms=0.0, engine="", why="", foreign_source="")
