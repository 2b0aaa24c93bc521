"""Every pattern of RFC 6337 table 1 on each side of a call, and the combinations across it.

The patterns: 1 INVITE / 2xx, 2 2xx / ACK, 3 INVITE / 1xx-rel, 4 1xx-rel / PRACK, 5 PRACK / 200, 6 UPDATE / 2xx.

Set-up. The rows are what the caller does, the columns what the callee does; in a cell are the patterns of the caller's
and of the callee's side:

    caller                       200         183 and 200   183-rel and 200      no answer it can use
    offer, no 100rel             1 / 1       1 / 1         1 (preview) / 3      488
    offer, 100rel                1 / 1       3 / 1         3 / 3                488
    no offer, no 100rel          2 / 2       2 / 2         (not allowed to)     BYE
    no offer, 100rel             2 / 2       2 / 2         4 / 4                488
    no offer, callee: convert    2 / 1       2 / 1         2 / 3                488

Changes. The rows are what one side offers, in the columns is what the other side understands:

                                 UPDATE           no UPDATE
    early: PRACK                 5 / 6            refused
    early: UPDATE                6 / 6            refused
    talk: re-INVITE              1 / 1            1 / 1
    talk: re-INVITE, no offer    2 / 2            2 / 2
    talk: UPDATE                 6 / 6            6 / 1
    talk: re-INVITE, 100rel      1 / 1: we ask for no reliable answers there
"""
# RFC: 3311, 6337

import pytest

from sbc.sdp import Direction
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR, POLICY

PLAIN = POLICY.replace("office: {", "office: {transcode: off, ").replace("carrier: {", "carrier: {transcode: off, ")
CONVERTING = PLAIN.replace("carrier: {", "carrier: {delayed_offer: convert, ")
ONE_CODEC = PLAIN.replace("carrier: {", "carrier: {codecs: [PCMA, telephone-event], ")
FRESH = (Direction.SENDRECV, Direction.SENDRECV)


def phones(world, *, reliable="", policy=POLICY):
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    for phone, name in ((office, "caller"), (carrier, "callee")):
        if name in reliable:
            phone.uses_100rel()
    return sbc, office, carrier


def ringing(world, **options):
    """Both sides have agreed in reliable 183s, and nobody has answered."""
    sbc, office, carrier = phones(world, reliable="caller callee", **options)
    office.invites(FAR)
    carrier.progresses(reliably=True)
    return sbc, office, carrier


def talking(world, **options):
    sbc, office, carrier = phones(world, **options)
    office.invites(FAR)
    carrier.answers()
    return sbc, office, carrier


def descriptions(sbc, phone, starts="", *, by=False):
    """First words of the messages with a session description that we sent to a phone, or it to us, in order."""
    sent = sbc.net.sent_by(phone.name) if by else sbc.net.sent_to(phone.name)
    found = []
    for data in sent:
        if b"application/sdp" in data and data.startswith(starts.encode()) and data not in found:
            found.append(data)
    return [word_of(data) for data in found]


def word_of(data):
    first = data.split(b" ")
    return first[1].decode() if first[0] == b"SIP/2.0" else first[0].decode()


def talks_and_ends(sbc, office, carrier):
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- set-up: what the caller does, and what the callee makes of it ----------------------------------------------------


@pytest.mark.parametrize("reliable", ["", "caller", "callee", "caller callee"])
def test_offer_in_the_invite_and_answer_in_the_200(world, reliable):
    sbc, office, carrier = phones(world, reliable=reliable)
    office.invites(FAR)
    carrier.rings()
    carrier.answers()
    assert descriptions(sbc, office) == ["200"]
    assert descriptions(sbc, carrier) == ["INVITE"]
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize(("reliable", "told"), [("", ["183", "200"]), ("caller", ["183"])])
def test_a_preview_of_the_callee_is_one_for_a_caller_without_100rel_and_else_its_answer(world, reliable, told):
    sbc, office, carrier = phones(world, reliable=reliable)
    office.invites(FAR)
    carrier.progresses()
    assert sbc.hears(carrier, office)
    carrier.answers()
    assert descriptions(sbc, office) == told
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize(("reliable", "told"), [("callee", ["183", "200"]), ("caller callee", ["183"])])
def test_the_callee_answers_in_a_reliable_183(world, reliable, told):
    """A caller without 100rel has a preview first, and in the 200 what it becomes: the same."""
    sbc, office, carrier = phones(world, reliable=reliable)
    office.invites(FAR)
    carrier.progresses(reliably=True)
    assert sbc.hears(carrier, office)
    assert carrier.got("INVITE", "PRACK")
    carrier.answers()
    assert descriptions(sbc, office) == told
    assert descriptions(sbc, carrier, by=True) == ["183"]
    talks_and_ends(sbc, office, carrier)


def test_the_callee_repeats_its_answer_in_the_200_which_is_ignored(world):
    """ "The UAC should prepare to receive SDP bodies in F9 and/or F12, and just ignore them", §3.1.1."""
    sbc, office, carrier = phones(world, reliable="caller callee")
    carrier.script.repeats_answer = True
    office.invites(FAR)
    carrier.progresses(reliably=True)
    carrier.answers()
    assert descriptions(sbc, carrier, by=True) == ["183", "200"]
    assert descriptions(sbc, office) == ["183"]
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("reliable", ["", "caller", "callee", "caller callee"])
def test_no_offer_in_the_invite_then_one_in_the_200_and_the_answer_in_the_ack(world, reliable):
    sbc, office, carrier = phones(world, reliable=reliable)
    office.invites(FAR, sdp=False)
    carrier.rings()
    assert descriptions(sbc, carrier) == []
    carrier.answers()
    assert descriptions(sbc, office) == ["200"]
    assert descriptions(sbc, carrier) == ["ACK"]
    talks_and_ends(sbc, office, carrier)


def test_no_offer_in_the_invite_then_one_in_a_reliable_183_and_the_answer_in_the_prack(world):
    sbc, office, carrier = phones(world, reliable="caller callee")
    office.invites(FAR, sdp=False)
    carrier.progresses(reliably=True)
    assert descriptions(sbc, office) == ["183"]
    assert descriptions(sbc, carrier) == ["PRACK"]
    assert sbc.hears(carrier, office)
    carrier.answers()
    assert descriptions(sbc, office) == ["183"]
    assert descriptions(sbc, carrier) == ["PRACK"]
    talks_and_ends(sbc, office, carrier)


def test_a_caller_that_could_not_answer_in_a_prack_is_asked_in_the_200(world):
    """Nobody can answer a reliable 183's offer for a caller without 100rel: the callee's INVITE allows none."""
    sbc, office, carrier = phones(world, reliable="callee")
    office.invites(FAR, sdp=False)
    assert "100rel" not in carrier.last("INVITE").supported
    carrier.rings()
    carrier.answers()
    assert descriptions(sbc, office) == ["200"]
    talks_and_ends(sbc, office, carrier)


def test_an_unreliable_183_makes_no_offer(world):
    """It is neither offer nor answer: the callee may say in the 200 what it wants (§3.1.2)."""
    sbc, office, carrier = phones(world, reliable="caller callee")
    office.invites(FAR, sdp=False)
    carrier.progresses()
    assert descriptions(sbc, office) == []
    carrier.answers()
    assert descriptions(sbc, office) == ["200"]
    assert descriptions(sbc, carrier) == ["ACK"]
    talks_and_ends(sbc, office, carrier)


CONVERTED = [(reliable, plain) for reliable in ("", "caller", "callee", "caller callee") for plain in ("180", "183")]


@pytest.mark.parametrize(("reliable", "provisional"), [*CONVERTED, ("callee", "183-rel"), ("caller callee", "183-rel")])
def test_a_callee_that_wants_an_offer_gets_one_of_ours(world, reliable, provisional):
    sbc, office, carrier = phones(world, reliable=reliable, policy=CONVERTING)
    office.invites(FAR, sdp=False)
    if provisional == "180":
        carrier.rings()
    else:
        carrier.progresses(reliably=provisional == "183-rel")
    carrier.answers()
    assert descriptions(sbc, carrier)[0] == "INVITE"
    assert descriptions(sbc, office)[-1] == "200"
    assert b"application/sdp" in next(data for data in sbc.net.sent_by(office.name) if data.startswith(b"ACK"))
    assert carrier.call.heard.count("INVITE") == 1
    talks_and_ends(sbc, office, carrier)


def test_a_converted_offer_whose_answers_do_not_fit_is_said_anew(world):
    """The caller takes another codec than the callee has taken: the callee hears of it by an offer."""
    sbc, office, carrier = phones(world, policy=CONVERTING)
    office.invites(FAR, sdp=False, codecs=("PCMA",))
    carrier.answers()
    sbc.run(1.0)
    named = [media.formats for media in carrier.call.remote_sdp.media]
    assert "8" in named[0]
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- set-up: answers and offers that cannot be used -------------------------------------------------------------------


@pytest.mark.parametrize("where", ["183-rel", "200"])
def test_an_answer_that_cannot_be_used_ends_the_call_for_both(world, where):
    sbc, office, carrier = phones(world, reliable="caller callee")
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    reliable = (("Require", "100rel"), ("RSeq", "1"))
    if where == "183-rel":
        hand.replies(183, fields=reliable, body=b"v=0\r\nnonsense\r\n")
        hand.replies(200, body=b"v=0\r\nnonsense\r\n", to=hand.requests("INVITE")[0])
    else:
        hand.replies(200, body=b"v=0\r\nnonsense\r\n")
    assert office.got(488)
    assert hand.methods()[-2:] == ["ACK", "BYE"]
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.cdr.only.cause == "failed"
    assert sbc.idle()


def test_an_offer_in_the_invite_that_nobody_can_take_is_refused_with_488(world):
    sbc, office, carrier = phones(world, policy=ONE_CODEC)
    office.invites(FAR, codecs=("PCMU",))
    assert office.got(488)
    assert carrier.heard == []
    assert sbc.cdr.only.sip_status == 488
    assert sbc.idle()


def test_an_offer_that_the_callee_refuses_with_488_is_refused(world):
    sbc, office, carrier = phones(world, reliable="caller callee")
    office.invites(FAR)
    carrier.rings(reliably=True)
    carrier.refuses(488)
    assert office.got(488)
    assert sbc.cdr.only.sip_status == 488
    assert sbc.idle()


def test_an_answer_in_the_ack_that_cannot_be_used_ends_the_call(world):
    """ "Answer in ACK … OR termination of dialog", table 2; here the answer itself is wrong."""
    sbc, office, carrier = phones(world)
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1")
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1, body=b"nonsense", fields=(("Content-Type", "application/sdp"),))
    sbc.run(1.0)
    assert hand.methods()[-1] == "BYE"
    assert carrier.got("ACK", "BYE")
    hand.replies(200, to=hand.requests("BYE")[0])
    carrier.agent.complaints.clear()  # of the ACK without answer, which goes with a BYE
    assert sbc.cdr.only.cause == "failed"
    assert sbc.idle()


def test_an_answer_in_a_prack_that_cannot_be_used_ends_the_call(world):
    sbc, office, carrier = phones(world, reliable="callee")
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", fields=(("Supported", "100rel"),))
    carrier.progresses(reliably=True)
    rseq = [m for m in hand.heard if getattr(m, "status", 0) == 183][-1].header("RSeq")
    nonsense = (("RAck", f"{rseq} 1 INVITE"), ("Content-Type", "application/sdp"))
    hand.sends("PRACK", to_tag=hand.our_tag, cseq=2, fields=nonsense, body=b"nonsense")
    sbc.run(1.0)
    assert hand.statuses()[-1] == 488
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1, branch="z9hG4bKbyhand1")
    assert carrier.got("INVITE", "CANCEL")
    assert sbc.cdr.only.cause == "failed"
    assert sbc.idle()


# --- early: PRACK and UPDATE ------------------------------------------------------------------------------------------


def test_an_offer_in_a_prack_crosses_as_update(world):
    sbc, office, carrier = phones(world, reliable="caller callee")
    office.holds_back_pracks()
    office.invites(FAR)
    carrier.progresses(reliably=True)
    office.call.talk.wish = type(office.call.talk.wish)(direction=Direction.SENDONLY)
    office.pracks(offer=True)
    assert carrier.got("INVITE", "PRACK", "UPDATE")
    assert carrier.direction is Direction.SENDONLY
    assert office.direction is Direction.RECVONLY
    carrier.answers()
    office.resumes()
    talks_and_ends(sbc, office, carrier)


def test_an_offer_in_a_prack_that_says_nothing_new_is_answered_here(world):
    sbc, office, carrier = phones(world, reliable="caller callee")
    office.offers_in_pracks()
    office.invites(FAR)
    carrier.progresses(reliably=True)
    assert office.got(183, "200 PRACK")
    assert not carrier.got("UPDATE")
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("why", ["callee has no UPDATE", "callee has no 100rel", "callee refuses"])
def test_an_offer_in_a_prack_that_cannot_cross_is_refused_and_the_session_stays(world, why):
    sbc, office, carrier = phones(world, reliable="caller" if "100rel" in why else "caller callee")
    if "UPDATE" in why:
        carrier.disallows("UPDATE")
    carrier.answers_updates(488)
    office.holds_back_pracks()
    office.invites(FAR)
    carrier.progresses(reliably="100rel" not in why)
    office.call.talk.wish = type(office.call.talk.wish)(direction=Direction.SENDONLY)
    office.pracks(offer=True)
    assert office.got(183, "488 PRACK")
    office.call.talk.wish = type(office.call.talk.wish)()
    assert sbc.hears(carrier, office)
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("offerer", ["office", "carrier"])
def test_update_in_an_early_dialog_crosses(world, offerer):
    sbc, office, carrier = ringing(world)
    one, other = (office, carrier) if offerer == "office" else (carrier, office)
    one.holds(by="UPDATE")
    assert other.got("UPDATE")
    assert (other.direction, one.direction) == (Direction.SENDONLY, Direction.RECVONLY)
    one.resumes(by="UPDATE")
    assert (other.direction, one.direction) == FRESH
    carrier.answers()
    assert descriptions(sbc, office)[-1] != "200" or offerer == "office"
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("offerer", ["office", "carrier"])
def test_update_in_an_early_dialog_that_is_refused_leaves_the_session(world, offerer):
    sbc, office, carrier = ringing(world)
    one, other = (office, carrier) if offerer == "office" else (carrier, office)
    other.answers_updates(488)
    one.holds(by="UPDATE")
    assert one.got("488 UPDATE")
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("offerer", ["office", "carrier"])
def test_update_in_an_early_dialog_that_the_other_side_cannot_take(world, offerer):
    """ "If the UAS cannot change the session … without prompting the user, it SHOULD reject with a 504", RFC 3311 §5.2:
    a side without UPDATE can only be asked when it has answered.
    """
    sbc, office, carrier = phones(world, reliable="caller callee")
    one, other = (office, carrier) if offerer == "office" else (carrier, office)
    other.disallows("UPDATE")
    office.invites(FAR)
    carrier.progresses(reliably=True)
    one.holds(by="UPDATE")
    assert one.got("504 UPDATE")
    assert not other.got("UPDATE")
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


# --- offers that meet unanswered ones ---------------------------------------------------------------------------------


def test_an_update_before_the_answer_to_the_invite_gets_500(world):
    """ "MUST return a 500 … with Retry-After", RFC 3311 §5.2: our side has an offer that it has not answered."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.rings()
    hand.sends("UPDATE", to_tag=hand.our_tag, cseq=2, sdp=True)
    assert hand.statuses("UPDATE") == [500]
    assert 0 <= int(hand.heard[-1].header("Retry-After")) <= 10
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=3)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_an_update_of_the_callee_before_it_has_answered_gets_491(world):
    """ "… the UAS has generated an offer … to which it has not yet received an answer: 491", RFC 3311 §5.2."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(180)
    invite = hand.requests("INVITE")[0]
    contact = str(invite.contacts[0].uri)
    hand.sends("UPDATE", contact, call_id=invite.call_id, from_tag="to-1", to_tag=invite.from_.tag, cseq=1, sdp=True)
    assert hand.statuses("UPDATE") == [491]
    hand.replies(200, to=invite, sdp=True)
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_updates_of_both_sides_at_once_in_an_early_dialog(world):
    """Each side's offer meets the other's: both get 491 or one goes first, and in the end both are as both want."""
    sbc, office, carrier = ringing(world)
    with sbc.net.holding("sbc"):
        office.updates()
        carrier.holds(by="UPDATE")
    sbc.run(10.0)
    assert office.direction is Direction.SENDONLY
    carrier.answers()
    carrier.resumes()
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("first", ["UPDATE", "INVITE"])
@pytest.mark.parametrize("second", ["UPDATE", "INVITE"])
def test_offers_of_both_sides_at_once_in_a_talk(world, first, second):
    sbc, office, carrier = talking(world)
    with sbc.net.holding("sbc"):
        office.holds(by=first)
        carrier.offers_codecs("PCMA", by=second)
    sbc.run(20.0)
    assert carrier.direction is Direction.SENDONLY
    assert [media.formats[0] for media in office.call.remote_sdp.media] == ["8"]
    office.resumes()
    sbc.run(1.0)
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_second_offer_of_the_same_side_while_the_first_is_open(world):
    """500 with Retry-After for the second (RFC 3311 §5.2); the first has its answer."""
    sbc, office, carrier = talking(world)
    carrier.answers_reinvites(None)
    office.retries_glare(wanted=False)
    office.holds()
    hand = ByHand(sbc, office)
    seen = len(hand.heard)
    party = office.call
    theirs = {"call_id": party.call_id, "from_tag": party.local_tag, "to_tag": party.remote_tag}
    hand.sends("UPDATE", cseq=party.local_seq + 1, sdp=True, **theirs)
    refusal = hand.heard[seen:][0]
    assert (refusal.status, refusal.cseq.method) == (500, "UPDATE")
    assert 0 <= int(refusal.header("Retry-After")) <= 10
    hand.sends("INVITE", cseq=party.local_seq + 2, sdp=True, **theirs)
    assert [m.status for m in hand.heard[seen:]][-1] == 500
    hand.sends("ACK", cseq=party.local_seq + 2, branch="z9hG4bKbyhand2", **theirs)
    party.local_seq += 2
    office.wakes()
    carrier.answers()
    assert office.got(200, 200)
    carrier.answers_reinvites(200)
    office.resumes()
    talks_and_ends(sbc, office, carrier)


def test_an_update_that_is_open_when_the_callee_answers(world):
    """The 200 to the INVITE says nothing of media, so that it may overtake the answer to the UPDATE (§4.1)."""
    sbc, office, carrier = ringing(world)
    carrier.answers_updates(None)
    office.holds(by="UPDATE")
    carrier.answers()
    assert not office.is_talking  # "MUST NOT" be before: its own UPDATE has an offer without answer
    hand = ByHand(sbc, carrier)
    hand.replies(200, to=hand.requests("UPDATE")[0], tag=carrier.call.local_tag, sdp=True)
    assert office.got("200 UPDATE", 200)
    carrier.wakes()
    carrier.answers_updates(200)
    office.resumes()
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("status", [488, 500])
def test_an_update_that_is_open_when_the_callee_answers_and_then_refused(world, status):
    sbc, office, carrier = ringing(world)
    carrier.answers_updates(None)
    office.holds(by="UPDATE")
    carrier.answers()
    hand = ByHand(sbc, carrier)
    hand.replies(status, to=hand.requests("UPDATE")[0], tag=carrier.call.local_tag)
    assert office.got(f"{status} UPDATE", 200)
    carrier.wakes()
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_call_that_ends_while_an_early_update_is_open(world, who):
    sbc, office, carrier = ringing(world)
    carrier.answers_updates(None)
    office.holds(by="UPDATE")
    if who == "caller":
        office.cancels()
        assert office.got(487)
        assert carrier.got("UPDATE", "CANCEL")
    else:
        carrier.refuses(486)
        assert office.got(486)
    assert office.got("487 UPDATE")
    assert sbc.cdr.only.cause == ("cancelled" if who == "caller" else "busy")
    assert sbc.idle()


# --- changes in a talk ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asker", ["office", "carrier"])
@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("knows", [True, False])
def test_an_offer_in_a_talk_crosses_in_the_way_that_the_other_side_knows(world, asker, by, knows):
    sbc, office, carrier = phones(world)
    one, other = (office, carrier) if asker == "office" else (carrier, office)
    if not knows:
        other.disallows("UPDATE")
    office.invites(FAR)
    carrier.answers()
    one.holds(by=by)
    assert (other.direction, one.direction) == (Direction.SENDONLY, Direction.RECVONLY)
    assert other.got("UPDATE") is (by == "UPDATE" and knows)
    one.resumes(by=by)
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("asker", ["office", "carrier"])
@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("knows", [True, False])
@pytest.mark.parametrize("status", [488, 603])
def test_an_offer_in_a_talk_that_is_refused_leaves_the_session(world, asker, by, knows, status):
    sbc, office, carrier = phones(world)
    one, other = (office, carrier) if asker == "office" else (carrier, office)
    if not knows:
        other.disallows("UPDATE")
    office.invites(FAR)
    carrier.answers()
    other.answers_updates(status)
    other.answers_reinvites(status)
    before = one.call.remote_sdp
    one.holds(by=by)
    sbc.run(1.0)
    assert one.got(f"{status} {by}" if by == "UPDATE" else status)
    assert one.call.remote_sdp == before
    other.answers_updates(200)
    other.answers_reinvites(200)
    other.holds(by=by)  # the other way, and above the version that was refused
    assert one.direction is Direction.SENDONLY
    other.resumes(by=by)
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("asker", ["office", "carrier"])
def test_a_reinvite_without_offer_crosses_as_such(world, asker):
    sbc, office, carrier = talking(world)
    one, other = (office, carrier) if asker == "office" else (carrier, office)
    one.reinvites(sdp=False)
    assert other.last("INVITE").body == b""
    assert other.call.heard[-1] == "ACK"
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("status", [488, 500])
def test_a_reinvite_without_offer_that_is_refused(world, status):
    sbc, office, carrier = talking(world)
    carrier.answers_reinvites(status)
    office.reinvites(sdp=False)
    assert office.got(200, status)
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("asker", ["office", "carrier"])
@pytest.mark.parametrize("sdp", [True, False])
def test_a_reinvite_asks_for_no_reliable_answer(world, asker, sdp):
    """A callee may say a while that it asks somebody; it does so without 100rel, and its answer is in the 200."""
    sbc, office, carrier = talking(world, reliable="caller callee")
    one, other = (office, carrier) if asker == "office" else (carrier, office)
    other.answers_reinvites(None)
    if sdp:
        one.holds()
    else:
        one.reinvites(sdp=False)
    assert "100rel" not in other.last("INVITE").supported
    other.rings()
    other.answers()
    assert one.got(200)
    other.answers_reinvites(200)
    one.resumes()
    talks_and_ends(sbc, office, carrier)


def test_an_update_without_offer_never_crosses(world):
    sbc, office, carrier = talking(world)
    for phone in (office, carrier):
        phone.updates(sdp=False)
        assert phone.got("200 UPDATE")
    assert not office.got("UPDATE")
    assert not carrier.got("UPDATE")
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize("status", [405, 501])
def test_an_update_that_is_not_known_after_all_is_said_by_a_reinvite(world, status):
    sbc, office, carrier = talking(world)
    carrier.answers_updates(status)
    office.holds(by="UPDATE")
    assert office.got("200 UPDATE")
    assert carrier.call.heard[-3:] == ["UPDATE", "INVITE", "ACK"]
    assert carrier.direction is Direction.SENDONLY
    office.resumes(by="UPDATE")
    talks_and_ends(sbc, office, carrier)
