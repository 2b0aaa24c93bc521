"""What a REFER says, in whose name the target is called, and where a foreign Replaces may go."""
# RFC: 3892

import pytest
from msgspec.structs import replace

from sbc.b2bua.referring import Wish, only_to, parties_for, passed_fields, read_refer, referred_by_field, referrer
from sbc.policy.model import CallerId, Decision, Target
from sbc.sip.checks import Refusal
from sbc.sip.message import Request

from .conftest import ANN, FAR, TARGET

WISH = Wish(TARGET, None, "", False, 9, 70)


def _refer(target, **fields):
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return Request("REFER", "sip:us", (("Refer-To", target), ("CSeq", "9 REFER"), *named))


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("<sip:+442079460002@anywhere.example:5099;transport=tcp;user=phone>", "+442079460002"),
        ("sip:201@10.0.0.5", "201"),
        ("<tel:+44-20-7946-0002>", "+442079460002"),
        ("<sip:*67%23@x>", "*67#"),
        ('"Bob, the Builder" <sip:bob@x;method=INVITE?Subject=hello&Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>', "bob"),
    ],
)
def test_the_number_alone_counts(target, number):
    wish = read_refer(_refer(target))
    assert isinstance(wish, Wish)
    assert wish.number == number


def test_what_else_is_read():
    wish = read_refer(
        _refer("<sip:1@x>", Referred_By='<sip:201@x>;cid="a@b"', Refer_Sub="False ;x=1", Max_Forwards="3")
    )
    assert wish == Wish("1", None, "201", True, 9, 3)
    assert read_refer(_refer("<sip:1@x>", Referred_By="<sip:1@x>, <sip:2@x>", Refer_Sub="true")).claimed == ""


def test_an_anonymous_caller_is_not_named_when_he_transfers(talking):
    call = talking()
    call.parties = replace(call.parties, is_anonymous=True)
    assert referrer(call, call.legs[0], WISH) == ""
    assert referrer(call, call.legs[1], WISH) == ANN
    assert parties_for(call, call.legs[0], WISH).is_anonymous
    assert referred_by_field("", "sbc.example") == ()


# RFC: 5630
def test_a_transfer_of_a_call_that_a_sips_uri_asked_for_stays_one(talking):
    """§5.1.1.3; and so does one to a SIPS URI."""
    call = talking()
    for leg in call.legs[:2]:
        assert not parties_for(call, leg, WISH).is_sips
        assert parties_for(call, leg, read_refer(_refer("<sips:1@x>"))).is_sips
    call.parties = replace(call.parties, is_sips=True)
    assert all(parties_for(call, leg, WISH).is_sips for leg in call.legs[:2])


def test_a_carrier_may_name_whom_it_likes(talking):
    call = talking()
    assert referrer(call, call.legs[0], replace(WISH, claimed=TARGET)) == TARGET
    assert referrer(call, call.legs[0], WISH) == FAR


def test_a_party_without_a_number_is_anonymous(talking):
    call = talking()
    call.account.called = ""
    assert parties_for(call, call.legs[1], WISH).caller == "anonymous"
    assert referrer(call, call.legs[1], WISH) == ""


def test_who_may_not_say_who_he_is_may_not_have_anybody_called(talking):
    call = talking(transfer="pass")
    leg = call.legs[1]
    leg.peer = replace(leg.peer, caller_id=CallerId("screen", "", "reject"))
    call.account.called = "201"
    assert passed_fields(call, leg, call.legs[0], WISH, None) == Refusal(403)


def test_a_dialog_that_is_gone_cannot_be_named(talking):
    call = talking(transfer="pass")
    call.legs[0].dialog = None
    assert passed_fields(call, call.legs[1], call.legs[0], WISH, call.legs[0]) == Refusal(481)


def test_a_replaces_goes_to_its_own_peer_or_nowhere(talking):
    peers = talking().context.policy.peers
    office, carrier = (Target(peers[name], TARGET, ANN, 180.0) for name in ("office", "carrier"))
    assert only_to("office", Decision((carrier, office))).hunt == (office,)
    nowhere = only_to("office", Decision((carrier,), has_disaster_plan=True))
    assert (nowhere.hunt, nowhere.reject, nowhere.has_disaster_plan) == ((), 481, False)
    assert only_to("office", Decision(reject=404)).reject == 404
