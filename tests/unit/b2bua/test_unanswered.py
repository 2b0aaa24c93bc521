"""What counts as an answer to what a call has left, and what it leaves of the value in the journal."""

import pytest
from msgspec.structs import replace

from sbc.b2bua.account import Ending, SavedAccount
from sbc.b2bua.ended_dialogs import SavedEnd
from sbc.b2bua.journal import CallJournal, decode
from sbc.b2bua.leftovers import LEFT, SavedSetup
from sbc.b2bua.leg.saved import SavedLeg
from sbc.b2bua.leg.state import State
from sbc.core.address import Address, Flow, Transport
from sbc.core.cause import Cause
from sbc.sip.message import Request, Response
from sbc.sip.transaction.outputs import ResponseReceived
from sbc.sip.transaction.saved import SavedInvite

FLOW = Flow(Transport.UDP, "outside", Address("203.0.113.1", 5060), Address("198.51.100.7", 5060))
END = SavedEnd(Ending(Cause.NORMAL, 200, 16, "caller"), 100.0, (0,))


def response(method, status):
    request = Request(method, "sip:a@198.51.100.7", (("CSeq", f"1 {method}"),))
    return ResponseReceived(None, (), Response(status, "Fine", (("CSeq", f"1 {method}"),)), FLOW, request)


def journal_of(left):
    journal = CallJournal()
    journal.is_over("ref", 132.0, is_stored=False, has_end=isinstance(left, SavedEnd))
    journal.unanswered.keep("ref", left)
    for serial, leg in enumerate((1, 2)):
        journal.unanswered.said(serial, "ref", leg)
    return journal


def user(serial, *more):
    first = (LEFT, "carrier", serial)
    return (first, *more) if more else first


LEG = SavedLeg("carrier", "outside", "sip:sbc@203.0.113.1", State.SETUP)
INVITE = SavedInvite(b"INVITE", "SIP/2.0/UDP 203.0.113.1", FLOW)


def setup(**changes):
    leg = replace(LEG, **changes)
    return SavedSetup(SavedAccount("office", "id", 1.0), {1: leg, 2: leg})


# RFC: 3261
@pytest.mark.parametrize(
    ("status", "closed"),
    [(200, (0, 2)), (481, (0, 2)), (408, (0, 2)), (500, None), (100, None), (401, None), (407, None)],
)
def test_a_leg_is_closed_by_who_knows_of_its_bye_and_not_by_a_challenge(status, closed):
    outs = journal_of(END).answered(user(1), response("BYE", status))
    assert [(out.key, decode(out.value).closed) for out in outs] == ([("call/ref/end", closed)] if closed else [])


def test_so_does_the_one_with_credentials_and_nobody_elses():
    journal = journal_of(END)
    assert not journal.answered(("ref", 1, 0), response("BYE", 200))
    assert not journal.answered(user(7), response("BYE", 200))
    assert not journal.answered(user(1), response("OPTIONS", 200))
    [out] = journal.answered(user(1, "again"), response("BYE", 200))
    assert decode(out.value).closed == (0, 2)
    assert not journal.answered(user(1, "again"), response("BYE", 200))  # nothing new


# RFC: 3261
@pytest.mark.parametrize(
    ("left", "method", "status", "legs"),
    [
        (setup(invite=INVITE), "INVITE", 487, [1]),
        (setup(invite=INVITE), "INVITE", 180, None),
        (setup(invite=INVITE), "INVITE", 200, None),  # has its BYE
        (setup(invite=INVITE), "BYE", 200, None),  # another fork may still answer (§13.2.2.4)
        (setup(state=State.TALKING), "INVITE", 487, None),
        (setup(state=State.TALKING), "BYE", 200, [1]),
    ],
)
def test_of_a_call_in_set_up_a_leg_goes_that_can_say_nothing_more(left, method, status, legs):
    outs = journal_of(left).answered(user(1), response(method, status))
    assert [(out.key, list(decode(out.value).legs)) for out in outs] == ([] if legs is None else [("call/ref", legs)])


def test_each_answer_counts_on_top_of_the_others():
    journal = journal_of(setup(invite=INVITE))
    values = [journal.answered(user(serial), response("INVITE", 487))[0].value for serial in (0, 1)]
    assert [list(decode(value).legs) for value in values] == [[2], []]


def test_nothing_is_written_of_a_call_that_the_journal_has_forgotten():
    journal = journal_of(END)
    assert [out.value for out in journal.tick(133.0)] == []
    journal.record_stored("ref")
    assert {out.key for out in journal.tick(200.0)} == {"call/ref", "call/ref/end"}
    assert not journal.answered(user(1), response("BYE", 200))
    assert len(journal.unanswered) == 0
