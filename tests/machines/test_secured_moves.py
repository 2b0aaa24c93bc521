"""A leg goes from worker to worker while one of them dies: no index of its key is used twice, and it is not mute."""

from msgspec.structs import replace

from sbc.core.address import Address
from sbc.core.limits import HANDED_SECONDS
from sbc.media.worker.service import Service
from sbc.testing.srtp import rtp_packet, sender_report

from .secured_lab import CARRIER, INSIDE, OUTSIDE, PBX, Lab, far, stream
from .test_secured_workers import TwoWorkers, _Watch, two_calls

HERE, HERE_RTCP = Address(INSIDE, 20002), Address(INSIDE, 20003)  # where the PBX of call b sends to


def dies(lab: TwoWorkers, n: int) -> None:
    lab.client.worker_lost(n)
    lab.all_lanes[n].clear()


def rises(lab: TwoWorkers, n: int) -> None:
    """In the memory of the former one."""
    memory = lab.services[n]._around.memory
    lab.services[n] = Service(_Watch(lab.all_lanes[n]), lambda: lab.now, memory)
    lab.deliver(lab.client.worker_started(n, continues=True))


def joins(lab: TwoWorkers, joined) -> None:
    lab.put(joined, ref="b")
    lab.delete("a")


def goes_on(lab: TwoWorkers, carrier, report: bytes) -> bool:
    """What was sent is not sent again; what follows arrives."""
    again = lab.sends(PBX, HERE, rtp_packet(65_650, ssrc=9, payload=b"other" * 32))
    (after,) = lab.sends(PBX, HERE_RTCP, sender_report(9))
    left = lab.sends(PBX, HERE, rtp_packet(65_750, ssrc=9))
    is_later = after[-14:-10] > report[-14:-10]
    return again == [] and is_later and [carrier.opened(one) for one in left] == [rtp_packet(65_750, ssrc=9)]


def test_who_talks_to_the_leg_in_its_new_call_is_heard_there():
    lab, carrier, joined = two_calls()
    joins(lab, joined)
    left = lab.sends(PBX, HERE, rtp_packet(1, ssrc=99))
    assert [carrier.opened(one) for one in left] == [rtp_packet(1, ssrc=99)]


def test_word_of_the_keys_waits_for_a_worker_that_does_not_run():
    lab, carrier, joined = two_calls()
    (report,) = lab.sends(PBX, Address(INSIDE, 20001), sender_report(9))
    dies(lab, 1)
    joins(lab, joined)
    rises(lab, 1)
    assert goes_on(lab, carrier, report)


def test_word_that_was_on_its_way_to_a_worker_that_died_is_said_to_the_next():
    lab, carrier, joined = two_calls()
    (report,) = lab.sends(PBX, Address(INSIDE, 20001), sender_report(9))
    lab.is_held = True
    joins(lab, joined)
    dies(lab, 1)
    lab.held.clear()
    lab.is_held = False
    rises(lab, 1)
    assert goes_on(lab, carrier, report)


def test_a_worker_that_dies_twice_goes_on_from_what_it_wrote_itself():
    lab, carrier, joined = two_calls()
    (report,) = lab.sends(PBX, Address(INSIDE, 20001), sender_report(9))
    joins(lab, joined)
    assert lab.sends(PBX, HERE, rtp_packet(65_701, ssrc=9))
    for _ in range(2):
        dies(lab, 1)
        rises(lab, 1)
    assert lab.sends(PBX, HERE, rtp_packet(65_701, ssrc=9, payload=b"other" * 32)) == []
    assert goes_on(lab, carrier, report)


def test_a_leg_that_comes_back_without_word_is_mute_although_its_key_is_known_here():
    lab, carrier, joined = two_calls()
    first = lab.client._sessions["a"].put.streams[0]
    lab.put(joined, ref="b")
    assert lab.sends(PBX, HERE, rtp_packet(65_720, ssrc=9))
    dies(lab, 1)
    lab.put(first, ref="a")
    lab.wait(HANDED_SECONDS + 0.1)
    assert lab.sends(PBX, Address(INSIDE, 20000), rtp_packet(65_710, ssrc=9, payload=b"other" * 32)) == []
    carrier.rekey(carrier.suite, carrier.sends, far(seed=7).hears)
    lab.put(replace(first, egress=replace(first.egress, secured=carrier.crypto)), ref="a")
    left = lab.sends(PBX, Address(INSIDE, 20000), rtp_packet(65_711, ssrc=9))
    assert [carrier.opened(one) for one in left] == [rtp_packet(65_711, ssrc=9)]


def test_a_leg_that_goes_on_before_its_word_has_come_is_told_it_where_it_is_then():
    lab, carrier, joined = two_calls()
    first = lab.client._sessions["a"].put.streams[0]
    received, late = lab.client.received, []
    lab.client.received = lambda data, worker: late.append((data, worker)) or []
    lab.put(joined, ref="b")
    lab.put(first, ref="a")
    lab.client.received = received
    for data, worker in late:
        received(data, worker)
    lab.deliver([])
    assert lab.sends(PBX, Address(INSIDE, 20000), rtp_packet(65_650, ssrc=9, payload=b"other" * 32)) == []
    left = lab.sends(PBX, Address(INSIDE, 20000), rtp_packet(65_710, ssrc=9))
    assert [carrier.opened(one) for one in left] == [rtp_packet(65_710, ssrc=9)]
    assert lab.sends(CARRIER, Address(OUTSIDE, 20000), carrier.rtp(rtp_packet(65_710))) == [rtp_packet(65_710)]


def test_a_plain_leg_that_came_without_word_has_sound_when_it_becomes_srtp():
    lab, carrier, joined = two_calls()
    plain = replace(joined, egress=replace(joined.egress, secured=None))
    dies(lab, 0)
    lab.put(plain, ref="b")
    lab.wait(HANDED_SECONDS + 0.1)
    carrier.rekey(carrier.suite, carrier.sends, far(seed=7).hears)
    lab.put(replace(plain, egress=replace(joined.egress, secured=carrier.crypto)), ref="b")
    left = lab.sends(PBX, HERE, rtp_packet(1, ssrc=9))
    assert [carrier.opened(one) for one in left] == [rtp_packet(1, ssrc=9)]


def test_a_call_that_ended_while_no_worker_ran_takes_no_key_along():
    lab, carrier = Lab(), far()
    one, other = stream(None, carrier), stream(None, None, i=1)
    lab.put(one, ref="a")
    for n in range(65_400, 65_700):
        assert lab.from_pbx(rtp_packet(n))
    lab.put(replace(one, ingress=other.ingress), ref="b")
    assert lab.sends(PBX, HERE, rtp_packet(65_700))
    lab.client.worker_lost()
    lab.delete("a")
    lab.start()
    assert lab.sends(PBX, HERE, rtp_packet(65_650, payload=b"other" * 32)) == []
    assert lab.sends(PBX, HERE, rtp_packet(65_701))
