"""How much is let in: fair, without swinging, and everything again as soon as there is room."""

import random

import pytest

from sbc.b2bua.overload import INTERVAL, LATE, TARGET, TOO_LATE, Kind, Overload, Verdict, fair_shares


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
    overload._rate = sum(offers.values()) / INTERVAL / 2
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
