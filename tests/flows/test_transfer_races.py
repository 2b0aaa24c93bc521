"""What crosses a transfer: everybody hangs up, cancels, says nothing, whenever it is worst."""
# RFC: 5589

import pytest

from sbc.b2bua.events import HangUpOrdered, PolicyChanged
from sbc.sdp import Direction
from sbc.testing.party import Wish
from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import DID, read_policy

from .transferring import BRANCH, POLICY, called, can_talk, records, refers, three


def test_the_transferor_hangs_up_at_once_and_the_target_answers(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    office.hangs_up()
    sbc.run(5)
    assert carrier.is_talking
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert [row[4] for row in records(sbc)] == ["normal", "normal"]
    assert sbc.idle()


def test_the_transferor_hangs_up_at_once_and_the_target_is_busy(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    office.hangs_up()
    branch.refuses(486)
    assert carrier.got("BYE")
    assert [row[4] for row in records(sbc)] == ["normal", "busy"]
    assert sbc.idle()


def test_the_transferor_hangs_up_and_nobody_ever_answers(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    office.hangs_up()
    branch.rings()
    sbc.run(179)
    assert carrier.is_talking
    sbc.run(5)
    assert carrier.got("BYE")
    assert sbc.idle()


def test_who_waits_hangs_up_and_the_target_is_cancelled(world):
    sbc, office, carrier, branch = called(world)
    referral = refers(office)
    branch.rings()
    carrier.hangs_up()
    assert office.got("BYE")
    assert referral.progress[-1] == 487
    assert branch.call.stage == "ended"
    assert sorted(row[4] for row in records(sbc)) == ["cancelled", "normal"]
    assert sbc.idle()


def test_who_waits_alone_hangs_up(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    office.hangs_up()
    branch.rings()
    carrier.hangs_up()
    assert branch.call.stage == "ended"
    assert sbc.idle()


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003])
@pytest.mark.parametrize("who", ["carrier", "office", "both"])
def test_the_target_answers_while_others_hang_up(world, who, delay):
    sbc, office, carrier, branch = called(world)
    refers(office)
    branch.rings()
    now = sbc.now
    sbc.net.perform(branch.agent, branch.agent.accept(branch.call, now))
    sbc.net.run(delay)
    for phone in (office, carrier):
        if who == "both" or (phone is carrier) is (who == "carrier"):
            sbc.net.perform(phone.agent, phone.agent.hang_up(phone.call, sbc.now))
    sbc.settle()
    sbc.run(1)
    if who == "office":
        assert can_talk(sbc, branch, carrier)
        carrier.hangs_up()
    assert len(sbc.cdr) == 2
    assert sbc.idle()


def test_a_transferor_who_says_nothing_any_more(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    office.ignores()
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    sbc.run(100)
    office.agent.crash()
    carrier.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("status", [481, 405, 500])
def test_a_transferor_who_refuses_to_be_told(world, status):
    sbc, office, carrier, branch = called(world)
    office.script.statuses["NOTIFY"] = status
    office.requests("REFER", fields=(("Refer-To", f"<sip:{BRANCH}@x>"),))
    branch.answers()
    sbc.run(10)
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle(but={"complaints"})  # the phone says that it has sent no REFER


@pytest.mark.parametrize("at", ["ringing", "answered", "alone"])
def test_the_operator_hangs_up(world, at):
    sbc, office, carrier, branch = called(world)
    (ref,) = sbc.switch.calls
    refers(office)
    branch.rings()
    if at == "answered":
        branch.answers()
    if at == "alone":
        office.hangs_up()
    sbc.tell(HangUpOrdered(ref))
    assert carrier.got("BYE")
    assert sbc.idle()


def test_the_operator_hangs_the_child_up_and_the_call_goes_on(world):
    sbc, office, carrier, branch = called(world)
    (ref,) = sbc.switch.calls
    referral = refers(office)
    branch.rings()
    (child,) = set(sbc.switch.calls) - {ref}
    sbc.tell(HangUpOrdered(child))
    assert referral.progress[-1] == 480
    assert can_talk(sbc, office, carrier)
    office.hangs_up()
    assert sbc.idle()


def test_a_reload_in_between_takes_the_branch_away(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    branch.rings()
    lines = [line for line in (POLICY % "terminate").splitlines() if not line.startswith("  branch:")]
    sbc.tell(PolicyChanged(read_policy("\n".join(lines).replace(", branch]", "]"))))
    branch.answers()
    sbc.run(1)
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sbc.idle()


def test_a_change_under_way_gives_way_to_the_target(world):
    """The caller's re-INVITE has no answer yet when the target's comes; it gets 491 and tries again."""
    sbc, office, carrier, branch = called(world)
    refers(office)
    office.script.reinvites = None  # asked, and says nothing
    sbc.net.perform(carrier.agent, carrier.agent.reinvite(carrier.call, sbc.now, Direction.SENDONLY))
    sbc.net.run(0.01)
    branch.answers()
    sbc.run(10)
    assert carrier.got(491, 200)
    assert branch.direction is Direction.SENDONLY
    carrier.resumes()
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_two_refer_at_the_same_time(world):
    """Both name the other's call; one is first."""
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.invites(BRANCH)
    branch.answers()
    second = office.call
    agent = office.agent
    one = agent.referring.refer(first, refer_to_replacing(second), sbc.now)
    other = agent.referring.refer(second, refer_to_replacing(first), sbc.now)
    office._do(agent.drain())
    sbc.run(2)
    assert one.progress == [200]
    assert other.status in (481, 491, 603)
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_a_second_refer_waits_for_the_first_to_be_over(world):
    sbc, office, carrier, branch = called(world)
    refers(office)
    assert refers(office, DID).status == 491
    branch.answers()
    sbc.run(1)
    carrier.hangs_up()
    assert sbc.idle()


def test_lost_messages_change_nothing_in_the_end(world):
    sbc, office, carrier, branch = called(world)
    sbc.net.conditions = type(sbc.net.conditions)(loss=0.25)
    branch.answers_by_itself()
    refers(office)
    sbc.run(40)
    sbc.net.conditions = type(sbc.net.conditions)()
    sbc.run(40)
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_an_offer_that_was_asked_for_comes_after_the_join(world):
    """The transferor has sent a re-INVITE without an offer: who answers that has another partner now."""
    sbc, office, carrier, branch = called(world)
    first = office.call
    office.invites(BRANCH)
    branch.answers()
    branch.answers_reinvites(None)
    office.reinvites(sdp=False)
    with sbc.net.holding(branch.agent):
        office.transfers(attended=office.call, call=first)
        branch.answers_reinvites(200)
        branch.answers()
    sbc.run(40)
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_who_cannot_take_an_offer_in_an_update_gets_it_in_a_reinvite(world):
    """ "If the UAS cannot change the session parameters without prompting the user, it SHOULD reject … with a 504"."""
    sbc, office, carrier, branch = called(world)
    carrier.answers_updates(504)
    office.holds()
    refers(office)
    branch.answers()
    sbc.run(1)
    assert carrier.got("UPDATE", "INVITE", "ACK")
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sbc.idle()


def test_nobody_is_transferred_before_he_has_said_what_he_can_hear(world):
    """A call without an offer is answered, and the callee transfers at once; the caller's answer is still to come."""
    sbc, office, carrier, branch = three(world)
    branch.answers_by_itself(0.001)
    carrier.never_acks()
    carrier.invites(DID, sdp=False)
    office.answers()
    assert refers(office).status == 491
    carrier.acks()
    assert refers(office).status == 202
    sbc.run(1.0)
    assert can_talk(sbc, branch, carrier)
    carrier.acks_again()
    branch.hangs_up()
    assert sbc.idle()


def test_an_answer_that_comes_after_its_offerer_has_left(world):
    """The one who stays has asked for an offer, and has got one with video; his answer is late, but counts."""
    sbc = world(POLICY % "terminate")
    office, carrier = sbc.office(video_port=4002), sbc.carrier(video_port=4002)
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH)
    carrier.invites(DID, codecs=["PCMU"])
    office.answers()
    carrier.removes_video()
    office.call.talk.wish = Wish(kinds=("audio", "video", "video"))
    branch.answers_by_itself(0.001)
    carrier.never_acks()
    carrier.reinvites(sdp=False)
    refers(office)
    sbc.run(1.0)
    carrier.acks()
    carrier.acks_again()
    sbc.run(5.0)
    assert [bool(media.port) for media in carrier.call.remote_sdp.media] == [True, False, False]
    assert can_talk(sbc, branch, carrier)
    branch.hangs_up()
    assert sbc.idle()


def test_an_offer_that_is_accepted_after_the_join_counts(world):
    """The transferor adds video and is gone before the answer comes: m= lines do not become fewer (RFC 3264 §8)."""
    sbc = world(POLICY % "terminate")
    office, carrier = sbc.office(video_port=4002), sbc.carrier()
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH)
    carrier.invites(DID)
    office.answers()
    first = office.call
    office.invites(BRANCH)
    branch.answers()
    office.removes_video()
    with sbc.net.holding(branch.agent):
        office.changes(kinds=("audio", "video", "video"))
        office.transfers(attended=office.call, call=first)
    sbc.run(10.0)
    assert len(branch.call.remote_sdp.media) == 3
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_two_who_have_video_and_whose_transferor_has_none_see_each_other(world):
    """The stream that one of them was refused before has no port here, until it is offered anew."""
    sbc = world(POLICY % "terminate")
    office, carrier = sbc.office(), sbc.carrier(video_port=4002)
    branch = sbc.phone("pbx-88.branch.internal", "10.0.0.6:5060", through="10.0.0.1:5060", user=BRANCH, video_port=4002)
    carrier.invites(DID)
    office.answers()
    refers(office)
    branch.answers()
    sbc.run(1.0)
    for phone in (carrier, branch):
        assert [bool(media.port) for media in phone.call.remote_sdp.media] == [True, True]
        assert [bool(media.port) for media in phone.call.local_sdp.media] == [True, True]
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle()


def test_an_offer_that_who_leaves_never_answers_ends_nobody_elses_call(world):
    """Its time is up while he is still to hear that his transfer has worked."""
    sbc, office, carrier, branch = called(world)
    office.ignores("UPDATE", "NOTIFY")
    carrier.holds(by="UPDATE")
    sbc.run(28.0)
    refers(office)
    branch.answers()
    sbc.run(60)
    assert carrier.is_talking
    carrier.resumes()
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle(but=("phones",))


def test_an_ack_that_who_leaves_never_sends_ends_nobody_elses_call(world):
    sbc, office, carrier, branch = called(world)
    office.never_acks()
    office.holds()
    sbc.run(28.5)
    office.ignores("NOTIFY")
    refers(office)
    branch.answers()
    sbc.run(60)
    assert carrier.is_talking
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert sbc.idle(but=("phones",))


def test_the_transferor_has_lost_the_call_and_the_target_is_waited_for(world):
    """481 to an offer says that he is gone, as a BYE would (RFC 3261 §12.2.1.2)."""
    sbc, office, carrier, branch = called(world)
    refers(office)
    branch.rings()
    office.answers_reinvites(481)
    carrier.holds()
    assert carrier.is_talking
    branch.answers()
    sbc.run(1)
    carrier.resumes()
    assert can_talk(sbc, branch, carrier)
    carrier.hangs_up()
    assert [row[4] for row in records(sbc)] == ["normal", "normal"]
    assert sbc.idle()
