"""Session timers between two phones (RFC 4028)."""

import pytest

from sbc.testing.party import Stage


def timed(pair, alice=90, bob=None, **options):
    two = pair()
    two.alice.uses_session_timer(alice, **options)
    two.bob.uses_session_timer(bob)
    return two


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_the_caller_refreshes_at_half_the_interval(pair, by):
    two = timed(pair, refresher="uac", refreshes=by)
    alice, bob = two.talk()
    assert (alice.call.interval, bob.call.interval) == (90, 90)
    two.net.run(200.0)
    assert bob.call.heard.count(by) == 4 + (by == "INVITE")
    alice.hangs_up()
    assert two.is_over()


def test_the_callee_refreshes_where_it_is_named(pair):
    two = timed(pair, refresher="uas")
    alice, bob = two.talk()
    two.net.run(100.0)
    assert alice.call.heard.count("UPDATE") == 2
    bob.hangs_up()
    assert two.is_over()


def test_without_update_a_reinvite_refreshes(pair):
    two = timed(pair)
    two.bob.disallows("UPDATE")
    alice, bob = two.talk()
    two.net.run(50.0)
    assert bob.call.heard == ["INVITE", "ACK", "INVITE", "ACK"]
    assert alice.call.version == 1
    alice.hangs_up()
    assert two.is_over()


def test_an_interval_too_small_is_said_again(pair):
    two = pair()
    two.alice.uses_session_timer(90)
    two.bob.uses_session_timer(None, min_se=600)
    alice, bob = two.talk()
    assert alice.got(422, 200)
    assert (alice.call.interval, bob.call.interval) == (600, 600)
    alice.hangs_up()
    assert two.is_over()


def test_who_is_not_refreshed_hangs_up(pair):
    two = timed(pair, refresher="uac", refreshes=None)
    alice, bob = two.talk()
    two.net.run(59.0)
    assert bob.is_talking
    two.net.run(2.0)  # "the minimum of 32 seconds and one third" before the end of 90
    assert bob.got("session expired")
    assert alice.call.stage is Stage.ENDED
    assert two.is_over()


def test_who_knows_no_timers_is_refreshed_by_nobody(pair):
    two = pair()
    two.alice.uses_session_timer(90)
    alice, bob = two.talk()
    assert alice.call.interval is None
    two.net.run(200.0)
    assert bob.call.heard == ["INVITE", "ACK"]
    alice.hangs_up()
    assert two.is_over()


def test_the_callee_can_ask_for_a_timer(pair):
    two = pair()
    two.alice.supports("timer")
    two.bob.uses_session_timer(120, refresher="uac")
    alice, _bob = two.talk()
    assert (alice.call.interval, alice.call.refreshes) == (120, True)
    alice.hangs_up()
    assert two.is_over()


def test_a_refresh_that_does_not_say_so_is_a_fault(pair):
    two = timed(pair, refresher="uac")
    alice, bob = two.talk()
    alice.script.supports = ()
    alice.updates(sdp=False)
    assert bob.agent.complaints == ["UPDATE: no Session-Expires, though a session timer runs"]
