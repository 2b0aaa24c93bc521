"""100rel between two phones (RFC 3262, RFC 6337 §2.1)."""

import pytest

from sbc.sdp import Direction
from sbc.testing.party import Stage


def reliable(pair, **options):
    made = pair(**options)
    made.alice.uses_100rel()
    made.bob.uses_100rel()
    return made


def test_a_reliable_ringing_gets_its_prack(pair):
    two = reliable(pair)
    two.alice.invites("bob")
    two.bob.rings(reliably=True)
    assert two.bob.got("INVITE", "PRACK")
    assert two.alice.got(180, "200 PRACK")
    two.bob.answers()
    two.alice.hangs_up()
    assert two.is_over()


def test_the_answer_in_a_reliable_183_leaves_the_200_without_one(pair):
    two = reliable(pair)
    two.alice.invites("bob")
    two.bob.progresses(reliably=True)
    assert two.alice.direction is Direction.SENDRECV
    two.bob.rings(reliably=True)
    two.bob.answers()
    assert [b"application/sdp" in data for data in two.net.sent_by("bob") if b"INVITE\r\n" in data][-1] is False
    two.bob.hangs_up()
    assert two.is_over()


def test_several_are_sent_one_after_another_with_rising_numbers(pair):
    two = reliable(pair)
    two.alice.invites("bob")
    for _ in range(3):
        two.bob.rings(reliably=True)
    assert two.bob.call.heard == ["INVITE", "PRACK", "PRACK", "PRACK"]
    two.bob.answers()
    two.bob.hangs_up()
    assert two.is_over()


def test_an_offer_in_the_183_is_answered_in_the_prack(pair):
    two = reliable(pair)
    two.alice.invites("bob", sdp=False)
    two.bob.progresses(reliably=True)
    assert two.bob.call.remote_sdp is not None
    assert b"m=audio" in two.bob.last("PRACK").body
    two.bob.answers()
    assert two.bob.last("INVITE").body == b""
    two.alice.hangs_up()
    assert two.is_over()


def test_a_prack_can_bring_an_offer_of_its_own(pair):
    two = reliable(pair)
    two.alice.invites("bob")
    two.alice.holds_back_pracks()
    two.bob.progresses(reliably=True)
    two.alice.pracks(offer=True)
    assert b"m=audio" in two.bob.last("PRACK").body
    two.bob.answers()
    two.alice.hangs_up()
    assert two.is_over()


def test_it_is_repeated_until_the_prack_comes(pair):
    two = reliable(pair)
    two.alice.holds_back_pracks()
    two.alice.invites("bob")
    two.bob.rings(reliably=True)
    two.net.run(4.0)
    assert [data[:11] for data in two.net.sent_by("bob")].count(b"SIP/2.0 180") == 4  # at 0, 0.5, 1.5 and 3.5 s
    two.alice.pracks()
    two.net.run(10.0)
    assert [data[:11] for data in two.net.sent_by("bob")].count(b"SIP/2.0 180") == 4
    two.bob.answers()
    two.bob.hangs_up()
    assert two.is_over()


def test_without_a_prack_the_invite_is_refused(pair):
    two = reliable(pair)
    two.alice.holds_back_pracks()
    two.alice.invites("bob")
    two.bob.rings(reliably=True)
    two.bob.waits_for("no PRACK")
    assert two.alice.got(180, 504)
    assert two.bob.call.stage is Stage.ENDED
    assert two.is_over()


def test_an_answer_waits_for_the_prack_of_a_description(pair):
    two = reliable(pair)
    two.alice.holds_back_pracks()
    two.alice.invites("bob")
    two.bob.progresses(reliably=True)
    two.bob.script.answers_after = 0.0
    two.bob.agent.bench.after(1.0, "answer", two.bob.call.n, two.net.now)
    two.net.run(3.0)
    assert not two.alice.is_talking
    two.alice.pracks()
    two.net.run(0.2)
    assert two.alice.is_talking
    two.alice.hangs_up()
    assert two.is_over()


def test_who_requires_100rel_refuses_who_knows_nothing_of_it(pair):
    two = pair()
    two.bob.uses_100rel(required=True)
    two.alice.invites("bob")
    assert two.alice.got(421)
    assert two.is_over()


def test_who_knows_nothing_of_it_refuses_who_requires_it(pair):
    two = pair()
    two.alice.uses_100rel(required=True)
    two.alice.invites("bob")
    assert two.alice.got(420)
    assert two.is_over()


def test_a_reliable_18x_that_nobody_asked_for_is_a_fault(pair):
    two = pair()
    two.alice.invites("bob")
    two.bob.rings(reliably=True)
    two.bob.answers()
    two.alice.hangs_up()
    assert two.is_over(but=["alice: 180 (INVITE): Require: 100rel, which our INVITE did not name"])


def test_a_gap_in_the_numbers_is_a_fault(pair):
    two = reliable(pair)
    two.alice.invites("bob")
    two.bob.rings(reliably=True)
    two.bob.call.rseq += 1
    two.bob.rings(reliably=True)
    assert "180: RSeq" in two.alice.agent.complaints[0]


def test_every_fork_has_numbers_of_its_own(pair):
    two = reliable(pair)
    two.alice.script.sees_forks = True
    first = two.alice.invites("bob") and two.bob.call
    second = two.bob.forks()
    two.bob.rings(reliably=True, call=first)
    two.bob.rings(reliably=True, call=second)
    two.bob.rings(reliably=True, call=first)
    assert first.heard == ["INVITE", "PRACK", "PRACK"]
    assert second.heard == ["INVITE", "PRACK"]
    two.bob.answers(call=second)
    assert second.heard[-1] == "ACK"
    two.alice.hangs_up()
    assert second.stage is Stage.ENDED


@pytest.mark.parametrize("tagged", [True, False])
def test_forks_are_a_fault_where_they_should_be_hidden(pair, tagged):
    two = pair()
    two.alice.script.sees_forks = not tagged
    two.alice.invites("bob")
    first, second = two.bob.call, two.bob.forks()
    two.bob.rings(call=first)
    two.bob.rings(call=second)
    assert ["a fork shows" in text for text in two.alice.agent.complaints] == [True] * tagged
