"""What `media.wire.End` promises of who may send to a port and who is sent to, whoever keeps it (`worker_subjects`)."""

import pytest
from msgspec.structs import replace

from sbc.core.address import Address
from sbc.media import wire

from .worker_subjects import (
    CARRIER,
    INSIDE,
    OUTSIDE,
    OWN,
    PBX,
    RTCP,
    STRANGER,
    STUN,
    Heard,
    InMemory,
    Subject,
    at_carrier,
    at_pbx,
    counts,
    from_carrier,
    from_pbx,
    put,
    remote,
    rtp,
    stream,
)

PRIVATE = "127.0.0.50"  # where a telephone behind NAT really sends from
NAT = ("127.0.0.48/28",)
LOCKS = 4  # consecutive packets that lock a source other than the SDP's


def nat(worker: Subject, *networks: str, epoch: int = 0) -> wire.Stream:
    """The PBX's side learns its source."""
    both = stream(worker)
    ingress = wire.End(INSIDE, worker.inside[0], remote(worker, PBX), "nat", networks or NAT, epoch)
    return wire.Stream(ingress, both.egress)


def again(both: wire.Stream, epoch: int) -> wire.Stream:
    """The PBX has said a description again."""
    return replace(both, ingress=replace(both.ingress, epoch=epoch))


def lock(worker: Subject, n: int = 2, host: str = PBX, first: int = 100, ssrc: int = 7) -> Heard:
    """Enough consecutive packets to be learned; what the last one brought about."""
    heard: Heard = []
    for i in range(LOCKS):
        heard = from_pbx(worker, rtp(first + i, ssrc), n, host)
    return heard


def source(worker: Subject) -> str:
    return counts(worker)[0].ingress.source


def at(worker: Subject, host: str, n: int = 0) -> str:
    return f"{host}:{worker.far(host, n)}"


def foreign(worker: Subject) -> int:
    return counts(worker)[0].ingress.foreign


# --- locking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_the_first_packet_from_where_the_sdp_says_locks(worker: Subject, latching: wire.Latching) -> None:
    both = stream(worker, latching=latching)
    ingress = replace(both.ingress, media_from=NAT if latching == "nat" else ())
    put(worker, wire.Stream(ingress, replace(both.egress, latching="address")))
    assert source(worker) == ""
    assert from_pbx(worker, rtp(1)) == at_carrier(worker, rtp(1))
    assert source(worker) == at(worker, PBX)


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_a_stranger_is_dropped_and_counted_before_and_after_the_lock(worker: Subject, latching: wire.Latching) -> None:
    both = stream(worker, latching=latching)
    ingress = replace(both.ingress, media_from=NAT if latching == "nat" else ())
    put(worker, wire.Stream(ingress, replace(both.egress, latching="address")))
    for i in range(LOCKS + 1):
        assert from_pbx(worker, rtp(i), host=STRANGER) == []
    assert from_pbx(worker, RTCP, 1, host=STRANGER) == []
    assert foreign(worker) == LOCKS + 2
    assert from_pbx(worker, rtp(1)) == at_carrier(worker, rtp(1))
    for i in range(LOCKS + 1):
        assert from_pbx(worker, rtp(i), host=STRANGER) == []
    assert from_pbx(worker, RTCP, 1, host=STRANGER) == []
    assert foreign(worker) == 2 * (LOCKS + 2)
    assert source(worker) == at(worker, PBX)
    assert from_carrier(worker, rtp(1)) == at_pbx(worker, rtp(1))


def test_who_came_last_of_the_strangers_is_told(worker: Subject) -> None:
    put(worker, stream(worker, latching="strict"))
    assert counts(worker)[0].ingress.foreign_source == ""
    from_pbx(worker, rtp(1), host=STRANGER)
    assert counts(worker)[0].ingress.foreign_source == at(worker, STRANGER)
    from_pbx(worker, rtp(1))
    from_pbx(worker, rtp(2), 2)  # the peer's own host, from another port
    assert counts(worker)[0].ingress.foreign_source == at(worker, PBX, 2)
    assert counts(worker)[0].egress.foreign_source == ""


def test_another_port_locks_by_consecutive_packets_and_none_of_them_is_lost(worker: Subject) -> None:
    put(worker, stream(worker))
    for i in range(LOCKS - 1):
        assert from_pbx(worker, rtp(i), n=2) == []
    heard = from_pbx(worker, rtp(LOCKS - 1), n=2)
    assert heard == [one for i in range(LOCKS) for one in at_carrier(worker, rtp(i))]
    assert source(worker) == at(worker, PBX, 2)
    (count,) = counts(worker)
    assert (count.ingress.received, count.egress.sent, count.ingress.foreign) == (LOCKS, LOCKS, 0)


def test_with_address_we_send_to_the_sdps_port_whatever_was_learned(worker: Subject) -> None:
    put(worker, stream(worker))
    lock(worker)
    assert from_carrier(worker, rtp(1)) == at_pbx(worker, rtp(1))


@pytest.mark.parametrize("odd_one", [rtp(7), rtp(2, ssrc=8), rtp(1)], ids=["a gap", "another SSRC", "doubled"])
def test_packets_that_do_not_follow_each_other_lock_nothing(worker: Subject, odd_one: bytes) -> None:
    put(worker, stream(worker))
    for data in (rtp(0), rtp(1), odd_one):
        assert from_pbx(worker, data, n=2) == []
    assert from_pbx(worker, rtp(3), n=2) == []
    assert source(worker) == ""


def test_of_two_sources_that_take_turns_the_first_with_enough_is_learned(worker: Subject) -> None:
    put(worker, stream(worker))
    for i in range(LOCKS - 1):
        assert from_pbx(worker, rtp(i), n=2) == []
        assert from_pbx(worker, rtp(i), n=4) == []
    assert len(from_pbx(worker, rtp(LOCKS - 1), n=2)) == LOCKS
    assert source(worker) == at(worker, PBX, 2)
    assert from_pbx(worker, rtp(LOCKS - 1), n=4) == []
    count = counts(worker)[0].ingress
    assert (count.received, count.foreign) == (LOCKS, LOCKS)


def test_where_the_sdp_says_comes_before_whoever_is_being_learned(worker: Subject) -> None:
    put(worker, stream(worker))
    for i in range(LOCKS - 1):
        from_pbx(worker, rtp(i), n=2)
    assert from_pbx(worker, rtp(50)) == at_carrier(worker, rtp(50))
    assert from_pbx(worker, rtp(LOCKS - 1), n=2) == []
    assert source(worker) == at(worker, PBX)


def test_another_port_is_foreign_once_one_is_locked(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    assert lock(worker) == []
    assert foreign(worker) == LOCKS
    assert from_pbx(worker, rtp(2)) == at_carrier(worker, rtp(2))


def test_where_the_sdp_says_takes_the_place_of_one_that_was_learned(worker: Subject) -> None:
    put(worker, stream(worker))
    lock(worker)
    assert from_pbx(worker, rtp(1)) == at_carrier(worker, rtp(1))
    assert source(worker) == at(worker, PBX)
    assert lock(worker) == [], "and keeps it"


def test_behind_nat_where_the_sdp_says_is_foreign_too_once_another_is_locked(worker: Subject) -> None:
    put(worker, nat(worker))
    lock(worker, 0, PRIVATE)
    assert from_pbx(worker, rtp(1)) == []
    assert foreign(worker) == 1


def test_strict_wants_the_sdps_port(worker: Subject) -> None:
    put(worker, stream(worker, latching="strict"))
    assert lock(worker) == []
    assert from_pbx(worker, RTCP, 3) == []
    assert foreign(worker) == LOCKS + 1
    assert from_pbx(worker, rtp(1)) == at_carrier(worker, rtp(1))
    assert from_pbx(worker, RTCP, 1) == at_carrier(worker, RTCP, 1)


def test_strict_lets_no_rtcp_in_from_a_side_that_has_none(worker: Subject) -> None:
    both = stream(worker, latching="strict")
    ingress = replace(both.ingress, remote=remote(worker, PBX, rtcp=0))
    put(worker, wire.Stream(ingress, both.egress))
    assert from_pbx(worker, RTCP, 1) == []
    count = counts(worker)[0].ingress
    assert (count.rtcp_received, count.dropped + count.foreign) == (0, 1)


@pytest.mark.parametrize("host", [OWN, INSIDE, OUTSIDE])
@pytest.mark.parametrize("latching", ["address", "nat"])
def test_our_own_addresses_are_never_learned(worker: Subject, latching: wire.Latching, host: str) -> None:
    ingress = wire.End(INSIDE, worker.inside[0], remote(worker, host), latching, ("127.0.0.0/24",))
    put(worker, wire.Stream(ingress, stream(worker).egress))
    for n in (0, 2):
        for i in range(LOCKS):
            assert from_pbx(worker, rtp(i), n, host) == []
    assert source(worker) == ""
    assert foreign(worker) == 2 * LOCKS


def test_a_new_ssrc_from_the_locked_source_is_heard_at_once(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker, rtp(1, ssrc=7))
    assert from_pbx(worker, rtp(9000, ssrc=8)) == at_carrier(worker, rtp(9000, ssrc=8))
    count = counts(worker)[0].ingress
    assert (count.received, count.lost, count.foreign) == (2, 0, 0)


def test_what_is_no_rtp_locks_nothing(worker: Subject) -> None:
    put(worker, stream(worker))
    assert from_pbx(worker, STUN) == []
    assert source(worker) == ""


# --- behind NAT -------------------------------------------------------------------------------------------------------


def test_nat_learns_a_source_of_its_networks_and_sends_there(worker: Subject) -> None:
    put(worker, nat(worker))
    assert from_carrier(worker, rtp(1)) == at_pbx(worker, rtp(1))
    assert len(lock(worker, 0, PRIVATE)) == LOCKS
    assert source(worker) == at(worker, PRIVATE)
    expected = Address(INSIDE, worker.inside[0]), Address(PRIVATE, worker.far(PRIVATE, 0)), rtp(2)
    assert from_carrier(worker, rtp(2)) == [expected]


def test_nat_learns_nobody_outside_its_networks(worker: Subject) -> None:
    put(worker, nat(worker, "127.0.0.56/29"))
    assert lock(worker, 0, PRIVATE) == []
    assert (source(worker), foreign(worker)) == ("", LOCKS)


def test_with_nat_rtcp_counts_only_from_the_locked_host_and_never_moves_rtp(worker: Subject) -> None:
    put(worker, nat(worker))
    assert from_pbx(worker, RTCP, 1, PRIVATE) == []
    lock(worker, 0, PRIVATE)
    assert from_pbx(worker, RTCP, 3, PRIVATE) == at_carrier(worker, RTCP, 1)
    assert from_pbx(worker, RTCP, 1, PBX) == []
    expected = Address(INSIDE, worker.inside[0]), Address(PRIVATE, worker.far(PRIVATE, 0)), rtp(2)
    assert from_carrier(worker, rtp(2)) == [expected]


def test_with_nat_rtcp_goes_to_where_it_came_from_and_until_then_beside_rtp(worker: Subject) -> None:
    put(worker, nat(worker))
    lock(worker, 0, PRIVATE)
    local = Address(INSIDE, worker.inside[0] + 1)
    assert from_carrier(worker, RTCP, 1) == [(local, Address(PRIVATE, worker.far(PRIVATE, 0) + 1), RTCP)]
    from_pbx(worker, RTCP, 3, PRIVATE)
    assert from_carrier(worker, RTCP, 1) == [(local, Address(PRIVATE, worker.far(PRIVATE, 3)), RTCP)]


def test_rtcp_of_the_address_alone_is_enough_without_strict(worker: Subject) -> None:
    put(worker, stream(worker))
    assert from_pbx(worker, RTCP, 3) == at_carrier(worker, RTCP, 1)
    assert source(worker) == ""


# --- new descriptions -------------------------------------------------------------------------------------------------


def test_putting_again_without_a_new_description_learns_nothing(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    put(worker, stream(worker), generation=2)
    assert source(worker) == at(worker, PBX)
    assert lock(worker) == []


def test_a_new_description_lets_another_source_lock_once_and_the_old_one_be_heard_until_then(worker: Subject) -> None:
    both = stream(worker)
    put(worker, both)
    from_pbx(worker, rtp(1))
    put(worker, again(both, 1), generation=2)
    assert from_pbx(worker, rtp(2)) == at_carrier(worker, rtp(2))
    assert len(lock(worker, 2)) == LOCKS
    assert source(worker) == at(worker, PBX, 2)
    assert lock(worker, 4) == []
    assert from_pbx(worker, rtp(3)) == at_carrier(worker, rtp(3)), "it goes on, and wins its place back"
    assert lock(worker, 2) == []


def test_it_may_do_so_for_ten_seconds(in_memory: InMemory) -> None:
    worker = in_memory
    both = stream(worker)
    put(worker, both)
    from_pbx(worker, rtp(1))
    put(worker, again(both, 1), generation=2)
    worker.wait(9)
    assert from_pbx(worker, rtp(2)) == at_carrier(worker, rtp(2))
    worker.wait(2)
    assert lock(worker) == []
    assert from_pbx(worker, rtp(3)) == at_carrier(worker, rtp(3))


def test_another_address_in_the_description_is_heard_at_once_and_the_former_not_any_more(worker: Subject) -> None:
    both = stream(worker)
    put(worker, both)
    from_pbx(worker, rtp(1))
    moved = replace(both.ingress, remote=remote(worker, PRIVATE), epoch=1)
    put(worker, wire.Stream(moved, both.egress), generation=2)
    assert from_pbx(worker, rtp(2)) == []
    assert from_pbx(worker, rtp(3), host=PRIVATE) == at_carrier(worker, rtp(3))
    assert source(worker) == at(worker, PRIVATE)


def test_another_port_in_the_description_locks_at_once(worker: Subject) -> None:
    both = stream(worker)
    put(worker, both)
    from_pbx(worker, rtp(1))
    moved = replace(both.ingress, remote=remote(worker, PBX, 2), epoch=1)
    put(worker, wire.Stream(moved, both.egress), generation=2)
    assert from_pbx(worker, rtp(2)) == at_carrier(worker, rtp(2))
    assert from_pbx(worker, rtp(3), n=2) == at_carrier(worker, rtp(3))
    assert from_pbx(worker, rtp(4)) == []


def test_a_source_stays_known_where_its_leg_goes_on_in_another_session(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    put(worker, stream(worker), ref="b")
    assert counts(worker, "b")[0].ingress.source == at(worker, PBX)
    assert from_pbx(worker, rtp(2)) == at_carrier(worker, rtp(2))


def test_a_source_is_learned_anew_in_another_call(in_memory: InMemory) -> None:
    worker = in_memory
    put(worker, stream(worker))
    from_pbx(worker, rtp(1))
    worker.say(wire.DeleteSession("a"))
    worker.wait(3)  # sooner, it is the same leg in another call
    put(worker, stream(worker), ref="b")
    assert counts(worker, "b")[0].ingress.source == ""
    assert len(lock(worker)) == LOCKS


# --- RTCP on the RTP port ---------------------------------------------------------------------------------------------


def test_rtcp_by_mux_leaves_by_the_rtcp_port_of_a_side_without_mux(worker: Subject) -> None:
    both = stream(worker)
    put(worker, wire.Stream(replace(both.ingress, mux=True), both.egress))
    assert from_pbx(worker, rtp(1)) == at_carrier(worker, rtp(1))
    assert from_pbx(worker, RTCP) == at_carrier(worker, RTCP, 1)
    (count,) = counts(worker)
    assert (count.ingress.received, count.ingress.rtcp_received, count.egress.rtcp_sent) == (1, 1, 1)


def test_rtcp_goes_to_the_rtp_port_of_a_side_with_mux(worker: Subject) -> None:
    both = stream(worker)
    put(worker, wire.Stream(replace(both.ingress, mux=True, remote=remote(worker, PBX, rtcp=0)), both.egress))
    assert from_carrier(worker, RTCP, 1) == at_pbx(worker, RTCP)


def test_a_stranger_may_not_send_rtcp_by_mux(worker: Subject) -> None:
    both = stream(worker)
    put(worker, wire.Stream(replace(both.ingress, mux=True), both.egress))
    from_pbx(worker, rtp(1))
    assert from_pbx(worker, RTCP, host=STRANGER) == []
    assert foreign(worker) == 1


def test_mux_at_both_sides_passes_both_on_one_port(worker: Subject) -> None:
    both = stream(worker)
    put(worker, wire.Stream(replace(both.ingress, mux=True), replace(both.egress, mux=True)))
    assert from_pbx(worker, RTCP) == at_carrier(worker, RTCP)
    assert from_pbx(worker, rtp(1)) == at_carrier(worker, rtp(1))


# --- two families -----------------------------------------------------------------------------------------------------


def test_one_side_may_be_ipv6(in_memory: InMemory) -> None:
    worker = in_memory
    local, far = "2001:db8::1", "2001:db8::40"
    worker.add(local, 20000)
    egress = wire.End(local, 20000, wire.Remote(far, 40000, 40001))
    put(worker, wire.Stream(stream(worker).ingress, egress))
    assert from_pbx(worker, rtp(1)) == [(Address(local, 20000), Address(far, 40000), rtp(1))]
    assert worker.send(far, 0, local, 20000, rtp(1)) == at_pbx(worker, rtp(1))
    assert counts(worker)[0].egress.source == f"[{far}]:40000"


def test_carriers_are_judged_as_pbxs_are(worker: Subject) -> None:
    put(worker, stream(worker, latching="strict"))
    assert from_carrier(worker, rtp(1), host=STRANGER) == []
    assert from_carrier(worker, rtp(1), 2) == []
    assert from_carrier(worker, rtp(1)) == at_pbx(worker, rtp(1))
    assert counts(worker)[0].egress.source == at(worker, CARRIER)
    assert counts(worker)[0].egress.foreign == 2
