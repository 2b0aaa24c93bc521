"""What is laid over the policy for a test call: one number over one trunk, and back, and nothing for anybody else."""

import pytest

from sbc.core.address import Address
from sbc.core.secret import Secret
from sbc.policy.model import Facts
from sbc.policy.testcall import NAME, TESTER, Wanted, plan_door, with_door

PHONE = Address(TESTER, 40_000)
LISTEN = Address("127.0.0.1", 40_001)
OURS = "+14155550100"
ABROAD = "+442079460123"
ROUTES = """
routes:
  - {name: emergency, from: office, to: emergency, emergency: true, via: [carrier-a]}
  - {name: out, to: ["+44X."], via: [carrier-a]}
  - {name: in, from: carrier-a, to: dids}
"""


@pytest.fixture
def policy(load, well):
    return load(well + ROUTES)


def door_for(policy, number, trunk="carrier-a", caller=""):
    return plan_door(policy, Wanted(trunk, number, PHONE, caller), LISTEN, Secret("s3cret"))


def hops(policy, peer, number, caller="+14155550111"):
    decision = policy.decide(Facts(peer, number, caller))
    return decision.reject or [(target.peer.name, target.called) for target in decision.hunt]


def test_the_tester_reaches_the_one_number_over_the_one_trunk(policy):
    open_ = with_door(policy, door_for(policy, ABROAD))

    assert hops(open_, NAME, ABROAD) == [("carrier-a", ABROAD)]


def test_the_tester_reaches_nothing_else_even_where_a_route_takes_calls_from_anybody(policy):
    open_ = with_door(policy, door_for(policy, ABROAD))

    assert hops(open_, NAME, "+442079460999") == 403
    assert hops(open_, NAME, OURS) == 403


def test_a_number_of_ours_comes_back_to_the_tester_and_then_to_its_pbx(policy):
    open_ = with_door(policy, door_for(policy, "4155550100"))
    decision = open_.decide(Facts("carrier-a", OURS, "+14155550199"))

    assert [target.peer.name for target in decision.hunt] == [NAME, "office"]
    assert 480 in decision.rule.continue_on


def test_no_other_call_changes_its_way(policy):
    open_ = with_door(policy, door_for(policy, OURS))

    for peer, number in [("carrier-a", "+14155550101"), ("office", ABROAD), ("office", "911"), ("office", OURS)]:
        assert hops(open_, peer, number) == hops(policy, peer, number)


def test_a_number_that_is_not_ours_opens_no_way_back(policy):
    door = door_for(policy, ABROAD)

    assert door.owner == ""
    assert hops(with_door(policy, door), "carrier-a", ABROAD) == hops(policy, "carrier-a", ABROAD)


def test_a_number_of_ours_is_left_to_its_pbx_where_the_call_shall_go_out_only(policy):
    door = plan_door(policy, Wanted("carrier-a", OURS, PHONE, one_way=True), LISTEN, Secret("s3cret"))

    assert door.owner == ""
    assert hops(with_door(policy, door), "carrier-a", OURS) == [("office", OURS)]


def test_the_tester_logs_in_has_one_call_at_a_time_and_that_not_for_ever(policy):
    pbx = with_door(policy, door_for(policy, ABROAD)).peers[NAME]

    assert (pbx.auth.username, pbx.auth.password.text) == (NAME, "s3cret")
    assert (pbx.limits.call_paths, pbx.limits.max_duration) == (1, 65.0)
    assert pbx.health is None


def test_only_this_machine_is_heard_at_the_door(policy):
    open_ = with_door(policy, door_for(policy, ABROAD))

    assert open_.identify(NAME, TESTER, 51_234).name == NAME
    assert open_.identify(NAME, "127.0.0.1", 5060) is None
    assert open_.identify("outside", TESTER, 5060) is None


def test_a_caller_that_nobody_named_is_another_number_of_ours(load, well):
    two = load(well.replace('dids: "+14155550100-+14155550199"', 'dids: ["+14155550100", "+14155550177"]') + ROUTES)

    assert door_for(two, OURS).caller == "+14155550177"
    assert door_for(two, ABROAD).caller == OURS


def test_the_only_number_calls_itself(load, well):
    one = load(well.replace('dids: "+14155550100-+14155550199"', 'dids: ["+14155550100"]') + ROUTES)

    assert door_for(one, OURS).caller == OURS


def test_numbers_are_told_as_the_trunk_will_see_them(load, well):
    bare = load(
        well.replace("servers: sip:127.0.0.40:5060", "servers: sip:127.0.0.40:5060, numbers: national") + ROUTES
    )
    door = door_for(bare, OURS, caller="+14155550111")

    assert (door.sent_called, door.sent_caller) == ("4155550100", "4155550111")


@pytest.mark.parametrize(("number", "word"), [("911", "emergency"), ("112", "emergency"), ("+19005551212", "premium")])
def test_some_numbers_are_not_called_for_a_test(policy, number, word):
    with pytest.raises(ValueError, match=word):
        door_for(policy, number)


@pytest.mark.parametrize("form", ["e164", "national"])
@pytest.mark.parametrize("number", ["+1911", "+1112"])
def test_a_number_that_becomes_an_emergency_number_on_its_way_is_not_called_for_a_test(load, well, number, form):
    policy = load(well.replace("127.0.0.40:5060", f"127.0.0.40:5060, numbers: {form}") + ROUTES)
    with pytest.raises(ValueError, match="emergency"):
        door_for(policy, number)


@pytest.mark.parametrize(
    ("number", "trunk", "why"),
    [
        (OURS, "office", "no trunk is called `office`"),
        (OURS, "nobody", "no trunk"),
        ("sales", "carrier-a", "no telephone"),
    ],
)
def test_what_cannot_be_tested_is_said(policy, number, trunk, why):
    with pytest.raises(ValueError, match=why):
        door_for(policy, number, trunk)


def test_a_peer_of_that_name_is_left_alone(load, well):
    taken = load(well.replace("office:", "testcall:") + ROUTES.replace("office", "testcall"))

    with pytest.raises(ValueError, match="of its own"):
        door_for(taken, OURS)


def test_a_reload_that_takes_the_trunk_away_takes_the_door_with_it(policy, load, well):
    door = door_for(policy, OURS)
    without = load(well.replace("carrier-a", "carrier-b") + ROUTES.replace("carrier-a", "carrier-b"))

    assert with_door(without, door) is without


def test_a_reload_that_gives_the_number_to_another_pbx_is_followed(policy, load, well):
    door = door_for(policy, OURS)
    moved = load(well.replace("office:", "branch:") + ROUTES.replace("office", "branch"))

    assert hops(with_door(moved, door), "carrier-a", OURS) == [(NAME, OURS), ("branch", OURS)]


def test_the_policy_itself_is_not_changed(policy):
    with_door(policy, door_for(policy, OURS))

    assert NAME not in policy.peers
    assert NAME not in policy.interfaces
    assert [route.name for route in policy.routes] == ["emergency", "out", "in"]
