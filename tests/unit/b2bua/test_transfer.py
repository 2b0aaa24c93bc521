"""The REFER of one party, and what becomes of it: every answer, every crossing, no wire."""

import pytest

from sbc.b2bua.crossing import ENDING
from sbc.b2bua.orders import HangUpChild, JoinCalls, PlaceChild
from sbc.b2bua.referral import SUBSCRIPTION_SECONDS
from sbc.b2bua.states import Hunting
from sbc.core.cause import Cause
from sbc.core.limits import TRANSFERS_PER_CALL

from .conftest import ANN, FAR, TARGET, Call

TO_TARGET = f"<sip:{TARGET}@10.0.0.5>"
DONE = ("log", "call.transferred", {})
REFER = (("Event", "refer"), ("Content-Type", "message/sipfrag"))


def _of(outs, kind):
    if isinstance(kind, str):
        return [out for out in outs if isinstance(out, tuple) and out[0] == kind]
    return [out for out in outs if isinstance(out, kind)]


def _status(outs):
    (reply,) = _of(outs, "reply")
    return reply[2]


def _refused(outs):
    """Why, as the log has it; what the transferor hears keeps him talking."""
    (said,) = [out[2]["status"] for out in outs if out[:2] == ("log", "call.transfer_refused")]
    assert _status(outs) == (603 if said in ENDING else said)
    return said


def _notify(outs):
    (asked,) = [out for out in _of(outs, "ask") if out[2] == "NOTIFY"]
    return asked


def _line(asked):
    return asked[5].decode().strip()


def _started(call, target=TO_TARGET, **fields):
    """Ann has asked; her NOTIFY 100 is answered."""
    outs = call.refers(1, target, **fields)
    call.replies(_notify(outs), 200)
    (child,) = _of(outs, PlaceChild)
    return child


def _answered(call, child):
    (order,) = call.transfer.child_answered(child.child, 1)
    assert order == JoinCalls(call.ref, 0, child.child, 1)


def _join(call):
    """What `joining` does with the pair: the target is leg 7."""
    call.pair = (0, 7)
    return call.transfer.joined({0: 6, 1: 7}, 5.0)


# --- blind ------------------------------------------------------------------------------------------------------------


def test_a_refer_is_accepted_before_anything_is_told_or_done(talking):
    call = talking()
    outs = call.refers(1, TO_TARGET)
    assert [type(out).__name__ if isinstance(out, PlaceChild) else out[0] for out in outs] == [
        "log",
        "reply",
        "ask",
        "PlaceChild",
    ]
    assert _status(outs) == 202
    assert _line(_notify(outs)) == "SIP/2.0 100 Trying"


def test_the_target_is_called_in_the_transferors_name(talking):
    call = talking()
    child = _started(call)
    assert (child.parent, child.peer.name) == ("one", "office")
    assert (child.parties.called, child.parties.caller) == (TARGET, ANN)
    assert child.referred_by == ANN
    assert child.offer == "as ingress has it"
    assert (child.replaces, child.only_to) == ("", "")


def test_a_transferor_who_called_keeps_his_privacy_and_no_history(engine):
    call = Call("one", ("office", "carrier"), (ANN, FAR), engine())
    (child,) = _of(call.refers(0, TO_TARGET, Max_Forwards="12"), PlaceChild)
    assert (child.parties.caller, child.parties.display) == (ANN, "Somebody")
    assert (child.parties.diversions, child.parties.max_forwards) == ((), 12)


@pytest.mark.parametrize(("claimed", "shown"), [("+14155550150", "+14155550150"), (FAR, ANN), ("201", ANN)])
def test_who_refers_may_claim_only_what_his_pbx_owns(talking, claimed, shown):
    assert _started(talking(), Referred_By=f"<sip:{claimed}@10.0.0.5>").referred_by == shown


def test_progress_is_told_and_the_answer_ends_it_with_bye_after_the_last_notify(talking):
    call = talking()
    child = _started(call)
    ringing = _notify(call.transfer.child_progressed(child.child, 180, 3.0))
    assert _line(ringing) == "SIP/2.0 180 Ringing"
    call.replies(ringing, 200)
    _answered(call, child)
    outs = _join(call)
    assert _of(outs, "bye") == []
    last = _notify(outs)
    assert (_line(last), last[4]["Subscription-State"]) == ("SIP/2.0 200 OK", "terminated;reason=noresource")
    assert call.replies(last, 200) == [("bye", 1)]
    assert call.holdings.returned == [1]
    assert not call.transfer.is_active


def test_the_last_notify_waits_for_the_one_before_it(talking):
    call = talking()
    outs = call.refers(1, TO_TARGET)
    (child,) = _of(outs, PlaceChild)
    _answered(call, child)
    assert _join(call) == [DONE]
    last = _notify(call.replies(_notify(outs), 200))
    assert _line(last) == "SIP/2.0 200 OK"


def test_a_transferor_who_answers_no_notify_gets_the_last_one_and_his_bye(talking):
    call = talking()
    (child,) = _of(call.refers(1, TO_TARGET), PlaceChild)
    _answered(call, child)
    _join(call)
    assert call.transfer.next_deadline() == 10.0
    outs = call.transfer.tick(10.0)
    assert [out[0] for out in outs] == ["ask", "bye"]
    assert _line(outs[0]) == "SIP/2.0 200 OK"


def test_a_failure_is_told_and_the_call_stays_as_it_was(talking):
    call = talking()
    child = _started(call)
    outs = call.transfer.child_failed(child.child, 486, 4.0)
    last = _notify(outs)
    assert outs == [("log", "call.transfer_failed", {"status": 486}), last]
    assert (_line(last), last[4]["Subscription-State"]) == ("SIP/2.0 486 Busy Here", "terminated;reason=noresource")
    assert call.replies(last, 200) == []
    assert call.pair == (0, 1)
    assert _status(call.refers(1, TO_TARGET)) == 202  # and may be tried again


def test_a_challenge_or_redirection_of_the_target_is_not_shown(talking):
    call = talking()
    child = _started(call)
    assert _line(_notify(call.transfer.child_failed(child.child, 407, 4.0))) == "SIP/2.0 403 Forbidden"


# --- who leaves when --------------------------------------------------------------------------------------------------


def test_a_transferor_who_hangs_up_at_once_does_not_end_the_others_call(talking):
    call = talking()
    child = _started(call)
    call.legs[1].is_closed = True
    assert call.transfer.hung_up(1, 2.0) == [("abandon", "one")]
    assert call.holdings.returned == [1]
    _answered(call, child)
    assert _join(call) == [DONE]
    assert not call.transfer.is_active


def test_who_waits_for_a_target_that_fails_after_the_transferor_has_gone_is_released(talking):
    call = talking()
    child = _started(call)
    call.legs[1].is_closed = True
    assert call.transfer.outlives(1)
    call.transfer.hung_up(1, 2.0)
    said, (what, ending) = call.transfer.child_failed(child.child, 486, 9.0)
    assert (said[1], what) == ("call.transfer_failed", "end")
    assert (ending.cause, ending.by, ending.q850) == (Cause.NORMAL, "callee", 17)


def test_who_was_to_be_transferred_hangs_up_and_the_child_goes(talking):
    call = talking()
    child = _started(call)
    assert not call.transfer.outlives(0)
    outs = call.transfer.ended(2.0)
    assert outs[0] == HangUpChild(child.child)
    assert _line(_notify(outs)) == "SIP/2.0 487 Request Terminated"
    # its answer has crossed that
    assert call.transfer.child_answered(child.child, 1) == [HangUpChild(child.child)]
    assert call.transfer.child_failed(child.child, 487, 3.0) == []
    assert call.transfer.ended(3.0) == []


def test_a_transferor_who_hangs_up_after_the_join_ends_nothing(talking):
    call = talking()
    child = _started(call)
    _answered(call, child)
    last = _notify(_join(call))
    call.legs[1].is_closed = True
    assert call.transfer.hung_up(1, 5.1) == []
    assert call.replies(last, 481) == []
    assert not call.transfer.is_active
    assert not call.transfer.outlives(7)
    assert not call.transfer.outlives(0)


def test_a_join_that_comes_too_late_is_a_failure(talking):
    call = talking()
    child = _started(call)
    _answered(call, child)
    outs = call.transfer.join_failed(5.0)
    assert outs[0] == HangUpChild(child.child)
    assert _line(_notify(outs)) == "SIP/2.0 481 Call/Transaction Does Not Exist"


def test_a_child_that_is_gone_without_a_word_is_not_waited_for(talking):
    call = talking()
    child = _started(call)
    call.context.calls[child.child] = None
    assert call.transfer.next_deadline() == 11.0
    assert call.transfer.tick(11.0) == []
    del call.context.calls[child.child]
    assert _line(_notify(call.transfer.tick(21.0))) == "SIP/2.0 500 Server Internal Error"


def test_without_a_transfer_a_hang_up_is_a_hang_up(talking):
    call = talking()
    assert not call.transfer.outlives(0)
    assert not call.transfer.outlives(1)
    assert call.transfer.ended(1.0) == []
    assert call.transfer.tick(1.0) == []
    assert call.transfer.next_deadline() is None


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("<sip:+442079460002@x;method=BYE>", 603),
        ("<sip:+442079460002@x;method=SUBSCRIBE>", 603),
        ("<http://example.com>", 400),
        ("<sip:x", 400),
        (f"{TO_TARGET}, {TO_TARGET}", 400),
        ("<sip:10.0.0.5>", 484),
        (f"<sip:{FAR}@10.0.0.5>", 482),
        ("<sip:011442079460001@10.0.0.5>", 482),
        ("<sip:+442079460002@x?Replaces=nonsense>", 400),
    ],
)
def test_what_is_not_done(talking, target, status):
    call = talking()
    outs = call.refers(1, target)
    assert (_refused(outs), len(outs)) == (status, 2)
    assert outs[0] == ("log", "call.transfer_refused", {"by": "office", "status": status})
    assert not call.transfer.is_active


def test_a_refer_without_refer_to_is_bad(talking):
    call = talking()
    assert _status(call.asks(1, "REFER", 1.0, ("CSeq", "9 REFER"))) == 400


def test_a_carriers_refer_is_declined_by_default(talking):
    assert _status(talking().refers(0, TO_TARGET)) == 603


def test_one_transfer_at_a_time(talking):
    call = talking()
    child = _started(call)
    assert _status(call.refers(1, TO_TARGET)) == 491
    last = _notify(call.transfer.child_failed(child.child, 486, 4.0))
    assert _status(call.refers(1, TO_TARGET)) == 491  # the last word is not acknowledged yet
    call.replies(last, 200)
    assert _status(call.refers(1, TO_TARGET)) == 202


# BOUND: TRANSFERS_PER_CALL
def test_a_call_is_transferred_only_so_often(talking):
    call = talking()
    call.transfer.count = TRANSFERS_PER_CALL
    assert _status(call.refers(1, TO_TARGET)) == 603


def test_a_call_that_nobody_has_answered_is_not_transferred(talking):
    call = talking()
    call.state = Hunting(None, ())
    assert _status(call.refers(1, TO_TARGET)) == 491


def test_a_leg_that_is_leaving_transfers_nobody(talking):
    call = talking()
    call.pair = (0, 7)
    assert _refused(call.refers(1, TO_TARGET)) == 481


# --- the subscription -------------------------------------------------------------------------------------------------


def test_who_does_not_want_to_be_told_is_not(talking):
    call = talking()
    outs = call.refers(1, TO_TARGET, Refer_Sub="false")
    assert [out[2:] for out in _of(outs, "reply")] == [(200, {"Refer-Sub": "false"})]
    assert _of(outs, "ask") == []
    (child,) = _of(outs, PlaceChild)
    _answered(call, child)
    assert _join(call) == [DONE, ("bye", 1)]


def test_the_second_refer_in_a_dialog_has_an_id(talking):
    call = talking()
    child = _started(call)
    call.replies(_notify(call.transfer.child_failed(child.child, 486, 4.0)), 200)
    assert _notify(call.refers(1, TO_TARGET))[4]["Event"] == "refer;id=9"


def test_unsubscribing_takes_nothing_back(talking):
    call = talking()
    child = _started(call)
    outs = call.asks(1, "SUBSCRIBE", 3.0, ("Event", "refer"), ("Expires", "0"))
    assert _status(outs) == 200
    last = _notify(outs)
    assert last[4]["Subscription-State"] == "terminated;reason=timeout"
    call.replies(last, 200)
    _answered(call, child)
    assert _join(call) == [DONE, ("bye", 1)]


@pytest.mark.parametrize("leg", [0, 1])
def test_a_subscribe_to_a_refer_that_nobody_sent(talking, leg):
    assert _status(talking().asks(leg, "SUBSCRIBE", 3.0, ("Event", "refer"))) == 403


def test_other_events_and_methods_are_not_its_business(talking):
    call = talking()
    assert call.asks(1, "SUBSCRIBE", 1.0, ("Event", "presence")) is None
    assert call.asks(1, "NOTIFY", 1.0, ("Event", "presence")) is None
    assert call.asks(1, "NOTIFY", 1.0) is None
    assert call.asks(1, "INFO", 1.0) is None
    assert call.replies(("ask", 1, "INFO", "a token of another"), 200) is None


def test_a_notify_that_is_answered_481_ends_the_telling_and_not_the_transfer(talking):
    call = talking()
    outs = call.refers(1, TO_TARGET)
    (child,) = _of(outs, PlaceChild)
    assert call.replies(_notify(outs), 481) == []
    assert call.transfer.child_progressed(child.child, 180, 3.0) == []
    _answered(call, child)
    assert _join(call) == [DONE, ("bye", 1)]


# --- attended ---------------------------------------------------------------------------------------------------------


def _replacing(leg, **changes):
    dialog = leg.dialog
    ids = {"call_id": dialog.call_id, "to": dialog.local_tag, "from_": dialog.remote_tag} | changes
    named = f"{ids['call_id'].replace('@', '%40')}%3Bto-tag%3D{ids['to']}%3Bfrom-tag%3D{ids['from_']}"
    return f"<sip:{TARGET}@10.0.0.5?Replaces={named}>"


def test_a_replaces_that_names_another_call_of_the_transferor_joins_the_two(consulting):
    one, two = consulting()
    outs = one.refers(1, _replacing(two.legs[0]))
    assert _status(outs) == 202
    assert outs[-1] == JoinCalls("one", 0, "two", 1)
    one.pair = (0, 3)
    one.legs += two.legs
    last = _notify(one.transfer.joined({0: 2, 1: 3}, 1.0))
    assert _line(last) == "SIP/2.0 200 OK"
    assert [out[0] for out in one.replies(last, 200)] == ["bye", "bye"]
    assert one.holdings.returned == [1, 2]


def test_a_replaces_that_names_the_very_call_is_a_loop(talking):
    call = talking()
    assert _refused(call.refers(1, _replacing(call.legs[1]))) == 482


def test_a_replaces_of_somebody_elses_dialog_finds_nothing(consulting):
    one, two = consulting()
    assert _refused(one.refers(1, _replacing(two.legs[1]))) == 481
    assert _refused(one.refers(1, _replacing(two.legs[0], from_="guessed"))) == 481


def test_an_unknown_replaces_goes_on_to_the_transferors_peer_alone(talking):
    child = _started(talking(), f"<sip:{TARGET}@10.0.0.5?Replaces=abc%40x%3Bto-tag%3D1%3Bfrom-tag%3D2>")
    assert (child.replaces, child.only_to) == ("abc@x;to-tag=1;from-tag=2", "office")


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda two: (setattr(two, "state", Hunting(None, ())), setattr(two, "errand", "of another")), 481),
        (lambda two: setattr(two.legs[0], "is_closed", True), 603),
        (lambda two: setattr(two.legs[1], "is_closed", True), 603),
        (lambda two: setattr(two, "pair", (5, 1)), 603),
        (lambda two: two.refers(0, "<sip:+442079460009@x>"), 491),
    ],
)
def test_another_call_that_cannot_be_joined(consulting, spoil, status):
    one, two = consulting()
    spoil(two)
    assert _refused(one.refers(1, _replacing(two.legs[0]))) == status
    assert not one.transfer.is_active


def test_an_attended_transfer_that_comes_too_late_leaves_both_calls(consulting):
    one, two = consulting()
    one.refers(1, _replacing(two.legs[0]))
    assert _line(_notify(one.transfer.join_failed(1.0))) == "SIP/2.0 481 Call/Transaction Does Not Exist"
    assert not two.legs[0].is_closed


def test_a_call_that_still_rings_rings_for_who_is_transferred(consulting):
    one, two = consulting()
    two.state = Hunting(None, ())
    two.account.ringing_at = 0.5
    outs = one.refers(1, _replacing(two.legs[0]))
    assert outs[0] == ("log", "call.transferring", {"by": "office", "with": "two"})
    assert [out[0] for out in outs[1:]] == ["reply", "ask"]
    assert _line(_notify(outs)) == "SIP/2.0 180 Ringing"
    assert (two.errand.parent, two.errand.child, two.errand.replaces) == ("one", "two", "")
    assert one.replies(_notify(outs), 200) == []
    assert one.transfer.child_answered("two", 1) == [JoinCalls("one", 0, "two", 1)]
    one.pair = (0, 3)
    one.legs += two.legs
    last = _notify(one.transfer.joined({0: 2, 1: 3}, 5.0))
    assert len(_of(one.replies(last, 200), "bye")) == 2


def test_a_call_that_still_rings_for_the_transferor_only_by_his_own_making(consulting):
    one, two = consulting()
    two.state = Hunting(None, ())
    assert _status(two.refers(0, _replacing(one.legs[1]))) == 491  # its own call is not answered
    two.legs[0].is_closed = True
    assert _status(one.refers(1, _replacing(two.legs[0]))) == 603


# --- passed across ----------------------------------------------------------------------------------------------------


def _crossed(outs):
    (asked,) = [out for out in _of(outs, "ask") if out[2] == "REFER"]
    return asked


def test_a_refer_that_crosses_is_written_anew(talking):
    call = talking(transfer="pass")
    outs = call.refers(1, f"<sip:{TARGET}@10.0.0.5:5060;transport=tcp?X-Secret=1>", Referred_By="<sip:201@10.0.0.5>")
    asked = _crossed(outs)
    assert (asked[1], _of(outs, "reply")) == (0, [])
    assert asked[4] == {
        "Refer-To": f"<sip:{TARGET}@carrier.example>",
        "Referred-By": f"<sip:{ANN}@sbc.example>",
    }


def test_a_target_behind_us_is_named_by_our_host(talking):
    call = talking(transfer="pass")
    asked = _crossed(call.refers(1, "<sip:+14155550210@10.0.0.5>"))
    assert asked[4]["Refer-To"] == "<sip:+14155550210@sbc.example>"


def test_who_may_not_call_a_number_may_not_have_it_called(talking):
    call = talking(transfer="pass")
    assert _status(call.refers(1, "<sip:+19005550100@10.0.0.5>")) == 403
    assert _refused(call.refers(1, "<sip:bob@10.0.0.5>")) == 404
    assert not call.transfer.is_active


def test_a_dialog_of_the_other_sides_own_is_named_as_it_knows_it(consulting):
    one, two = consulting(transfer="pass")
    asked = _crossed(one.refers(1, _replacing(two.legs[0])))
    assert asked[4]["Refer-To"] == (
        "<sip:x@carrier?Replaces=two-1%40carrier%3Bto-tag%3Dthey-two-1%3Bfrom-tag%3Dus-two-1>"
    )


def test_a_dialog_of_a_third_peer_is_joined_here(consulting):
    one, two = consulting(transfer="pass", via="spare")
    assert one.refers(1, _replacing(two.legs[0]))[-1] == JoinCalls("one", 0, "two", 1)


def test_the_answer_crosses_then_the_notifies_one_by_one(talking):
    call = talking(transfer="pass")
    asked = _crossed(call.refers(1, TO_TARGET))
    early = call.asks(0, "NOTIFY", 1.1, *REFER, ("Subscription-State", "active"), body=b"SIP/2.0 100 Trying\r\n")
    assert early == [("reply", 0, 200, {})]  # a NOTIFY must not overtake the 202
    outs = call.replies(asked, 202)
    assert _status(outs) == 202
    trying = _notify(outs)
    assert (trying[1], _line(trying)) == (1, "SIP/2.0 100 Trying")
    body = b"SIP/2.0 200 Fine\r\nContact: <sip:secret@198.51.100.77>\r\n"
    outs = call.asks(0, "NOTIFY", 5.0, *REFER, ("Subscription-State", "terminated;reason=noresource"), body=body)
    assert outs == [("reply", 0, 200, {})]
    last = _notify(call.replies(trying, 200))
    assert last[5] == b"SIP/2.0 200 OK\r\n"
    assert call.replies(last, 200) == []  # who hangs up is theirs to say
    assert not call.transfer.is_active
    assert not call.legs[1].is_closed


@pytest.mark.parametrize(
    ("said", "told"), [(403, 403), (404, 603), (405, 603), (407, 403), (481, 603), (None, 504), (302, 603)]
)
def test_a_refusal_crosses(talking, said, told):
    call = talking(transfer="pass")
    asked = _crossed(call.refers(1, TO_TARGET))
    assert _status(call.replies(asked, said)) == told
    assert not call.transfer.is_active


def test_who_passes_and_hangs_up_ends_the_call(talking):
    call = talking(transfer="pass")
    call.refers(1, TO_TARGET)
    assert not call.transfer.outlives(1)
    assert _status(call.transfer.ended(2.0)) == 487


def test_a_notify_about_nothing_gets_481(talking):
    call = talking(transfer="pass")
    assert _status(call.asks(0, "NOTIFY", 1.0, *REFER)) == 481
    call.refers(1, TO_TARGET)
    assert _status(call.asks(1, "NOTIFY", 1.0, *REFER)) == 481


def test_a_crossed_refer_of_which_nothing_is_heard_is_given_up(talking):
    call = talking(transfer="pass")
    call.replies(_crossed(call.refers(1, TO_TARGET)), 202)
    call.transfer.tick(2.0 + SUBSCRIPTION_SECONDS)
    assert call.transfer._state is None


def test_a_silent_transfer_crosses_silently(talking):
    call = talking(transfer="pass")
    asked = _crossed(call.refers(1, TO_TARGET, Refer_Sub="false"))
    assert asked[4]["Refer-Sub"] == "false"
    outs = call.replies(asked, 200, Refer_Sub="false")
    assert [out[2:] for out in _of(outs, "reply")] == [(200, {"Refer-Sub": "false"})]
    assert not call.transfer.is_active
