"""How much is let in: fair, without swinging, and everything again as soon as there is room."""

import random

import pytest

from sbc.b2bua.overload import LATE, TOO_LATE, Kind, Overload, Verdict, fair_shares
from sbc.b2bua.steering import INTERVAL, TARGET


def offer(overload, peer, calls, *, kind=Kind.CALL, seed=0):
    """The fraction of them that is let in."""
    draw = random.Random(seed).random
    return sum(overload.admits(peer, kind, draw()) is Verdict.ADMIT for _ in range(calls)) / calls


def overloaded(**offers):
    """One that lets in half of what comes; `offers`: calls by peer and interval."""
    overload = Overload()
    now = 0.0
    overload.queued(2 * TARGET, "udp", now)
    for _ in range(3):
        for peer, calls in offers.items():
            offer(overload, peer, calls)
        overload.queued(2 * TARGET, "udp", now + INTERVAL / 2)
        now += INTERVAL
        overload.tick(now)
    overload._shared.rate = sum(offers.values()) / INTERVAL / 2
    overload._share(())
    overload.queued(TARGET, "udp", now)
    return overload, now


def test_while_there_is_no_queue_nobody_need_ask():
    overload = Overload()
    overload.queued(0.0, "udp", 0.0)
    overload.queued(TARGET / 2, "udp", 0.1)
    assert not overload.is_on
    assert overload.next_deadline() is None


def test_a_queue_that_empties_within_an_interval_was_a_burst():
    overload = Overload()
    overload.queued(5 * TARGET, "udp", 0.0)
    assert offer(overload, "a", 100) == 1.0
    overload.queued(0.0, "udp", INTERVAL / 2)
    overload.tick(INTERVAL)
    assert not overload.is_shedding
    assert offer(overload, "a", 100) == 1.0


def test_a_long_queue_without_anything_new_in_it_tells_no_rate():
    overload = Overload()
    for n in range(5):
        overload.queued(20 * TARGET, "udp", n * INTERVAL)
        overload.tick((n + 1) * INTERVAL)
    assert (overload.is_shedding, overload.rate) == (False, None)
    assert offer(overload, "a", 100) == 1.0


def test_an_empty_queue_does_not_hide_one_that_stands():
    overload = Overload()
    for n in range(10):
        now = n * INTERVAL / 2
        overload.queued(3 * TARGET, "udp:a", now)
        overload.queued(0.0, "udp:b", now)
        offer(overload, "a", 50)
        overload.tick(now)
    assert overload.is_shedding


def test_whoever_asks_for_less_than_his_share_has_all_of_it():
    overload, _ = overloaded(flood=900, small=50, tiny=10)
    assert offer(overload, "small", 100) == 1.0
    assert offer(overload, "tiny", 100) == 1.0
    assert offer(overload, "flood", 2000) == pytest.approx((480 - 60) / 900, abs=0.05)
    assert overload.busiest() == "flood"


def test_the_same_call_gets_the_same_answer_each_time():
    overload, _ = overloaded(a=100)
    marks = [random.Random(n).random() for n in range(200)]
    first = [overload.admits("a", Kind.CALL, mark) for mark in marks]
    assert first == [overload.admits("a", Kind.CALL, mark) for mark in marks]
    assert {Verdict.ADMIT, Verdict.REFUSE} == set(first)


def test_what_goes_on_beside_calls_is_refused_first_and_registrations_last():
    overload, _ = overloaded(a=100)
    overload._peers["a"].fraction = 0.4
    assert offer(overload, "a", 500, kind=Kind.BESIDE) == 0.0
    assert offer(overload, "a", 500) == pytest.approx(0.4, abs=0.06)
    assert offer(overload, "a", 500, kind=Kind.REGISTER) == pytest.approx(0.8, abs=0.06)


def test_when_the_queue_is_late_who_has_more_than_his_share_gets_nothing_more():
    overload, now = overloaded(flood=900, small=50)
    overload.queued(LATE + 0.01, "udp", now)
    assert offer(overload, "flood", 100) == 0.0
    assert offer(overload, "small", 100) == 1.0


def test_beyond_what_peers_wait_for_refusals_are_silent():
    overload, now = overloaded(flood=900)
    assert overload.admits("flood", Kind.CALL, 0.99) is Verdict.REFUSE
    overload.queued(TOO_LATE + 0.01, "udp", now)
    assert overload.admits("flood", Kind.CALL, 0.99) is Verdict.DROP
    assert overload.admits("flood", Kind.REGISTER, 0.0) is Verdict.DROP


def test_it_is_over_soon_after_the_last_that_had_to_be_refused():
    overload, now = overloaded(a=100)
    begun = now
    while overload.is_on:
        offer(overload, "a", 5)
        now += INTERVAL
        overload.tick(now)
        assert now - begun < 5.0
    assert overload.level == 0.0
    assert offer(overload, "a", 10) == 1.0


def test_peers_that_ask_for_nothing_are_forgotten():
    overload, now = overloaded(a=100, b=100)
    for _ in range(18):
        now += INTERVAL
        offer(overload, "a", 100)
        overload.queued(2 * TARGET, "udp", now - 0.01)
        overload.tick(now)
    assert set(overload._peers) == {"a"}


# --- queues of one peer alone -----------------------------------------------------------------------------------------


def flooding(seconds, *, flood=400, others=30, shared_age=0.0):
    """One stream is flooded and stays long whatever is refused; "a" and "b" ask for less each. Calls by interval; and
    how many of them were let in, by peer, in the last interval.
    """
    overload, now, draw = Overload(), 0.0, random.Random(3).random
    admitted = {}
    while now < seconds:
        overload.queued(now + 2 * TARGET, "tcp:flood", now, whose="flood")
        overload.queued(shared_age, "udp", now)
        for peer, calls in (("flood", flood), ("a", others), ("b", others)):
            verdicts = [overload.admits(peer, Kind.CALL, draw()) for _ in range(calls)]
            admitted[peer] = verdicts.count(Verdict.ADMIT)
        now += INTERVAL
        overload.tick(now)
    return overload, now, admitted


def test_the_queue_of_a_stream_binds_whose_it_is_and_nobody_else():
    overload, _, admitted = flooding(10.0)
    assert admitted == {"flood": 0, "a": 30, "b": 30}
    assert (overload.fraction("a"), overload.loss("a")) == (1.0, 0)
    assert overload.loss("flood") == 95
    assert overload.busiest() == "flood"
    assert overload.is_shedding
    assert overload.level == pytest.approx(1.0 - (40 + 2 * 300) / (4000 + 2 * 300), abs=0.01)
    assert overload.rate is None  # of all together


def test_the_silence_of_what_is_too_late_is_for_whose_stream_it_is():
    overload, _, _ = flooding(2.0)
    overload._peers["a"].fraction = 0.5
    assert overload.admits("flood", Kind.CALL, 0.0) is Verdict.DROP
    assert overload.admits("a", Kind.CALL, 0.9) is Verdict.REFUSE
    assert overload.admits("a", Kind.CALL, 0.4) is Verdict.ADMIT


def test_what_all_share_binds_all_while_one_floods_his_stream():
    overload, now, _ = flooding(3.0, others=100, shared_age=3 * TARGET)
    assert overload.rate is not None
    assert overload.fraction("a") < 1.0
    assert overload.fraction("b") < 1.0
    overload.queued(TOO_LATE + 0.01, "udp", now)
    assert overload.admits("a", Kind.CALL, 0.99) is Verdict.DROP


def test_a_peer_has_no_more_than_its_fair_share_though_its_own_stream_bears_more():
    overload, now = overloaded(flood=300, other=300)
    overload.queued(2 * TARGET, "tcp:flood", now, whose="flood")
    overload._own["flood"].rate = 2900.0
    overload._share(())
    assert overload.fraction("flood") == pytest.approx(0.5, abs=0.05)
    overload._own["flood"].rate = 100.0
    overload._share(())
    assert overload.fraction("flood") == pytest.approx(100 / 3000, abs=0.01)
    assert overload.fraction("other") == pytest.approx(2900 / 3000, abs=0.02)  # what is left is the others'


def test_the_limit_of_a_stream_is_forgotten_when_it_is_short_again_and_all_is_let_in():
    overload, now, _ = flooding(3.0)
    overload.queued(0.0, "tcp:flood", now, whose="flood")
    begun = now
    while overload.is_on:
        offer(overload, "flood", 10)
        offer(overload, "a", 30)
        now += INTERVAL
        overload.tick(now)
        assert now - begun < 5.0
    assert overload._own == {}
    assert offer(overload, "flood", 100) == 1.0


def test_what_all_share_is_forgotten_though_somebody_floods_his_stream_on():
    overload, now, _ = flooding(3.0, others=100, shared_age=3 * TARGET)
    for n in range(60):
        overload.queued(now + 2 * TARGET, "tcp:flood", now, whose="flood")
        overload.queued(0.0, "udp", now)
        offer(overload, "flood", 400, seed=n)
        offer(overload, "a", 5)
        now += INTERVAL
        overload.tick(now)
    assert overload.is_shedding
    assert overload._shared.rate is None
    assert offer(overload, "a", 500) == 1.0


def test_a_short_stream_leaves_nothing_behind():
    overload = Overload()
    for n in range(1000):
        overload.queued(TARGET / 2, f"tcp:{n}", 0.0, whose=f"peer {n}")
    assert not overload.is_on
    overload.queued(2 * TARGET, "udp", 0.0)
    overload.queued(TARGET / 2, "tcp:1", 0.0, whose="peer 1")
    assert overload._own == {}


# RFC: 7339
def test_a_client_that_leaves_out_what_it_is_told_is_told_so_for_as_long_as_it_would_send_too_much():
    overload, now = overloaded(a=200)
    speaks = ("a",)
    losses = []
    for _ in range(40):  # it would send 200 in each interval, and leaves out what it was told last
        offer(overload, "a", round(200 * (1 - overload.loss("a") / 100)))
        overload.queued(TARGET, "udp", now + INTERVAL / 2)
        now += INTERVAL
        overload.tick(now, speakers=speaks)
        losses.append(overload.loss("a"))
    assert all(losses[-1] - 3 <= loss <= losses[-1] + 3 for loss in losses[10:])
    assert 40 <= losses[-1] <= 60
    assert overload.fraction("a") == pytest.approx(1.0, abs=0.1)


def test_shares_are_as_large_as_they_can_be_for_the_smallest():
    assert fair_shares({"a": 10, "b": 100, "c": 1000}, 300) == {"a": 10, "b": 100, "c": 190}
    assert fair_shares({"a": 100, "b": 100}, 50) == {"a": 25, "b": 25}
    assert fair_shares({"a": 1}, 50) == {"a": 1}
