"""Which dialog a Replaces names, and what whoever names it gets (RFC 3891 §3)."""
# RFC: 3891

import pytest

from sbc.b2bua.account import Ending
from sbc.b2bua.replaces import Found, replaced_by, seen_from
from sbc.b2bua.states import Ended, Hunting
from sbc.core.cause import Cause
from sbc.sip.checks import Refusal
from sbc.sip.headers.transfer import Replaces
from sbc.sip.message import Request

OVER = Ended(Ending(Cause.NORMAL, 200, 16, "caller"), 1.0)


def _invite(*replaces, join=None):
    fields = [("Replaces", str(value)) for value in replaces]
    return Request("INVITE", "sip:+14155550101@10.0.0.1", (*fields, *([] if join is None else [("Join", join)])))


def _named(leg, **changes):
    """As its peer writes to us: to-tag is ours."""
    ids = {"call_id": leg.dialog.call_id, "to_tag": leg.dialog.local_tag, "from_tag": leg.dialog.remote_tag}
    return Replaces(**(ids | changes))


def _verdict(call, *replaces, peer="office", **more):
    return replaced_by(_invite(*replaces, **more), call.context.policy.peers[peer], call.context)


def test_an_invite_without_replaces_is_a_call(talking):
    assert _verdict(talking()) is None


def test_a_leg_of_the_same_peer_is_found(talking):
    call = talking()
    assert _verdict(call, _named(call.legs[1])) == Found("one", 1)


@pytest.mark.parametrize("change", [{"call_id": "x"}, {"to_tag": "x"}, {"from_tag": "x"}, {"from_tag": "0"}])
def test_what_matches_no_dialog_gets_481(talking, change):
    call = talking()
    assert _verdict(call, _named(call.legs[1], **change)) == Refusal(481)


def test_tags_the_wrong_way_round_match_nothing(talking):
    call = talking()
    dialog = call.legs[1].dialog
    assert _verdict(call, Replaces(dialog.call_id, dialog.remote_tag, dialog.local_tag)) == Refusal(481)


def test_a_tag_of_zero_matches_none(talking):
    call = talking()
    call.legs[1].dialog.remote_tag = ""
    assert _verdict(call, _named(call.legs[1], from_tag="0")) == Found("one", 1)


def test_another_peers_dialog_does_not_exist(talking):
    call = talking()
    assert _verdict(call, _named(call.legs[0])) == Refusal(481)
    assert _verdict(call, _named(call.legs[1]), peer="branch") == Refusal(481)


def test_who_may_not_transfer_may_not_replace(talking):
    call = talking()
    assert _verdict(call, _named(call.legs[0]), peer="carrier") == Refusal(403)


@pytest.mark.parametrize(
    ("spoil", "status"),
    [
        (lambda call: setattr(call, "state", OVER), 603),
        (lambda call: setattr(call.legs[1], "is_closed", True), 603),
        (lambda call: setattr(call.legs[0], "is_closed", True), 603),
        (lambda call: setattr(call, "pair", (0, 5)), 603),
        (lambda call: setattr(call, "state", Hunting(None, ())), 481),
    ],
)
def test_a_dialog_that_cannot_be_replaced(talking, spoil, status):
    call = talking()
    spoil(call)
    assert _verdict(call, _named(call.legs[1])) == Refusal(status)


def test_early_only_does_not_take_an_answered_call(talking):
    call = talking()
    assert _verdict(call, _named(call.legs[1], early_only=True)) == Refusal(486)


def test_bad_ones_get_400(talking):
    call = talking()
    one = _named(call.legs[1])
    assert _verdict(call, one, one) == Refusal(400)
    assert _verdict(call, "nonsense") == Refusal(400)
    assert _verdict(call, one, join="abc;to-tag=1;from-tag=2") == Refusal(400)


def test_a_call_that_is_forgotten_is_not_found(talking):
    call = talking()
    call.context.calls.clear()
    assert _verdict(call, _named(call.legs[1])) == Refusal(481)


def test_the_other_side_names_its_own_end(talking):
    leg = talking().legs[0]
    assert str(seen_from(leg)) == "one-0@carrier;to-tag=they-one-0;from-tag=us-one-0"
    leg.dialog = None
    assert seen_from(leg) is None
