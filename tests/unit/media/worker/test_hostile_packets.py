"""Whatever comes to the ports of a call, from whomever: nothing breaks, nothing goes to us or to a stranger."""

import struct
from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sbc.media import wire

from .rig import CARRIER, CARRIER_RTCP, EVENTS, INSIDE, OUTSIDE, PBX, PBX_RTCP, STREAM, Rig, egress, ingress, rtp

NEARBY = ("203.0.113.9", 61000)  # within media_from
OTHER_PORT, STRANGER, OURS = (PBX[0], 4010), ("192.0.2.99", 4000), (OUTSIDE, 20000)
SOURCES = (PBX, PBX_RTCP, CARRIER, CARRIER_RTCP, OTHER_PORT, NEARBY, (NEARBY[0], 0), STRANGER, OURS)
RECODED = (wire.Transcoding("ingress", 8, "PCMA", 0, "PCMU"),)

streams = st.builds(
    lambda latching, muxes, changes: ingress(
        egress(replace(STREAM, **changes), mux=muxes[1]),
        latching=latching,
        media_from=("203.0.113.0/24", "198.51.100.0/24") if latching == "nat" else (),
        mux=muxes[0],
    ),
    st.sampled_from(["strict", "address", "nat"]),
    st.tuples(st.booleans(), st.booleans()),
    st.fixed_dictionaries(
        {
            "rtp": st.sampled_from([True, True, True, False]),
            "events": st.sampled_from([None, (EVENTS, EVENTS), (EVENTS, wire.NO_EVENTS), (wire.NO_EVENTS, 96)]),
            "report_digits": st.sampled_from([(), ("ingress",), ("ingress", "egress")]),
            "plays_digits": st.booleans(),
            "transcodings": st.sampled_from([(), RECODED]),
            "ingress_to_egress": st.sampled_from([(), ((EVENTS, 96),)]),
            "packets_per_second": st.sampled_from([0, 5, 500]),
        }
    ),
)
voice = st.builds(
    lambda first, n, kind, payload, ssrc: bytes((first,)) + rtp(n, kind, ssrc=ssrc, payload=payload)[1:],
    st.sampled_from([0x80, 0x80, 0x80, 0x90, 0xA0, 0x8F, 0xBF]),
    st.integers(0, 20) | st.integers(0, 65_535),
    st.sampled_from([0, 8, 8, EVENTS, 72, 77]),
    st.binary(max_size=20),
    st.sampled_from([7, 7, 7, 9]),
)
reports = st.lists(
    st.builds(
        lambda first, kind, words, body: struct.pack("!BBH", first, kind, words) + body,
        st.integers(0x80, 0xBF),
        st.integers(200, 207),
        st.integers(0, 8),
        st.binary(max_size=40),
    ),
    min_size=1,
    max_size=4,
).map(b"".join)
rows = st.builds(
    lambda source, first, passes: [((INSIDE, 20000), rtp(first + n), source, passes) for n in range(5)],
    st.sampled_from(SOURCES),
    st.integers(0, 20),
    st.sampled_from([0.02, 1.0]),
)
arrivals = st.tuples(
    st.sampled_from([(INSIDE, 20000), (INSIDE, 20000), (INSIDE, 20001), (OUTSIDE, 20000), (OUTSIDE, 20001)]),
    voice | voice | reports | st.binary(max_size=30),
    st.sampled_from(SOURCES),
    st.sampled_from([0.0, 0.02, 0.02, 1.0, 11.0]),
).map(lambda one: [one])


@settings(max_examples=200)
@given(st.lists(st.tuples(streams, st.lists(arrivals | arrivals | rows, max_size=30)), min_size=1, max_size=3))
def test_nothing_breaks_and_nothing_goes_astray(
    story: list[tuple[wire.Stream, list[list[tuple[tuple[str, int], bytes, tuple[str, int], float]]]]],
) -> None:
    rig = Rig()
    for epoch, (stream, packets) in enumerate(story):
        session = rig.put(ingress(stream, epoch=epoch))
        for (local, port), data, source, passes in chain.from_iterable(packets):
            rig.now += passes
            rig.arrives(local, port, data, source)
            rig.around.agenda.tick(rig.now)
        for n in range(3):
            rig.arrives(OUTSIDE, 20000, rtp(n), CARRIER)  # so that something goes to whoever has been learned
        session.counts()
    hosts = {PBX[0], CARRIER[0]}
    if any(stream.ingress.latching == "nat" for stream, _ in story):
        hosts.add(NEARBY[0])
    assert {to[0] for *_, to in rig.left} <= hosts
    assert all(to[1] for *_, to in rig.left)
