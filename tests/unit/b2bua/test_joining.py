"""Two calls become one: what moves, what stays, what goes back, and who is the caller afterwards."""

import pytest

from sbc.b2bua.account import Ending
from sbc.b2bua.commands import AskMedia
from sbc.b2bua.joining import carry_out, join, number_of_party, take_over
from sbc.b2bua.orders import HangUpChild, JoinCalls
from sbc.b2bua.replaces import Found
from sbc.b2bua.states import Ended, Hunting, Talking
from sbc.core.cause import Cause
from sbc.core.limits import TRANSFERS_PER_CALL
from sbc.media import wire
from sbc.peering.rates import Usage
from sbc.policy.model import Limits
from sbc.sdp.model import SdpError
from sbc.sip.checks import Refusal

from .conftest import ANN, FAR, TARGET


def _attended(consulting):
    one, two = consulting()
    moved = join(one, 0, two, 1, 9.0)
    return one, two, moved


def test_the_legs_of_the_other_call_are_the_survivors(consulting):
    one, two, moved = _attended(consulting)
    assert moved == {0: 2, 1: 3}
    assert [(leg.ref, leg.n) for leg in one.legs] == [("one", n) for n in range(4)]
    assert one.pair == (0, 3)
    assert (two.legs, two.tags) == ([], [])
    assert one.context.dialogs["us-two-1"] == ("one", 3)
    assert one.tags == ["us-one-0", "us-one-1", "us-two-0", "us-two-1"]
    assert one.context.moves.user_of(("two", 1, 5)) == ("one", 3, 5)
    assert one.requests_of == ("two", {0: 2, 1: 3})  # what is open on them has its answer all the same
    assert one.context.trace.peers("one") == {"egress-2": "office", "egress-3": "carrier"}


def test_a_side_goes_with_its_leg_and_the_rest_goes_back(consulting):
    one, two, _ = _attended(consulting)
    assert one.media.sides == {"ingress": "one-i", "egress": "two-e"}
    assert set(two.media.released) == {"two-i", "one-e"}


def test_the_place_of_the_transferor_is_taken_whichever_it_is(talking):
    one, two = talking(("two", ("office", "spare"), (ANN, TARGET)))
    join(one, 1, two, 1, 9.0)  # it is the carrier who leaves
    assert one.pair == (3, 1)
    assert one.media.sides == {"ingress": "two-e", "egress": "one-e"}


def test_paths_go_with_their_legs_and_none_is_lost(consulting):
    one, two = consulting()
    paths = one.context.relations.paths
    paths.take("carrier", "one", 0, "inbound", 0.0)
    paths.take("carrier", "two", 1, "outbound", 0.0)
    join(one, 0, two, 1, 9.0)
    assert paths.reconcile({"one"}) == []
    assert sorted((holder.ref, holder.leg) for holder in paths.views(0.0)[0].holders) == [("one", 0), ("one", 3)]


def test_the_other_call_is_over_without_a_record_of_its_own(consulting):
    _, two, _ = _attended(consulting)
    assert isinstance(two.state, Ended)
    assert two.state.durable
    assert two.timers.next() is None


def test_the_shorter_time_holds(consulting):
    one, two = consulting()
    one.timers.set("max_duration", 500.0)
    two.timers.set("max_duration", 400.0)
    join(one, 0, two, 1, 9.0)
    assert one.timers.at("max_duration") == 400.0


def test_a_time_that_only_the_other_has_holds(consulting):
    one, two = consulting()
    two.timers.set("max_duration", 400.0)
    join(one, 0, two, 1, 9.0)
    assert one.timers.at("max_duration") == 400.0


@pytest.mark.parametrize("which", [0, 1])
def test_an_emergency_has_all_the_time(consulting, which):
    calls = consulting()
    one, two = calls
    calls[which].account.emergency = True
    calls[1 - which].timers.set("max_duration", 400.0)
    join(one, 0, two, 1, 9.0)
    assert one.timers.at("max_duration") is None


def test_the_survivors_own_time_holds(consulting):
    one, two = consulting()
    one.timers.set("max_duration", 400.0)
    join(one, 0, two, 1, 9.0)
    assert one.timers.at("max_duration") == 400.0


@pytest.mark.parametrize(
    ("kept", "other_kept", "by"), [(0, 1, "caller"), (1, 0, "caller"), (0, 0, "callee"), (1, 1, "callee")]
)
def test_each_record_says_who_of_its_own_call_has_hung_up(consulting, kept, other_kept, by):
    """The survivor's caller hangs up. Where two callers were joined, or two callees, one stands for the other's."""
    one, two = consulting()
    join(one, kept, two, other_kept, 9.0)
    record = one.joined[0].record(Ending(Cause.NORMAL, 200, 16, "caller"), 61.0, one.context).record
    assert (record.ref, record.ended_by, record.billable_ms) == ("two", by, 60_000)
    assert record.joined_to == "one"


def test_what_ends_by_us_ends_by_us_in_all_records(consulting):
    one, _, _ = _attended(consulting)
    record = one.joined[0].record(Ending(Cause.OPERATOR, 480, 31, "sbc"), 61.0, one.context).record
    assert (record.ended_by, record.cause) == ("sbc", Cause.OPERATOR)


def test_limits_are_used_until_the_survivor_ends(consulting):
    one, two = consulting()
    usage = Usage(Limits(call_paths=5))
    usage.begin("two", 0.0, 0.0)
    two.holdings.usages.append(usage)
    join(one, 0, two, 1, 9.0)
    assert (usage.running, two.holdings.usages) == (1, [])
    one.joined[0].give_back(one.context, 20.0)
    assert usage.running == 0
    one.joined[0].give_back(one.context, 21.0)


def test_a_party_keeps_its_number(consulting):
    one, _, _ = _attended(consulting)
    assert [number_of_party(one, leg) for leg in one.pair] == [FAR, TARGET]


def test_a_call_that_has_taken_one_in_may_be_taken_in(talking):
    one, two, three = talking(
        ("two", ("office", "carrier"), (ANN, TARGET)), ("three", ("office", "branch"), (ANN, "+14155550201"))
    )
    two.transfer.count = 2
    join(one, 0, two, 1, 9.0)
    join(three, 1, one, 3, 10.0)
    assert three.pair == (5, 1)
    assert [(joined.ref, joined.leg) for joined in three.joined] == [("two", 5), ("one", 5)]
    assert number_of_party(three, 5) == TARGET
    ending = Ending(Cause.NORMAL, 200, 16, "caller")
    assert {joined.record(ending, 61.0, one.context).record.joined_to for joined in three.joined} == {"three"}
    assert three.context.moves.place_of("two", 1) == ("three", 5)
    assert three.context.dialogs["us-two-1"] == ("three", 5)
    assert three.transfer.count == 2


def test_counts_of_the_former_session_are_in_its_record(consulting):
    one, _, _ = _attended(consulting)
    one.joined[0].take_counts(())
    record = one.joined[0].record(Ending(Cause.NORMAL, 200, 16, "caller"), 61.0, one.context).record
    assert record.media == "heard ()"


# --- by order of the switch -------------------------------------------------------------------------------------------


def test_the_ports_of_the_former_session_hear_all_the_time(consulting):
    one, two = consulting()
    outs = carry_out(JoinCalls("one", 0, "two", 1), one, two, 9.0)
    assert outs == [
        ("abandon", "one"),
        ("abandon", "two"),
        AskMedia(("relay", "one")),
        AskMedia(wire.DeleteSession("two")),
        ("renegotiate", 0, 3),
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one, two: setattr(one, "state", Ended(Ending(Cause.NORMAL, 200, 16, "caller"), 1.0)),
        lambda one, two: setattr(two, "state", Hunting(None, ())),
        lambda one, two: setattr(one.legs[0], "is_closed", True),
        lambda one, two: setattr(two.legs[1], "is_closed", True),
        lambda one, two: setattr(two, "pair", (0, 4)),
    ],
)
def test_what_does_not_fit_is_not_joined(consulting, spoil):
    one, two = consulting()
    spoil(one, two)
    carry_out(JoinCalls("one", 0, "two", 1), one, two, 9.0)
    assert (len(one.legs), len(two.legs)) == (2, 2)
    assert isinstance(two.state, Talking | Hunting)


def test_a_call_that_is_gone_is_not_joined(talking):
    one = talking()
    (child,) = [out for out in one.refers(1, f"<sip:{TARGET}@x>") if hasattr(out, "child")]
    one.transfer.child_answered(child.child, 1)
    outs = carry_out(JoinCalls("one", 0, child.child, 1), one, None, 9.0)
    assert outs[0] == HangUpChild(child.child)


# --- an INVITE with Replaces ------------------------------------------------------------------------------------------


def _newcomer(consulting):
    """A second call of the office's, of which only the INVITE is here."""
    one, two = consulting()
    two.state = Hunting(None, ())
    two.media.sides = {"ingress": "two-i"}
    del two.legs[1]
    del two.tags[1]
    return one, two


def test_a_leg_is_replaced_and_gets_bye(consulting):
    one, two = _newcomer(consulting)
    outs, refusal = take_over(Found("one", 1), one, two, "offer", 9.0)
    assert refusal is None
    started = outs.pop(1)  # that the newcomer talks is for the disk
    assert (started.entry.ref, started.entry.record.answered_at) == ("two", 9.0)
    assert outs == [
        ("abandon", "one"),
        ("answer", 2, "answer of egress to offer"),
        ("log", "call.taken_over", {"by": "office"}),
        ("bye", 1),
        AskMedia(("relay", "one")),
        ("renegotiate", 0, 2),
    ]
    assert one.pair == (0, 2)
    assert one.media.sides == {"ingress": "one-i", "egress": "two-i"}
    assert two.account.answered_at == 9.0


@pytest.mark.parametrize(("fault", "status"), [(SdpError("no codec", 488), 488)])
def test_what_cannot_be_answered_leaves_the_call_as_it_was(consulting, fault, status):
    one, two = _newcomer(consulting)
    one.media.fault = fault
    assert take_over(Found("one", 1), one, two, "offer", 9.0) == ([("abandon", "one")], Refusal(status))
    assert (one.pair, len(one.legs), len(two.legs)) == ((0, 1), 2, 1)
    assert one.media.sides == {"ingress": "one-i", "egress": "one-e"}
    assert two.media.sides == {"ingress": "two-i"}
    assert not one.legs[1].is_closed


def test_no_offer_no_replacement(consulting):
    one, two = _newcomer(consulting)
    assert take_over(Found("one", 1), one, two, None, 9.0) == ([], Refusal(488))


def test_no_replacement_while_a_transfer_is_under_way(consulting):
    one, two = _newcomer(consulting)
    one.refers(1, f"<sip:{TARGET}@x>")
    assert take_over(Found("one", 1), one, two, "offer", 9.0) == ([], Refusal(491))


# BOUND: TRANSFERS_PER_CALL
def test_no_replacement_without_end(consulting):
    one, two = _newcomer(consulting)
    one.transfer.count = TRANSFERS_PER_CALL - 1
    assert not isinstance(take_over(Found("one", 1), one, two, "offer", 9.0), Refusal)
    assert take_over(Found("one", 2), one, two, "offer", 10.0) == ([], Refusal(603))
