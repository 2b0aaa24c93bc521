"""Who may send to a port. The attacks are those of a stranger who knows all but what only the far end can send."""
# RFC: 7362

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media import wire
from sbc.media.worker.latch import (
    FOREIGN,
    KEPT,
    LEARNING_SECONDS,
    LOCKED,
    OURS,
    PROBATION,
    Latch,
    Network,
    Source,
    canonical,
    origin,
    read_networks,
)

from .far_ends import INSIDE_NAT, OTHER_PORT, OWN, SDP, SSRC, STRANGER, end, hears, made, rtp


def locked(one: wire.End, source: Source = SDP) -> Latch:
    latch = made(one)
    assert hears(latch, source, 1, 2, 3, 4)[-1] in {OURS, LOCKED}
    latch.take_kept()
    return latch


def kept(latch: Latch) -> list[int]:
    return [int.from_bytes(data[2:4]) for data, _ in latch.take_kept()]


# --- learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_the_sdps_address_and_port_lock_with_the_first_packet(latching: wire.Latching) -> None:
    latch = made(end(latching))
    assert hears(latch, SDP, 7, 8) == [LOCKED, OURS]
    assert (latch.source, latch.locked, kept(latch)) == (SDP, SDP, [])


def test_another_port_of_the_sdps_address_locks_with_the_fourth_packet_in_a_row_and_nothing_is_lost() -> None:
    latch = made(end("address"))
    assert hears(latch, OTHER_PORT, 65534, 65535, 0, 1) == [KEPT, KEPT, KEPT, LOCKED]
    assert kept(latch) == [65534, 65535, 0]
    assert latch.source == OTHER_PORT


def test_what_was_kept_has_the_time_at_which_it_came() -> None:
    latch = made(end("address"))
    for n in range(PROBATION):
        latch.hears(rtp(n), 172, OTHER_PORT, n * 1000)
    assert [at for _, at in latch.take_kept()] == [0, 1000, 2000]


def test_any_source_within_the_networks_locks_behind_nat_and_is_sent_to() -> None:
    latch = made(end("nat"))
    assert latch.target() == SDP
    assert hears(latch, INSIDE_NAT, 1, 2, 3) == [KEPT] * 3
    assert latch.target() == SDP
    assert hears(latch, INSIDE_NAT, 4) == [LOCKED]
    assert latch.target() == INSIDE_NAT


@pytest.mark.parametrize("latching", ["strict", "address"])
def test_only_nat_moves_where_packets_go(latching: wire.Latching) -> None:
    latch = made(end(latching))
    hears(latch, OTHER_PORT, 1, 2, 3, 4)
    assert latch.target() == SDP


def test_numbers_must_follow_one_another_and_be_of_one_ssrc() -> None:
    latch = made(end("address"))
    assert LOCKED not in hears(latch, OTHER_PORT, 1, 3, 5, 7, 9, 9, 9, 9)
    assert LOCKED not in [hears(latch, OTHER_PORT, n, ssrc=bytes((n,)) * 4)[0] for n in range(10, 20)]
    assert latch.source is None
    assert latch.foreign == 8 + 10 - 1, "but for the last, which may still be the first of a row"


def test_a_gap_begins_the_row_anew() -> None:
    latch = made(end("address"))
    assert hears(latch, OTHER_PORT, 1, 2, 3, 5, 6, 7, 8) == [KEPT] * 6 + [LOCKED]
    assert kept(latch) == [5, 6, 7]
    assert latch.foreign == 3


def test_an_opaque_stream_has_no_numbers_to_judge_by() -> None:
    latch = Latch()
    latch.put(end("address"), OWN, 0.0, is_rtp=False)
    assert [latch.hears(bytearray(b"t38"), 3, OTHER_PORT, 0) for _ in range(4)] == [KEPT, KEPT, KEPT, LOCKED]


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_nobody_is_let_in_where_the_sdp_names_nobody(latching: wire.Latching) -> None:
    latch = made(end(latching, None))
    assert hears(latch, SDP, 1, 2, 3, 4) == [FOREIGN] * 4
    assert hears(latch, INSIDE_NAT, 1, 2, 3, 4) == [FOREIGN] * 4
    assert latch.target() is None


# --- attacks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_a_stranger_is_never_let_in_however_well_its_numbers_follow(latching: wire.Latching) -> None:
    latch = made(end(latching))
    assert hears(latch, STRANGER, *range(100)) == [FOREIGN] * 100
    assert hears(latch, SDP, 1) == [LOCKED]
    assert hears(latch, STRANGER, *range(2, 100)) == [FOREIGN] * 98
    assert latch.target() == SDP


def test_strict_lets_nobody_in_from_another_port_of_the_right_address() -> None:
    latch = made(end("strict"))
    assert hears(latch, OTHER_PORT, *range(20)) == [FOREIGN] * 20
    latch = locked(end("strict"))
    assert hears(latch, OTHER_PORT, *range(20)) == [FOREIGN] * 20


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
@pytest.mark.parametrize("attacker", [STRANGER, OTHER_PORT, INSIDE_NAT])
def test_after_the_lock_the_right_ssrc_and_number_help_nobody(latching: wire.Latching, attacker: Source) -> None:
    latch = locked(end(latching))
    assert hears(latch, attacker, *range(5, 50)) == [FOREIGN] * 45
    assert hears(latch, SDP, 5) == [OURS]
    assert (latch.source, latch.target(), latch.foreign) == (SDP, SDP, 0)


def test_a_spray_of_single_packets_does_not_end_a_probation() -> None:
    """Each from another port: the far end's row goes on between them, as long as it is among the latest few."""
    latch = made(end("address"))
    for n in range(1, 4):
        assert hears(latch, OTHER_PORT, n) == [KEPT]
        for port in range(5000, 5007):
            assert hears(latch, ("192.0.2.30", port + 100 * n), 1) == [KEPT]
    assert hears(latch, OTHER_PORT, 4) == [LOCKED]
    assert latch.source == OTHER_PORT


# BOUND: LATCH_CANDIDATES
def test_a_spray_keeps_little_and_what_it_was_is_foreign() -> None:
    latch = made(end("nat"))
    for port in range(1024, 11024):
        assert hears(latch, ("198.51.100.9", port), 1) == [KEPT]
    assert latch.foreign == 10_000 - 8
    assert hears(latch, SDP, 1) == [LOCKED]
    assert latch.foreign == 10_000


# BOUND: LATCH_KEPT_OCTETS
def test_a_packet_too_large_to_be_voice_is_not_kept() -> None:
    latch = made(end("address"))
    assert latch.hears(rtp(1) + bytes(4096), 4096, OTHER_PORT, 0) == FOREIGN


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_our_own_addresses_are_never_learned_nor_sent_to(latching: wire.Latching) -> None:
    own = ("198.51.100.1", 20002)
    latch = made(end(latching, own))
    assert hears(latch, own, *range(8)) == [FOREIGN] * 8
    assert hears(latch, ("198.51.100.1", 9), *range(8)) == [FOREIGN] * 8
    assert latch.target() is None
    assert not latch.may_be(*own)


def test_a_source_that_turns_out_to_be_our_own_is_let_go() -> None:
    latch = locked(end("nat"), INSIDE_NAT)
    latch.put(end("nat"), OWN | {INSIDE_NAT[0]}, 1.0)
    assert latch.source is None


# --- another description ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latching", ["address", "nat"])
def test_the_same_description_opens_nothing(latching: wire.Latching) -> None:
    latch = locked(end(latching, epoch=3))
    for epoch in (3, 2):
        latch.put(end(latching, epoch=epoch), OWN, 1.0)
        assert hears(latch, OTHER_PORT if latching == "address" else INSIDE_NAT, 1, 2, 3, 4, now=1.0) == [FOREIGN] * 4
        assert latch.is_shut(1.0)


@pytest.mark.parametrize(("latching", "new"), [("address", OTHER_PORT), ("nat", INSIDE_NAT)])
def test_a_new_description_lets_one_other_source_in_while_the_old_one_goes_on(
    latching: wire.Latching, new: Source
) -> None:
    latch = locked(end(latching))
    latch.put(end(latching, epoch=1), OWN, 1.0)
    assert not latch.is_shut(2.0)
    assert hears(latch, SDP, 5, now=2.0) == [OURS]
    assert hears(latch, new, 1, 2, now=2.0) == [KEPT] * 2
    assert hears(latch, SDP, 6, now=2.0) == [OURS]
    assert hears(latch, new, 3, 4, now=2.0) == [KEPT, LOCKED]
    third = ("192.0.2.30", 4444) if latching == "address" else ("198.51.100.9", 4444)
    assert hears(latch, third, 1, 2, 3, 4, now=2.0) == [FOREIGN] * 4, "once, and then no more"


@pytest.mark.parametrize(("latching", "new"), [("address", OTHER_PORT), ("nat", INSIDE_NAT)])
def test_the_sdps_own_source_wins_back_what_another_has_taken_from_it(latching: wire.Latching, new: Source) -> None:
    latch = locked(end(latching))
    latch.put(end(latching, epoch=1), OWN, 1.0)
    assert hears(latch, new, 1, 2, 3, 4, now=2.0)[-1] == LOCKED
    assert not latch.is_shut(2.0)
    assert hears(latch, SDP, 5, now=2.02) == [LOCKED]
    assert (latch.source, latch.target()) == (SDP, SDP)
    assert latch.is_shut(2.02)
    assert hears(latch, new, 5, 6, 7, 8, now=2.1) == [FOREIGN] * 4, "for good"


def test_with_address_the_sdps_own_source_ends_one_that_was_learned_before_it() -> None:
    latch = locked(end("address"), OTHER_PORT)
    assert hears(latch, ("192.0.2.30", 4444), *range(8), now=1.0) == [FOREIGN] * 8
    assert hears(latch, SDP, 1, now=LEARNING_SECONDS - 0.1) == [LOCKED]
    latch = locked(end("address"), OTHER_PORT)
    assert hears(latch, SDP, 1, now=LEARNING_SECONDS) == [FOREIGN], "too late"
    assert latch.is_shut(LEARNING_SECONDS)


def test_behind_nat_the_address_of_the_sdp_does_not_end_what_was_learned() -> None:
    """It is nobody's there: whoever forges it would end the sound of one that was locked."""
    latch = locked(end("nat"), INSIDE_NAT)
    assert hears(latch, SDP, 1, 2, 3, 4) == [FOREIGN] * 4
    assert latch.is_shut(0.0)


@pytest.mark.parametrize("latching", ["address", "nat"])
def test_nobody_is_learned_at_port_0(latching: wire.Latching) -> None:
    latch = made(end(latching))
    assert hears(latch, (SDP[0] if latching == "address" else INSIDE_NAT[0], 0), 1, 2, 3, 4) == [FOREIGN] * 4


def test_after_a_while_a_new_description_lets_nobody_in_any_more() -> None:
    latch = locked(end("address"))
    latch.put(end("address", epoch=1), OWN, 1.0)
    late = 1.0 + LEARNING_SECONDS
    assert hears(latch, OTHER_PORT, 1, 2, 3, now=late - 0.1) == [KEPT] * 3
    assert hears(latch, OTHER_PORT, 4, 5, 6, now=late) == [FOREIGN] * 3
    assert latch.is_shut(late)
    assert hears(latch, SDP, 9, now=late) == [OURS]


def test_a_new_port_in_the_sdp_locks_at_once_and_the_old_one_is_heard_until_then() -> None:
    latch = locked(end("address"))
    latch.put(end("address", OTHER_PORT, epoch=1), OWN, 1.0)
    assert hears(latch, SDP, 5, now=1.0) == [OURS]
    assert hears(latch, OTHER_PORT, 1, now=1.0) == [LOCKED]
    assert hears(latch, SDP, 6, now=1.0) == [FOREIGN]


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_a_new_address_in_the_sdp_ends_the_old_source(latching: wire.Latching) -> None:
    latch = locked(end(latching))
    latch.put(end(latching, ("192.0.2.77", 4000), epoch=1), OWN, 1.0)
    assert latch.source is None
    assert hears(latch, SDP, 5, 6, 7, 8, now=1.0) == [FOREIGN] * 4
    assert hears(latch, ("192.0.2.77", 4000), 1, now=100.0) == [LOCKED], "an unlocked latch has no haste"


def test_with_strict_a_new_port_ends_the_old_source_and_the_same_one_keeps_it() -> None:
    latch = locked(end("strict"))
    latch.put(end("strict", epoch=1), OWN, 1.0)
    assert hears(latch, SDP, 5, now=1.0) == [OURS]
    assert latch.is_shut(1.0), "there is nobody else"
    latch.put(end("strict", OTHER_PORT, epoch=2), OWN, 1.0)
    assert hears(latch, SDP, 6, now=1.0) == [FOREIGN]
    assert hears(latch, OTHER_PORT, 6, now=1.0) == [LOCKED]


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
@pytest.mark.parametrize("attacker", [STRANGER, ("198.51.100.1", 4000)])
def test_a_new_description_opens_nothing_to_a_stranger(latching: wire.Latching, attacker: Source) -> None:
    latch = locked(end(latching))
    latch.put(end(latching, epoch=1), OWN, 1.0)
    assert hears(latch, attacker, *range(5, 25), now=1.0) == [FOREIGN] * 20
    assert hears(latch, SDP, 5, now=1.0) == [OURS]


def test_a_row_that_began_before_a_new_description_does_not_count() -> None:
    latch = made(end("address"))
    hears(latch, OTHER_PORT, 1, 2, 3)
    latch.put(end("address", epoch=1), OWN, 1.0)
    assert latch.foreign == 3
    assert hears(latch, OTHER_PORT, 4, now=1.0) == [KEPT]


def test_other_rules_end_a_source_that_they_would_not_let_in() -> None:
    latch = locked(end("nat"), INSIDE_NAT)
    latch.put(end("address", epoch=0), OWN, 1.0)
    assert latch.source is None
    assert hears(latch, INSIDE_NAT, 5, 6, 7, 8, now=1.0) == [FOREIGN] * 4


_SOURCES = st.sampled_from([SDP, OTHER_PORT, STRANGER, INSIDE_NAT, ("198.51.100.1", 4000)])
_STEPS = st.lists(st.tuples(_SOURCES, st.integers(0, 3)) | st.integers(0, 20), max_size=60)


@given(st.sampled_from(["strict", "address", "nat"]), _STEPS)
def test_whatever_comes_only_those_who_may_are_locked_and_sent_to(
    latching: wire.Latching, steps: Iterable[tuple[Source, int] | int]
) -> None:
    latch, now, epoch = made(end(latching)), 0.0, 0
    allowed: dict[str, set[Source]] = {
        "strict": {SDP},
        "address": {SDP, OTHER_PORT},
        "nat": {SDP, INSIDE_NAT},
    }
    for step in steps:
        if isinstance(step, int):
            now, epoch = now + step, epoch + step % 2
            latch.put(end(latching, epoch=epoch), OWN, now)
        else:
            source, sequence = step
            verdict = hears(latch, source, sequence, now=now)[0]
            assert verdict == FOREIGN or source in allowed[latching]
        assert latch.source is None or latch.source in allowed[latching]
        assert latch.target() == (latch.source if latching == "nat" and latch.source else SDP)


# --- a worker that starts again ---------------------------------------------------------------------------------------


def resumed(latching: wire.Latching) -> Latch:
    latch = made(end(latching))
    latch.resume(lambda sequence, ssrc: (sequence, ssrc) == (500, int.from_bytes(SSRC)))
    return latch


@pytest.mark.parametrize(("latching", "source"), [("address", OTHER_PORT), ("nat", INSIDE_NAT)])
def test_who_goes_on_with_the_stream_is_locked_at_once(latching: wire.Latching, source: Source) -> None:
    latch = resumed(latching)
    assert hears(latch, source, 499) == [FOREIGN]
    assert hears(latch, source, 500, ssrc=b"else") == [FOREIGN]
    assert hears(latch, source, 500) == [LOCKED]
    latch.put(end(latching, epoch=1), OWN, 1.0)
    assert hears(latch, (source[0], 4444), 500, now=1.0) == [KEPT], "once"


@pytest.mark.parametrize(("latching", "source"), [("address", OTHER_PORT), ("nat", INSIDE_NAT)])
def test_a_workers_death_is_no_new_chance_for_another_stream(latching: wire.Latching, source: Source) -> None:
    """One that had waited for it, among those who may be learned, does not know the numbers of the stream."""
    latch = resumed(latching)
    intruder = (source[0], 4444)
    assert hears(latch, intruder, *range(9), ssrc=b"else", now=1.9) == [FOREIGN] * 9
    assert hears(latch, source, 500, now=1.9) == [LOCKED]
    assert hears(latch, intruder, *range(9), ssrc=b"else", now=3.0) == [FOREIGN] * 9


def test_a_worker_that_starts_again_hears_the_sdps_own_source_and_after_a_while_others() -> None:
    latch = resumed("address")
    assert hears(latch, SDP, 7) == [LOCKED], "whatever its numbers"
    latch = resumed("address")
    assert hears(latch, OTHER_PORT, 1, 2, 3, 4, now=2.0)[-1] == LOCKED, "who had been silent begins as at the first"


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_numbers_alone_let_no_stranger_in(latching: wire.Latching) -> None:
    latch = resumed(latching)
    assert hears(latch, STRANGER, 500) == [FOREIGN]
    assert hears(latch, ("198.51.100.1", 9), 500) == [FOREIGN]


def test_a_source_that_the_engine_knew_is_locked_where_it_may_be() -> None:
    latch = made(end("nat"))
    latch.relock(STRANGER)
    latch.relock(("198.51.100.1", 9))
    assert latch.source is None
    latch.relock(INSIDE_NAT)
    latch.relock(SDP)
    assert (latch.source, latch.target()) == (INSIDE_NAT, INSIDE_NAT)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.30", "192.0.2.30"),
        ("2001:DB8:0:0::30", "2001:db8::30"),
        ("::ffff:192.0.2.30", "192.0.2.30"),
        ("::FFFF:C000:021E", "192.0.2.30"),
        ("::ffff:0:1:2", "::ffff:0:1:2"),
    ],
)
def test_addresses_are_compared_in_one_form(host: str, expected: str) -> None:
    assert canonical(host) == expected


@pytest.mark.parametrize("host", ["", "pbx.example", "192.0.2", "192.0.2.256", "::g", "a\0b", "fe80::1%eth0"])
def test_what_is_no_ip_literal_is_an_error(host: str) -> None:
    with pytest.raises((OSError, ValueError)):
        canonical(host)


def test_a_source_with_a_zone_or_in_ipv6_is_the_one_that_the_sdp_means() -> None:
    assert origin(("fe80::1%eth0", 4000, 0, 2)) == ("fe80::1", 4000)
    latch = made(end("strict", ("FE80::1", 4000)))
    assert hears(latch, ("fe80::1%eth0", 4000, 0, 2), 1, 2) == [LOCKED, OURS]
    latch = made(end("strict"))
    assert hears(latch, ("::ffff:192.0.2.30", 4000, 0, 0), 1) == [LOCKED]
    assert hears(latch, ("::ffff:198.51.100.1", 4000, 0, 0), 1) == [FOREIGN]


def test_the_same_source_in_another_form_is_ours() -> None:
    latch = made(end("address", ("2001:db8::30", 4000)))
    latch.relock(("2001:db8::30", 4000))
    assert hears(latch, ("2001:db8::30", 4000, 0, 0), 5, 6) == [LOCKED, OURS]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("198.51.100.0/24", "198.51.100.255", "198.51.101.0"),
        ("198.51.100.7", "198.51.100.7", "198.51.100.6"),
        ("0.0.0.0/0", "203.0.113.1", "2001:db8::1"),
        ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ("10.0.0.0/9", "10.127.255.255", "10.128.0.0"),
    ],
)
def test_a_network_holds_its_own(text: str, inside: str, outside: str) -> None:
    network = Network(text)
    assert network.holds(inside)
    assert not network.holds(outside)
    assert not network.holds("")


def test_what_is_no_network_holds_nobody() -> None:
    assert read_networks(["nat", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "", "::/129"]) == []
    latch = Latch()
    latch.put(wire.End("192.0.2.1", 20000, wire.Remote(*SDP, 0), "nat", ("all",)), OWN, 0.0)
    assert hears(latch, INSIDE_NAT, 1, 2, 3, 4) == [FOREIGN] * 4
