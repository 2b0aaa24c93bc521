"""When a way goes to the engine and comes back: nothing lost, doubled or out of order, and no number moved."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sbc.media import wire
from sbc.media.worker.engine import NOT_YET, PASS_UP, Flow, NoEngine
from sbc.media.worker.handover import INSTALLS_PER_MINUTE, NOT_TAKEN, TOO_OFTEN
from sbc.media.worker.latch import LEARNING_SECONDS

from .rig import CARRIER, EVENTS, INSIDE, OUTSIDE, PBX, PCMA, PCMU, STREAM, Kernel, Rig, egress, far, ingress, rtp

HERE = (INSIDE, 20000)


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    made.kernel()
    made.put(STREAM)
    return made


def kernel(rig: Rig) -> Kernel:
    assert isinstance(rig.around.engine, Kernel)
    return rig.around.engine


def passes(rig: Rig, seconds: float) -> None:
    rig.now += seconds
    for session in rig.sessions.values():
        session.verify(rig.now)


def assert_all_came(rig: Rig, first: int, last: int) -> None:
    assert rig.numbers() == list(range(first, last + 1))
    count = rig.count()
    packets = last + 1 - first
    assert (count.ingress.received, count.egress.sent, count.ingress.received_octets) == (
        packets,
        packets,
        packets * 172,
    )
    assert (count.ingress.lost, count.ingress.reordered, count.ingress.duplicates) == (0, 0, 0)


def test_a_way_goes_to_the_engine_with_its_first_packet_and_all_packets_come(rig: Rig) -> None:
    rig.talks(1, 1)
    assert kernel(rig).flows() == {HERE}
    rig.talks(2, 50)
    assert_all_came(rig, 1, 50)
    count = rig.count().ingress
    assert (count.in_kernel, count.engine, count.why) == (49, "kernel", "")
    assert rig.count().egress.engine == "", "nothing came from there"


def test_the_flow_is_what_userland_would_do(rig: Rig) -> None:
    rig.put(replace(STREAM, ingress_to_egress=((PCMA, 97),), packets_per_second=200))
    rig.talks(1, 1)
    (flow,) = kernel(rig).puts
    types = bytearray((PASS_UP,)) * 128
    types[PCMA] = 97
    offset = rig.slots.find(next(iter(rig.slots.owners() - {0}))) is not None and flow.slot
    assert flow == Flow(INSIDE, 20000, PBX, (OUTSIDE, 20000), CARRIER, offset or 0, 7, 8000, bytes(types), 46, 200)
    rig.talks(2, 5)
    assert {data[1] for data in rig.at(CARRIER)} == {97}


def test_a_way_waits_until_its_source_is_locked_and_goes_with_the_packet_that_locks(rig: Rig) -> None:
    elsewhere = (PBX[0], 4010)
    rig.put(ingress(latching="nat", media_from=(PBX[0],)))
    rig.talks(1, 3, elsewhere)
    assert (kernel(rig).puts, rig.numbers()) == ([], [])
    rig.talks(4, 4, elsewhere)
    assert [flow.source for flow in kernel(rig).puts] == [elsewhere]
    rig.talks(5, 9, elsewhere)
    assert_all_came(rig, 1, 9)


def test_a_way_waits_as_long_as_its_source_may_give_way_to_the_one_of_the_sdp(rig: Rig) -> None:
    elsewhere = (PBX[0], 4010)
    rig.talks(1, 10, elsewhere)
    assert kernel(rig).puts == []
    passes(rig, LEARNING_SECONDS)
    rig.talks(11, 20, elsewhere)
    assert [flow.source for flow in kernel(rig).puts] == [elsewhere]
    assert_all_came(rig, 1, 20)


def test_whoever_shares_the_address_is_heard_until_the_one_of_the_sdp_is(rig: Rig) -> None:
    """An old stream of the same PBX, or somebody else behind it, had its four packets first."""
    rig.talks(500, 510, (PBX[0], 4010), ssrc=6)
    rig.talks(1, 9)
    rig.talks(511, 530, (PBX[0], 4010), ssrc=6)
    rig.talks(10, 20)
    assert rig.numbers() == [*range(500, 511), *range(1, 21)]
    assert {flow.source for flow in kernel(rig).puts} == {PBX}
    assert rig.count().ingress.foreign == 20


def test_what_waits_in_the_socket_is_relayed_before_the_engine_begins(rig: Rig) -> None:
    for n in range(1, 11):
        rig.arrives(INSIDE, 20000, rtp(n), PBX, read=False)
    rig.turn()
    assert rig.numbers() == list(range(1, 11))
    assert kernel(rig).flows() == {HERE}


def test_a_strangers_packets_neither_go_to_the_engine_nor_through_it(rig: Rig) -> None:
    stranger = ("203.0.113.66", 4000)
    rig.talks(1, 5, stranger)
    assert kernel(rig).puts == []
    rig.talks(1, 5)
    rig.talks(6, 9, stranger)
    assert_all_came(rig, 1, 5)
    assert rig.count().ingress.foreign == 9


# --- what is odd ------------------------------------------------------------------------------------------------------


def events() -> wire.Stream:
    return replace(STREAM, events=(EVENTS, EVENTS))


def test_telephone_events_never_go_to_the_engine_and_are_in_order_with_what_it_relays(rig: Rig) -> None:
    rig.put(events())
    rig.talks(1, 10)
    for n in range(11, 14):
        rig.now += 0.02
        rig.arrives(INSIDE, 20000, rtp(n, EVENTS, payload=bytes((5, 10, 0, 160))), PBX)
    rig.talks(14, 30)
    assert rig.numbers() == list(range(1, 31))
    count = rig.count()
    assert (count.ingress.digits_received, count.egress.digits_sent) == (1, 1)
    assert (count.ingress.received, count.ingress.in_kernel, count.ingress.lost) == (30, 26, 0)
    assert kernel(rig).puts[0].types[EVENTS] == PASS_UP
    assert len(kernel(rig).puts) == 1


def test_a_payload_type_that_was_not_seen_is_relayed_and_then_goes_too(rig: Rig) -> None:
    rig.talks(1, 5)
    rig.talks(6, 10, payload_type=PCMU)
    assert rig.numbers() == list(range(1, 11))
    assert [flow.types[PCMU] for flow in kernel(rig).puts] == [PASS_UP, PCMU]
    assert rig.count().ingress.in_kernel == 8


def test_a_type_of_another_clock_has_a_flow_of_its_own(rig: Rig) -> None:
    rig.put(replace(STREAM, ingress_clocks=((97, 16_000),)))
    rig.talks(1, 5)
    rig.talks(6, 10, payload_type=97)
    assert [(flow.rate, flow.types[PCMA], flow.types[97]) for flow in kernel(rig).puts] == [
        (8000, PCMA, PASS_UP),
        (16_000, PASS_UP, 97),
    ]
    assert rig.count().ingress.received == 10


def test_a_new_ssrc_of_the_locked_source_is_relayed_at_once_and_goes_too(rig: Rig) -> None:
    rig.talks(1, 5)
    rig.talks(600, 610, ssrc=8)
    assert rig.numbers() == [*range(1, 6), *range(600, 611)]
    assert [flow.ssrc for flow in kernel(rig).puts] == [7, 8]
    count = rig.count().ingress
    assert (count.received, count.in_kernel, count.lost) == (16, 14, 0)


def test_two_sources_that_take_turns_stay_with_userland_in_the_end(rig: Rig) -> None:
    for n in range(1, 41):
        rig.talks(n, n, ssrc=7 + n % 2)
    assert rig.numbers() == list(range(1, 41))
    assert len(kernel(rig).puts) == INSTALLS_PER_MINUTE
    assert (kernel(rig).flows(), rig.count().ingress.why) == (set(), TOO_OFTEN)
    passes(rig, 1)
    rig.talks(41, 45, ssrc=8)
    assert kernel(rig).flows() == set()
    passes(rig, 60)
    rig.talks(46, 47, ssrc=8)
    assert kernel(rig).flows() == {HERE}
    assert rig.count().ingress.why == ""


# --- changes ----------------------------------------------------------------------------------------------------------


def test_the_engine_gives_a_way_back_before_it_changes(rig: Rig) -> None:
    rig.talks(1, 10)
    moved = ("198.51.100.41", 6000)
    rig.put(egress(remote=far(moved)))
    assert kernel(rig).flows() == set()
    rig.talks(11, 20)
    assert rig.numbers(CARRIER) == list(range(1, 11))
    assert rig.numbers(moved) == list(range(11, 21))
    assert [flow.target for flow in kernel(rig).puts] == [CARRIER, moved]
    assert rig.count().ingress.lost == 0


def test_a_new_description_keeps_the_way_until_its_source_is_certain_again(rig: Rig) -> None:
    rig.talks(1, 5)
    rig.put(ingress(epoch=1))
    rig.talks(6, 10)
    assert kernel(rig).flows() == set(), "another source may be learned, which the engine would drop"
    passes(rig, LEARNING_SECONDS)
    rig.talks(11, 15)
    assert kernel(rig).flows() == {HERE}
    assert_all_came(rig, 1, 15)


def test_with_strict_nobody_else_can_be_learned_so_the_way_goes_back_at_once(rig: Rig) -> None:
    rig.put(ingress(latching="strict"))
    rig.talks(1, 5)
    rig.put(ingress(latching="strict", epoch=1))
    rig.talks(6, 10)
    assert len(kernel(rig).puts) == 2
    assert_all_came(rig, 1, 10)


def test_when_the_other_end_is_learned_behind_nat_its_way_goes_there(rig: Rig) -> None:
    rig.put(egress(latching="nat", media_from=("203.0.113.0/24",)))
    rig.talks(1, 5)
    seen = ("203.0.113.9", 61000)
    for n in range(1, 5):
        rig.arrives(OUTSIDE, 20000, rtp(n), seen)
    rig.talks(6, 10)
    assert (rig.numbers(CARRIER), rig.numbers(seen)) == (list(range(1, 6)), list(range(6, 11)))
    assert [flow.target for flow in kernel(rig).puts if flow.port == 20000 and flow.local == INSIDE] == [CARRIER, seen]


def test_the_end_of_the_call_takes_the_flows_and_the_slots_along(rig: Rig) -> None:
    rig.talks(1, 10)
    rig.arrives(OUTSIDE, 20000, rtp(1), CARRIER)
    assert len(kernel(rig).flows()) == 2
    rig.sessions["a"].close()
    assert (kernel(rig).flows(), rig.slots.owners(), rig.slots.free) == (set(), set(), 16)
    count = rig.count()
    assert (count.ingress.received, count.ingress.in_kernel, count.egress.sent, count.ingress.engine) == (
        10,
        9,
        10,
        "kernel",
    )


def test_a_pair_that_another_call_takes_comes_back_from_the_engine(rig: Rig) -> None:
    rig.talks(1, 10)
    rig.put(wire.Stream(STREAM.ingress, wire.End(OUTSIDE, 20002, far(("198.51.100.50", 7000)))), ref="b", moved=True)
    rig.talks(11, 20)
    assert rig.numbers() == list(range(1, 11))
    assert rig.numbers(("198.51.100.50", 7000)) == list(range(11, 21))
    assert rig.count("a").ingress.received == 10
    assert (rig.count("b").ingress.received, rig.count("b").ingress.lost) == (10, 0)


def test_when_another_engine_is_there_the_ways_come_back_and_stay(rig: Rig) -> None:
    rig.talks(1, 10)
    before = kernel(rig)
    rig.around.engine = NoEngine("no CAP_BPF")
    rig.sessions["a"].rewire(rig.around)
    assert before.flows() == set()
    rig.talks(11, 20)
    assert_all_came(rig, 1, 20)
    count = rig.count().ingress
    assert (count.in_kernel, count.engine, count.why) == (9, "userland", "")


# --- ways that stay ---------------------------------------------------------------------------------------------------

SIX = "2001:db8::1"


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (replace(events(), report_digits=("ingress",)), "digits are converted"),
        (replace(events(), plays_digits=True), "digits are converted"),
        (
            replace(STREAM, transcodings=(wire.Transcoding("ingress", PCMA, "PCMA", PCMU, "PCMU"),)),
            "recoded",
        ),
        (wire.Stream(STREAM.ingress, wire.End(SIX, 20000, far(("2001:db8::40", 5000)))), "address families differ"),
        (replace(STREAM, rtp=False), "no RTP"),
    ],
)
def test_ways_that_need_userland_stay_there_and_say_why(stream: wire.Stream, why: str) -> None:
    rig = Rig()
    rig.kernel()
    rig.put(stream)
    rig.talks(1, 20)
    assert kernel(rig).puts == []
    count = rig.count().ingress
    assert (count.received, count.engine, count.why) == (20, "userland", why)


def test_the_other_way_of_a_recoded_one_goes(rig: Rig) -> None:
    rig.put(replace(STREAM, transcodings=(wire.Transcoding("ingress", PCMA, "PCMA", PCMU, "PCMU"),)))
    rig.arrives(OUTSIDE, 20000, rtp(1), CARRIER)
    assert kernel(rig).flows() == {(OUTSIDE, 20000)}


def test_what_the_engine_refuses_is_relayed_here_and_asked_again_once_a_minute(rig: Rig) -> None:
    kernel(rig).refusal = "loopback"
    rig.talks(1, 1)
    assert rig.count().ingress.why == "loopback"
    for n in range(2, 600):
        passes(rig, 1)
        rig.talks(n, n)
    assert kernel(rig).asked <= 11
    kernel(rig).refusal = ""
    passes(rig, 60)
    rig.talks(600, 605)
    assert (kernel(rig).flows(), rig.count().ingress.why) == ({HERE}, "")
    assert_all_came(rig, 1, 605)


def test_an_engine_that_was_not_ready_is_asked_again_after_a_second(rig: Rig) -> None:
    kernel(rig).refusal = NOT_YET
    rig.talks(1, 1)
    kernel(rig).refusal = ""
    passes(rig, 1)
    rig.talks(2, 3)
    assert kernel(rig).flows() == {HERE}


def test_an_engine_that_does_not_relay_what_it_has_is_found_out_after_a_second(rig: Rig) -> None:
    kernel(rig).is_dead = True
    rig.talks(1, 50)
    passes(rig, 0)
    assert kernel(rig).flows() == set()
    count = rig.count().ingress
    assert (count.engine, count.why) == ("userland", NOT_TAKEN)
    rig.talks(51, 60)
    passes(rig, 1)
    assert len(kernel(rig).puts) == 1
    assert_all_came(rig, 1, 60)


def test_a_way_that_is_silent_is_not_taken_back(rig: Rig) -> None:
    rig.talks(1, 2)
    for _ in range(10):
        passes(rig, 1)
    assert kernel(rig).flows() == {HERE}


def test_an_engine_that_stops_relaying_later_is_found_out_too(rig: Rig) -> None:
    rig.talks(1, 100)
    passes(rig, 0)
    kernel(rig).is_dead = True
    rig.talks(101, 150)
    passes(rig, 0)
    assert rig.count().ingress.why == NOT_TAKEN
    assert_all_came(rig, 1, 150)


# --- a worker that starts again ---------------------------------------------------------------------------------------


def again(rig: Rig) -> Rig:
    fresh = Rig(memory=rig.memory, engine=rig.around.engine)
    fresh.left = kernel(rig).left = rig.left
    for one in fresh.sockets.values():
        one.left = rig.left
    fresh.now = rig.now
    return fresh


@pytest.mark.parametrize("source", [PBX, (PBX[0], 4010)])
def test_a_flow_of_the_worker_before_goes_on_untouched(rig: Rig, source: tuple[str, int]) -> None:
    rig.talks(1, 10, source)
    fresh = again(rig)
    fresh.talks(11, 15, source)
    fresh.put(STREAM, resumed=True)
    fresh.talks(16, 20, source)
    assert len(kernel(fresh).puts) == 1, "never put again"
    assert_all_came(fresh, 1, 20)
    count = fresh.count().ingress
    assert (count.source, count.engine) == (f"{source[0]}:{source[1]}", "kernel")
    fresh.sessions["a"].close()
    assert kernel(fresh).flows() == set()


def test_where_the_other_end_is_behind_nat_the_flow_tells_and_goes_on() -> None:
    """Whoever is on hold, or listens, would not be found again."""
    seen = ("203.0.113.9", 61000)
    stream = egress(latching="nat", media_from=("203.0.113.0/24",))
    rig = Rig()
    rig.kernel()
    rig.put(stream)
    for n in range(1, 5):
        rig.arrives(OUTSIDE, 20000, rtp(n), seen)
    rig.talks(1, 10)
    kernel(rig).remove(OUTSIDE, 20000)
    fresh = again(rig)
    fresh.put(stream, resumed=True)
    fresh.talks(11, 20)
    assert kernel(fresh).flows() == {HERE}
    assert fresh.numbers(seen) == list(range(1, 21))
    assert fresh.count().egress.source == "203.0.113.9:61000"


def test_a_source_that_is_not_the_sdps_is_found_again_by_its_numbers() -> None:
    rig = Rig()
    rig.put(STREAM)
    rig.talks(1, 10, (PBX[0], 4010))
    fresh = Rig(memory=rig.memory)
    fresh.now = rig.now
    fresh.put(STREAM, resumed=True)
    fresh.talks(12, 12, (PBX[0], 4010))
    assert fresh.numbers() == [12]
    assert (fresh.count().ingress.received, fresh.count().ingress.lost) == (11, 1)


@pytest.mark.parametrize(
    "stream",
    [
        egress(remote=far(("198.51.100.41", 6000))),
        ingress(remote=far(("192.0.2.31", 4000))),
        replace(STREAM, ingress_to_egress=((PCMA, 97),)),
        replace(STREAM, packets_per_second=10),
        replace(STREAM, report_digits=("ingress",), events=(EVENTS, EVENTS)),
        replace(STREAM, rtp=False),
        wire.Stream(STREAM.ingress, wire.End(OUTSIDE, 20002, far(CARRIER))),
    ],
)
def test_a_flow_that_no_longer_fits_is_taken_back(rig: Rig, stream: wire.Stream) -> None:
    rig.talks(1, 10)
    fresh = again(rig)
    fresh.put(stream, resumed=True)
    assert kernel(fresh).flows() == set()


def test_a_flow_is_never_taken_over_by_another_call(rig: Rig) -> None:
    rig.talks(1, 10)
    fresh = again(rig)
    fresh.put(STREAM, ref="b", resumed=True)
    assert kernel(fresh).flows() == set()
    fresh = again(rig)
    fresh.put(STREAM, ref="c")
    assert kernel(fresh).flows() == set()


def test_where_userland_relayed_the_counters_go_on_too() -> None:
    rig = Rig()
    rig.put(STREAM)
    rig.talks(1, 10)
    fresh = Rig(memory=rig.memory)
    fresh.now = rig.now
    fresh.put(STREAM, resumed=True)
    fresh.talks(12, 20)
    count = fresh.count()
    assert (count.ingress.received, count.ingress.lost, count.egress.sent) == (19, 1, 19)


# --- whatever happens -------------------------------------------------------------------------------------------------

_DEEDS = st.lists(
    st.sampled_from(["speaks", "burst", "types", "events", "ssrc", "put", "epoch", "second", "dies", "lives", "again"]),
    max_size=40,
)


@given(_DEEDS)
def test_whatever_happens_every_packet_comes_once_and_in_order(deeds: list[str]) -> None:
    rig = Rig()
    rig.kernel()
    stream = events()
    rig.put(stream)
    n, ssrc, epoch = 0, 7, 0
    for deed in deeds:
        match deed:
            case "speaks" | "types" | "events":
                kind = {"speaks": PCMA, "types": PCMU, "events": EVENTS}[deed]
                rig.talks(n + 1, n + 10, payload_type=kind, ssrc=ssrc)
                n += 10
            case "burst":
                for _ in range(10):
                    n += 1
                    rig.arrives(INSIDE, 20000, rtp(n, ssrc=ssrc), PBX, read=not kernel(rig).flows() and n % 3 == 0)
                rig.turn()
            case "ssrc":
                ssrc += 1
            case "put" | "epoch":
                epoch += deed == "epoch"
                rig.put(ingress(stream, epoch=epoch))
            case "second":
                passes(rig, 1)
            case "dies" | "lives":
                kernel(rig).is_dead = deed == "dies"
            case "again":
                rig = again(rig)
                rig.put(ingress(stream, epoch=epoch), resumed=True)
    numbers = rig.numbers()
    assert len(numbers) == n
    assert all(after - before == 1 for before, after in pairwise(numbers))
    count = rig.count()
    assert (count.ingress.received, count.egress.sent) == (n, n)
    assert (count.ingress.lost, count.ingress.reordered, count.ingress.duplicates, count.ingress.dropped) == (0,) * 4
    rig.sessions["a"].close()
    assert (kernel(rig).flows(), rig.slots.owners()) == (set(), set())
