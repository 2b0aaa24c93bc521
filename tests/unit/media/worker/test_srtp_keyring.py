"""Which keys a worker knows, for whom, and what of them outlives it."""

import pytest

from sbc.core.limits import SRTP_KEYS, SRTP_RECORDS, SRTP_ROLLOVERS_TRIED
from sbc.media import wire
from sbc.media.worker.srtp import REPLAYED, Sender, UnsendableError
from sbc.media.worker.srtp_cipher import FORGED
from sbc.media.worker.srtp_keyring import Keyring
from sbc.media.worker.srtp_memory import BEHIND, OCTETS, Records, forget
from sbc.testing.srtp import CM_80, master_key, rtp_packet

SSRC = 7


def crypto(n: int) -> wire.Crypto:
    key = (n + 1).to_bytes(30)
    return wire.Crypto(CM_80, wire.MasterKey(key), (wire.MasterKey(key),))


def memory() -> bytearray:
    return bytearray(BEHIND + OCTETS)


def test_one_key_has_one_state_whoever_holds_it():
    keyring = Keyring()
    one = keyring.sender("a", crypto(1), is_resumed=False)
    assert keyring.sender("b", crypto(1), is_resumed=False) is one
    assert keyring.receivers("a", crypto(1)) == keyring.receivers("b", crypto(1))
    keyring.release("a")
    assert keyring.sender("c", crypto(1), is_resumed=False) is one
    keyring.release("b")
    keyring.release("c")
    assert keyring.sender("d", crypto(1), is_resumed=False) is not one


# BOUND: SRTP_KEYS
def test_a_session_remembers_keys_that_it_had():
    keyring = Keyring()
    first = keyring.sender("a", crypto(0), is_resumed=False)
    for n in range(1, SRTP_KEYS):
        keyring.sender("a", crypto(n), is_resumed=False)
        keyring.tidy("a", [crypto(n)])
    assert keyring.sender("a", crypto(0), is_resumed=False) is first
    for n in range(1000, 1000 + 3 * SRTP_KEYS):
        keyring.sender("a", crypto(n), is_resumed=False)
        keyring.tidy("a", [crypto(n)])
    assert len(keyring._senders) <= SRTP_KEYS + 2
    assert keyring.sender("a", crypto(0), is_resumed=False) is not first


def test_how_many_records_there_are_is_told_without_looking_through_them():
    octets = memory()
    keyring = Keyring(octets)
    assert keyring.used == 0
    assert not any(octets)
    keyring.sender("a", crypto(1), is_resumed=False)
    keyring.counter(99)
    assert keyring.used == 2
    keyring.release("a")
    keyring.forget_counter(99)
    assert keyring.used == 0


# BOUND: SRTP_RECORDS
def test_records_are_bounded_and_a_lack_of_them_is_remembered():
    octets = memory()
    records = Records(octets, BEHIND)
    for n in range(SRTP_RECORDS):
        records.take(2 * n + 1)
    assert records.used == SRTP_RECORDS
    key = master_key(CM_80, 1).key
    extra = Sender(CM_80, key, records, is_resumed=False)
    extra.protect(rtp_packet(1), b"")  # it works for as long as this worker lives
    following = Records(octets, BEHIND)
    assert not following.is_complete
    with pytest.raises(UnsendableError):
        Sender(CM_80, key, following, is_resumed=True).protect(rtp_packet(2), b"")
    with pytest.raises(UnsendableError):  # nor after yet another death
        Sender(CM_80, key, Records(octets, BEHIND), is_resumed=True).protect(rtp_packet(2), b"")


def test_a_source_without_a_record_is_not_sent_where_records_lack():
    octets = memory()
    records, key = Records(octets, BEHIND), master_key(CM_80, 1).key
    one = Sender(CM_80, key, records, is_resumed=False)
    one.protect(rtp_packet(1, ssrc=1), b"")
    while records.used < SRTP_RECORDS:
        records.take(2 * records.used + 1, 77)
    one.protect(rtp_packet(1, ssrc=2), b"")
    following = Sender(CM_80, key, Records(octets, BEHIND), is_resumed=True)
    following.protect(rtp_packet(2, ssrc=1), b"")
    with pytest.raises(UnsendableError):
        following.protect(rtp_packet(2, ssrc=2), b"")


def test_complete_records_vouch_for_what_is_not_in_them():
    octets = memory()
    Records(octets, BEHIND)
    following = Records(octets, BEHIND)
    assert following.is_complete
    Sender(CM_80, master_key(CM_80, 1).key, following, is_resumed=True).protect(rtp_packet(1), b"")


def test_no_key_is_in_the_memory():
    octets = memory()
    key = bytes(range(100, 130))
    Sender(CM_80, key, Records(octets, BEHIND), is_resumed=False).protect(rtp_packet(1), b"")
    assert key[:8] not in octets
    assert key[-8:] not in octets


def test_records_of_nobody_are_forgotten():
    octets = memory()
    before = Keyring(octets)
    before.sender("a", crypto(1), is_resumed=False).protect(rtp_packet(1), b"")
    before.counter(99)
    after = Keyring(octets)
    after.sender("b", crypto(2), is_resumed=True)
    after.clear_away({98})
    assert after.records.used == 1
    forget(octets)
    assert not Records(octets, BEHIND).is_complete


def test_memory_without_room_behind_the_slots_is_not_used():
    octets = bytearray(BEHIND)
    Keyring(octets).sender("a", crypto(1), is_resumed=False).protect(rtp_packet(1), b"")
    forget(octets)
    assert not any(octets)


def test_a_source_without_room_for_its_record_goes_on_where_it_was_when_another_worker_has_told():
    keyring = Keyring(memory())
    one = keyring.sender("a", crypto(1), is_resumed=False)
    while keyring.records.used < SRTP_RECORDS:
        keyring.records.take(2 * keyring.records.used + 1, 77)
    for n in range(65_500, 65_600):
        one.protect(rtp_packet(n), b"")
    states = keyring.states(crypto(1))
    assert max(state.index for state in states) == 65_599
    keyring.take_over(states)
    with pytest.raises(UnsendableError):
        one.protect(rtp_packet(65_590), b"")


# RFC: 3711
def test_nothing_is_sent_under_a_key_that_was_used_nobody_knows_how_far():
    """ "The same key stream must never be used for two texts", and the memory of what was used is gone (§9.1)."""
    keyring = Keyring(memory())
    assert keyring.sender("a", crypto(1), is_resumed=True, is_adopted=True).is_spent
    octets = memory()
    Records(octets, BEHIND).take(7)  # of another call, so that this memory vouches for what is in it
    assert keyring_of(octets).sender("a", crypto(1), is_resumed=True, is_adopted=True).is_spent
    assert not keyring_of(octets).sender("a", crypto(2), is_resumed=False).is_spent


def keyring_of(octets):
    return Keyring(octets)


def test_a_key_that_is_remembered_goes_on_under_who_adopts_its_session():
    octets = memory()
    before = Keyring(octets).sender("a", crypto(1), is_resumed=False)
    first = bytes(before.protect(rtp_packet(1), b""))
    after = Keyring(octets).sender("a", crypto(1), is_resumed=True, is_adopted=True)
    assert not after.is_spent
    with pytest.raises(UnsendableError):
        after.protect(rtp_packet(1), b"")
    assert bytes(after.protect(rtp_packet(2), b""))[2:4] > first[2:4]


# BOUND: SRTP_ROLLOVERS_TRIED
@pytest.mark.parametrize("roc", [0, 1, 7, SRTP_ROLLOVERS_TRIED - 1])
def test_a_far_end_that_keeps_its_key_is_heard_on_whatever_its_rollover_counter_is(roc):
    sender = Sender(CM_80, crypto(1).send.key, Records(), is_resumed=False)
    sender._source(SSRC).take(roc << 16)
    octets = memory()
    [receiver] = Keyring(octets).receivers("a", crypto(1), is_adopted=True)
    for n in (1, 2, 3):
        packet = bytes(sender.protect(rtp_packet((roc << 16) + n, payload=bytes([n]) * 20), b""))
        assert opened(receiver, packet) == rtp_packet((roc << 16) + n, payload=bytes([n]) * 20)
        assert opened(receiver, packet) == REPLAYED


def test_only_a_few_packets_are_tried_with_every_rollover_counter():
    """A flood of what is forged costs no more than that."""
    sender = Sender(CM_80, crypto(1).send.key, Records(), is_resumed=False)
    sender._source(SSRC).take(5 << 16)
    packet = bytes(sender.protect(rtp_packet((5 << 16) + 1), b""))
    [receiver] = Keyring(memory()).receivers("a", crypto(1), is_adopted=True)
    forged = packet[:-1] + bytes([packet[-1] ^ 1])
    for _ in range(64):
        assert opened(receiver, forged) == FORGED
    assert opened(receiver, packet) == FORGED


def test_a_key_that_was_never_adopted_is_not_tried_so():
    sender = Sender(CM_80, crypto(1).send.key, Records(), is_resumed=False)
    sender._source(SSRC).take(5 << 16)
    [receiver] = Keyring(memory()).receivers("a", crypto(1))
    assert opened(receiver, bytes(sender.protect(rtp_packet((5 << 16) + 1), b""))) == FORGED


def opened(receiver, packet):
    room = memoryview(bytearray(packet))
    left = receiver.open(room, len(packet), 0)
    return bytes(room[:left]) if left >= 0 else left
