"""REFER and Replaces between three phones (RFC 3515, RFC 5589, RFC 3891): alice transfers bob to carol."""

import pytest

from sbc.testing.party import Stage


@pytest.fixture
def three(pair):
    """Alice talks with bob; he sends his calls to carol."""
    made = pair()
    made.carol()
    made.talk()
    made.bob.agent.line.outbound = made.phones[2].address
    return made


def test_blind(three):
    alice, bob, carol = three.phones
    alice.transfers("carol")
    assert alice.call.referrals[0].status == 202
    carol.rings()
    assert alice.call.progress == [100, 180]
    carol.answers()
    assert alice.call.progress == [100, 180, 200]
    assert alice.call.stage is Stage.ENDED
    assert bob.call.stage is carol.call.stage is Stage.TALKING
    assert carol.last("INVITE").header("Referred-By") is not None
    bob.hangs_up()
    assert three.is_over()


def test_the_transferor_can_stay(three):
    alice, bob, carol = three.phones
    alice.script.hangs_up_when_transferred = False
    alice.transfers("carol")
    carol.answers()
    assert alice.is_talking
    alice.hangs_up()
    bob.hangs_up()
    assert three.is_over()


def test_the_target_is_busy(three):
    alice, bob, carol = three.phones
    alice.transfers("carol")
    carol.refuses(486)
    assert alice.call.progress == [100, 486]
    assert alice.is_talking
    alice.hangs_up()
    assert bob.calls[0].stage is Stage.ENDED
    assert three.is_over()


def test_a_refer_can_be_refused(three):
    alice, bob, _carol = three.phones
    bob.answers_refers(603)
    alice.transfers("carol")
    assert alice.got("603 REFER")
    assert alice.call.progress == []
    alice.hangs_up()
    assert three.is_over()


def test_attended(three):
    alice, bob, carol = three.phones
    first = alice.call
    alice.holds()
    second = alice.invites("carol", to=carol.address)
    carol.answers()
    alice.transfers(attended=second)
    assert first.progress == [100, 200]
    assert (first.stage, second.stage) == (Stage.ENDED, Stage.ENDED)
    assert carol.calls[0].stage is Stage.ENDED
    assert carol.is_talking
    assert bob.is_talking
    carol.hangs_up()
    assert three.is_over()


def test_replaces_of_a_dialog_that_is_not_there(three):
    _alice, bob, carol = three.phones
    bob.invites("carol", to=carol.address, replaces="nothing@nowhere;to-tag=1;from-tag=2")
    assert bob.got(481)
    bob.hangs_up(call=bob.calls[0])
    assert carol.call.stage is Stage.ENDED
    assert three.is_over()


def test_replaces_of_an_early_dialog_of_the_caller_cancels_it(three):
    """Bob's phone rings carol; alice takes the call over at bob's end (call pickup, RFC 3891 §3)."""
    alice, bob, carol = three.phones
    ringing = bob.invites("carol", to=carol.address)
    carol.rings()
    text = f"{ringing.call_id};to-tag={ringing.local_tag};from-tag={ringing.remote_tag}"
    alice.invites("bob", replaces=text)
    assert ringing.status == 487
    assert bob.is_talking
    alice.hangs_up()
    alice.hangs_up(call=alice.calls[0])
    assert three.is_over()


def test_the_final_notify_must_come(three):
    alice, bob, carol = three.phones
    bob.answers_refers(202, notifies="first")
    alice.transfers("carol")
    carol.answers()
    three.net.run(310.0)
    assert alice.agent.complaints == ["no final NOTIFY of a REFER; heard of [100]"]


def test_a_notify_that_overtakes_the_202_is_a_fault_where_nothing_overtakes(three):
    alice, bob, carol = three.phones
    perform = three.net.perform

    def swapped(host, commands):
        perform(host, commands[::-1] if host is bob.agent and len(commands) > 2 else commands)

    three.net.perform = swapped
    alice.transfers("carol")
    assert alice.agent.complaints == ["NOTIFY 100 came before the 202 to REFER"]
    assert carol.got("INVITE")


def test_a_notify_of_nothing_is_a_fault(three):
    alice, bob, _carol = three.phones
    fields = (
        ("Event", "refer"),
        ("Subscription-State", "terminated;reason=noresource"),
        ("Content-Type", "message/sipfrag"),
    )
    bob.requests("NOTIFY", fields=fields, body=b"SIP/2.0 200 OK\r\n")
    assert bob.got("481 NOTIFY")
    assert alice.agent.complaints == ["NOTIFY of a REFER that we never sent"]
