"""Reliable provisional responses: one by one until each is acknowledged, and taken in order (RFC 3262 §3, §4)."""
# RFC: 3262

import pytest

from sbc.core.limits import EARLY_DIALOGS_PER_LEG, PROVISIONALS_WAITING
from sbc.sip.commands import ResendResponse, Respond
from sbc.sip.dialog.reliable import Arrival, PrackMissing, ReliableReceiver, ReliableSender, rack_of
from sbc.sip.timing import DEFAULT_TIMING
from sbc.testing.build import request, response_to
from sbc.testing.timeline import run_until

KEY = ("k",)
RINGING = Respond(KEY, 180, "ours", contact="c")
PROGRESS = Respond(KEY, 183, "ours", (("Content-Type", "application/sdp"),), b"sdp", "c")
FIRST = 1000


def sender(*sent, at=0.0):
    machine = ReliableSender(KEY, DEFAULT_TIMING, FIRST, cseq=3)
    for respond in sent:
        machine.send(respond, at)
    return machine


def prack(rseq=FIRST, *, rack=None):
    return request("PRACK", cseq=4, fields=(("RAck", rack or f"{rseq} 3 INVITE"),))


def summary(orders):
    return [(order.status, dict(order.fields).get("RSeq"), order.body) for order in orders]


# --- what we send -----------------------------------------------------------------------------------------------------


def test_a_reliable_response_says_so_and_has_a_number():
    [order] = sender().send(PROGRESS, 0.0)
    assert order.fields == (("Content-Type", "application/sdp"), ("Require", "100rel"), ("RSeq", "1000"))
    assert (order.key, order.status, order.to_tag, order.body, order.contact) == (KEY, 183, "ours", b"sdp", "c")


def test_it_is_repeated_at_t1_and_then_doubling_without_a_cap_until_64_t1():
    at = (0.5, 1.5, 3.5, 7.5, 15.5, 31.5)
    assert run_until(sender(RINGING), 0.0, 200.0) == [
        *[(instant, ResendResponse(KEY)) for instant in at],
        (32.0, PrackMissing()),
    ]


def test_its_prack_ends_that_and_fits_once():
    machine = sender(PROGRESS)
    assert machine.awaits_prack
    assert machine.take_prack(prack(), 1.0) == (True, [])
    assert not machine.awaits_prack
    assert run_until(machine, 1.0, 200.0) == []
    assert machine.take_prack(prack(), 2.0) == (False, [])


@pytest.mark.parametrize(
    "rack",
    ["999 3 INVITE", "1001 3 INVITE", "1000 2 INVITE", "1000 3 UPDATE", "1000 3 invite", "1000", "0 0 INVITE",
     "99999999999999999999 3 INVITE"],
)  # fmt: skip
def test_a_prack_of_something_else_does_not_fit(rack):
    machine = sender(PROGRESS)
    assert machine.take_prack(prack(rack=rack), 1.0) == (False, [])
    assert machine.awaits_prack


def test_a_prack_without_rack_does_not_fit():
    assert sender(PROGRESS).take_prack(request("PRACK", cseq=4), 1.0) == (False, [])


def test_before_anything_is_sent_no_prack_fits():
    machine = sender()
    assert machine.take_prack(prack(FIRST - 1), 1.0) == (False, [])
    assert machine.take_prack(prack(FIRST), 1.0) == (False, [])


def test_the_next_goes_out_when_the_one_before_is_acknowledged():
    machine = sender(RINGING)
    assert machine.send(PROGRESS, 0.1) == []
    fits, orders = machine.take_prack(prack(), 5.0)
    assert fits
    assert summary(orders) == [(183, "1001", b"sdp")]
    # with an interval and an end of its own
    assert [at for at, _ in run_until(machine, 5.0, 8.0)] == [5.5, 6.5]
    assert machine.take_prack(prack(FIRST + 1), 8.0) == (True, [])


def test_an_unreliable_one_waits_too_because_it_would_be_repeated_in_the_place_of_the_other():
    machine = sender(PROGRESS)
    assert machine.send(RINGING, 0.1, reliably=False) == []
    assert machine.send(PROGRESS, 0.2) == []
    _, orders = machine.take_prack(prack(), 1.0)
    assert summary(orders) == [(180, None, b""), (183, "1001", b"sdp")]


def test_an_unreliable_one_goes_out_at_once_where_nothing_is_awaited():
    machine = sender()
    assert machine.send(RINGING, 0.0, reliably=False) == [RINGING]
    assert not machine.awaits_prack
    assert machine.next_deadline() is None


def test_a_waiting_one_that_tells_nothing_gives_way_to_a_newer_one():
    machine = sender(PROGRESS)
    forwarded = Respond(KEY, 181, "ours")
    machine.send(RINGING, 0.1)
    machine.send(forwarded, 0.2)
    assert summary(machine.take_prack(prack(), 1.0)[1]) == [(181, "1001", b"")]
    assert machine.take_prack(prack(FIRST + 1), 2.0) == (True, [])


def test_a_waiting_description_is_kept():
    machine = sender(RINGING)
    for respond in (PROGRESS, RINGING):
        machine.send(respond, 0.1)
    assert summary(machine.take_prack(prack(), 1.0)[1]) == [(183, "1001", b"sdp")]
    assert summary(machine.take_prack(prack(FIRST + 1), 2.0)[1]) == [(180, "1002", b"")]


# BOUND: PROVISIONALS_WAITING
def test_only_so_many_wait():
    machine = sender(RINGING)
    for number in range(PROVISIONALS_WAITING + 5):
        machine.send(Respond(KEY, 183, "ours", body=b"%d" % number), 0.1)
    bodies = []
    rseq = FIRST
    while machine.awaits_prack:
        bodies += [order.body for order in machine.take_prack(prack(rseq), 1.0)[1]]
        rseq += 1
    assert bodies == [b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"12"]


def test_100_is_never_reliable():
    trying = Respond(KEY, 100)
    machine = sender()
    assert machine.send(trying, 0.0) == [trying]
    assert not machine.awaits_prack


def test_100_would_be_repeated_in_the_place_of_what_is_awaited():
    machine = sender(RINGING)
    assert machine.send(Respond(KEY, 100), 0.1) == []
    assert machine.take_prack(prack(), 1.0) == (True, [])


@pytest.mark.parametrize(("respond", "waits"), [(PROGRESS, True), (RINGING, False)])
def test_a_2xx_waits_for_the_prack_of_a_description(respond, waits):
    machine = sender(respond)
    assert machine.awaits_prack_of_description is waits
    machine.take_prack(prack(), 1.0)
    assert not machine.awaits_prack_of_description


def test_after_the_final_response_nothing_is_repeated_or_sent_but_its_prack_still_fits():
    machine = sender(RINGING)
    machine.send(PROGRESS, 0.1)
    machine.stop()
    assert not machine.awaits_prack
    assert machine.next_deadline() is None
    assert machine.tick(100.0) == []
    assert machine.send(PROGRESS, 1.0) == []
    assert machine.take_prack(prack(), 1.0) == (True, [])
    assert machine.take_prack(prack(FIRST + 1), 1.0) == (False, [])


def test_what_nobody_acknowledges_is_reported_once():
    machine = sender(RINGING)
    assert machine.tick(40.0) == [PrackMissing()]
    assert machine.tick(41.0) == []
    assert machine.next_deadline() is None
    assert machine.send(PROGRESS, 41.0) == []


def test_tick_before_its_time_does_nothing():
    machine = sender(RINGING)
    assert machine.tick(0.4) == []
    assert machine.next_deadline() == 0.5


def test_the_largest_first_number_leaves_room():
    machine = ReliableSender(KEY, DEFAULT_TIMING, 2**31 - 1, cseq=3)
    assert summary(machine.send(RINGING, 0.0)) == [(180, "2147483647", b"")]
    assert machine.take_prack(prack(2**31 - 1), 1.0) == (True, [])
    assert summary(machine.send(RINGING, 2.0)) == [(180, "2147483648", b"")]


# --- what peers send --------------------------------------------------------------------------------------------------


def provisional(rseq=None, *, status=183, tag="t", require="100rel"):
    fields = () if rseq is None else (("RSeq", str(rseq)),)
    fields = fields if require is None else (("Require", require), *fields)
    return response_to(request("INVITE", cseq=7), status, to_tag=tag, fields=fields)


def arrivals(*responses):
    machine = ReliableReceiver()
    return [machine.take(response) for response in responses]


def test_in_order_each_is_new_once():
    assert arrivals(*[provisional(rseq) for rseq in (5, 5, 6, 6, 5, 7)]) == [
        Arrival.NEW, Arrival.REPEATED, Arrival.NEW, Arrival.REPEATED, Arrival.REPEATED, Arrival.NEW,
    ]  # fmt: skip


def test_after_a_gap_nothing_is_taken_until_it_is_filled():
    assert arrivals(*[provisional(rseq) for rseq in (5, 7, 6, 7)]) == [
        Arrival.NEW, Arrival.OUT_OF_ORDER, Arrival.NEW, Arrival.NEW,
    ]  # fmt: skip


def test_every_early_dialog_counts_for_itself():
    assert arrivals(provisional(5, tag="a"), provisional(9, tag="b"), provisional(6, tag="a")) == [Arrival.NEW] * 3


@pytest.mark.parametrize(
    "response",
    [
        provisional(require=None, status=180),
        provisional(5, require=None),
        provisional(5, require="timer"),
        provisional(5, status=100),
        provisional(None),
        provisional(2**32),
        provisional("x"),
    ],
    ids=["plain", "RSeq alone", "another tag", "a 100", "no RSeq", "RSeq too large", "RSeq unreadable"],
)
def test_what_is_not_reliable_is_taken_as_it_is(response):
    assert arrivals(response, response) == [Arrival.UNRELIABLE] * 2


@pytest.mark.parametrize("require", ["100rel, timer", "precondition,100REL"])
def test_100rel_is_found_among_other_tags(require):
    assert arrivals(provisional(5, require=require)) == [Arrival.NEW]


@pytest.mark.parametrize("rseq", [None, 2**32, 0, "x"])
def test_numbers_do_not_wrap_around_nor_get_lost(rseq):
    assert arrivals(provisional(2**32 - 1), provisional(rseq))[1] in (Arrival.OUT_OF_ORDER, Arrival.REPEATED)


# BOUND: EARLY_DIALOGS_PER_LEG
def test_only_so_many_forks_are_acknowledged():
    found = arrivals(*[provisional(5, tag=f"t{n}") for n in range(EARLY_DIALOGS_PER_LEG + 1)])
    assert found == [Arrival.NEW] * EARLY_DIALOGS_PER_LEG + [Arrival.OUT_OF_ORDER]


def test_rack_names_the_response_and_its_invite():
    assert rack_of(provisional(5)) == "5 7 INVITE"
    with pytest.raises(ValueError, match="RSeq"):
        rack_of(provisional())
