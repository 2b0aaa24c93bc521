"""Which slot is whose: in memory that outlives the worker, and that several workers share."""

from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker.slots import OWNER, PACKETS, SLOT_OCTETS, Slots, owner_of

COUNT = 8


def made(memory: bytearray | None = None, first: int = 0, count: int = COUNT) -> Slots:
    return Slots(bytearray(COUNT * SLOT_OCTETS) if memory is None else memory, first, count)


def test_an_owner_is_one_pair_of_one_session() -> None:
    owners = {owner_of(ref, local, port) for ref in "ab" for local in ("192.0.2.1", "::1") for port in (2, 4)}
    assert len(owners) == 8
    assert all(0 < owner < 2**64 for owner in owners)
    assert owner_of("a", "::1", 2) == owner_of("a", "::1", 2)


def test_a_slot_is_fresh_is_found_again_and_is_given_back_empty() -> None:
    slots = made()
    at = slots.take(7)
    assert at is not None
    assert slots.memory[at : at + SLOT_OCTETS] == bytes(OWNER) + (7).to_bytes(8, "little")
    slots.memory[at + PACKETS] = 5
    assert (slots.take(7), slots.find(7), slots.owners(), slots.free) == (at, at, {7}, COUNT - 1)
    assert slots.memory[at + PACKETS] == 5
    slots.give_back(7)
    slots.give_back(7)
    assert (slots.find(7), slots.free, any(slots.memory)) == (None, COUNT, False)


def test_when_all_are_taken_there_is_none() -> None:
    slots = made()
    assert None not in [slots.take(owner) for owner in range(1, COUNT + 1)]
    assert slots.take(99) is None
    slots.give_back(3)
    assert slots.take(99) is not None


def test_a_worker_that_starts_again_finds_what_there_was() -> None:
    before = made()
    at = before.take(7)
    before.take(8)
    after = made(before.memory)
    assert (after.owners(), after.take(7), after.free) == ({7, 8}, at, COUNT - 2)


def test_workers_that_share_the_memory_keep_to_their_shares() -> None:
    memory = bytearray(COUNT * SLOT_OCTETS)
    one, other = made(memory, 0, 4), made(memory, 4, 4)
    mine = {one.take(owner) for owner in range(1, 6)}
    theirs = {other.take(owner) for owner in range(11, 16)}
    assert mine == {0, 128, 256, 384, None}
    assert theirs == {512, 640, 768, 896, None}


def test_what_another_worker_had_is_not_taken_into_ones_own_share() -> None:
    memory = bytearray(COUNT * SLOT_OCTETS)
    made(memory, 4, 4).take(11)
    one = made(memory, 0, 4)
    one.give_back(11)
    assert one.free == 4
    assert made(memory, 4, 4).free == 4


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=60))
def test_no_two_owners_have_one_slot(steps: list[tuple[bool, int]]) -> None:
    slots = made()
    for takes, owner in steps:
        slots.take(owner) if takes else slots.give_back(owner)
        places = [slots.find(one) for one in slots.owners()]
        assert len(set(places)) == len(places)
        assert len(places) + slots.free == COUNT
        assert Slots(slots.memory, 0, COUNT).owners() == slots.owners()
