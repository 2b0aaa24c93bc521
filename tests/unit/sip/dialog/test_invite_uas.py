"""An INVITE that a peer sent: 2xx until its ACK, provisionals while it rings long (RFC 3261 §13.3)."""

import pytest

from sbc.sip.commands import ResendResponse, Respond
from sbc.sip.dialog.invite_uas import AckMissing, InviteUas, State
from sbc.sip.timing import DEFAULT_TIMING
from sbc.testing.build import request
from sbc.testing.timeline import run_until

KEY = ("k",)
ROUTES = (("Record-Route", "<sip:p1;lr>"), ("Record-Route", "<sip:p2;lr>"))


def uas(*, first=True, fields=()):
    return InviteUas(KEY, request("INVITE", cseq=3, fields=fields), "ours", DEFAULT_TIMING, first=first)


def answered(at=0.0):
    machine = uas()
    machine.answer(at, contact="c")
    return machine


def summary(orders):
    return [(order.key, order.status, order.to_tag, order.fields, order.body, order.contact) for order in orders]


def test_it_is_tried_without_a_tag():
    assert summary(uas().try_()) == [(KEY, 100, "", (), b"", None)]


def test_progress_and_answer_carry_tag_contact_and_body():
    machine = uas()
    assert summary(machine.progress(183, 0.0, contact="c", body=b"sdp")) == [(KEY, 183, "ours", (), b"sdp", "c")]
    assert summary(machine.answer(1.0, contact="c", body=b"sdp")) == [(KEY, 200, "ours", (), b"sdp", "c")]


@pytest.mark.parametrize(("first", "routes"), [(True, ROUTES), (False, ())])
def test_what_makes_the_dialog_repeats_record_route(first, routes):
    machine = uas(first=first, fields=ROUTES)
    assert machine.progress(180, 0.0, contact="c")[0].fields == routes
    assert machine.answer(0.0, contact="c")[0].fields == routes
    assert uas(fields=ROUTES).refuse(486)[0].fields == ()


def test_a_2xx_is_repeated_doubling_up_to_t2_until_64_t1():
    at = (0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5)
    assert run_until(answered(), 0.0, 100.0) == [
        *[(instant, ResendResponse(KEY)) for instant in at],
        (32.0, AckMissing()),
    ]


def test_the_ack_ends_that_and_counts_once():
    machine = answered()
    assert machine.awaits_ack
    assert machine.acknowledged()
    assert not machine.awaits_ack
    assert not machine.acknowledged()
    assert run_until(machine, 0.0, 100.0) == []


def test_a_ringing_phone_is_reported_every_minute():
    machine = uas()
    machine.progress(180, 0.0, contact="c")
    machine.progress(183, 30.0, contact="c")
    assert run_until(machine, 30.0, 220.0) == [(at, ResendResponse(KEY)) for at in (90.0, 150.0, 210.0)]


def test_before_the_first_provisional_there_is_nothing_to_repeat():
    machine = uas()
    machine.try_()
    assert machine.next_deadline() is None


@pytest.mark.parametrize("final", ["answer", "refuse"])
def test_after_the_final_response_there_is_no_other(final):
    machine = uas()
    machine.progress(180, 0.0, contact="c")
    assert machine.is_pending
    _ = machine.answer(1.0, contact="c") if final == "answer" else machine.refuse(486)
    assert not machine.is_pending
    assert machine.progress(180, 2.0, contact="c") == []
    assert machine.answer(2.0, contact="c") == []
    assert machine.refuse(487) == []


def test_a_refusal_repeats_nothing_here_because_the_transaction_does():
    machine = uas()
    machine.progress(180, 0.0, contact="c")
    [order] = machine.refuse(486, fields=(("Reason", "x"),))
    assert isinstance(order, Respond)
    assert (order.status, order.to_tag, order.fields) == (486, "ours", (("Reason", "x"),))
    assert machine.next_deadline() is None
    assert machine.state is State.REFUSED
    assert not machine.acknowledged()
